#!/bin/sh
# The first program of the Linux guest (linux.py), in its initramfs: loads the drivers of the root
# disk, mounts it, gives the three streams of `./quire exec` the names that they have on Quire, and
# goes on to Quire's own first program.
fail() {
    echo "quire: $1" >/dev/console
    poweroff -f
}
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for module in $(cat /modules); do
    insmod "/$module" || fail "cannot load $module"
done
mount -t ext2 /dev/vda /root || fail "cannot mount the root disk"
for name in vport0 vport1 vport2; do
    until port=$(grep -lx $name /sys/class/virtio-ports/*/name); do
        sleep 0.01
    done
    port=${port%/name}
    ln -s "${port##*/}" /dev/$name
done
for folder in dev proc sys; do
    mount --move /$folder /root/$folder
done
exec switch_root /root /sbin/quire-exec
