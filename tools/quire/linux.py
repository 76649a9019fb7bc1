"""The Linux guest: Debian's riscv64 kernel instead of Quire's, on the same board with the same disk
and, once it is up, the same first program. Quire is measured against it (bench --linux), and it is
the oracle of the guest tests."""

import lzma
import re
from pathlib import Path
from stat import S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG

import guest
import packages
from host import BUILD, Failure, call, replace

FOLDER = BUILD / "linux"
INIT = Path(__file__).with_name("linux_init.sh")
# Drivers that Debian has as modules, in the order in which they must be loaded.
MODULES = ("drivers/virtio/virtio_mmio", "drivers/block/virtio_blk", "lib/crc16", "fs/mbcache",
           "crypto/crc32c_generic", "lib/libcrc32c", "fs/jbd2/jbd2", "fs/ext4/ext4")


def package():
    """The package that holds the kernel: what Debian's linux-image-riscv64 depends on."""
    depends = call(["dpkg-deb", "-f", packages.fetch("linux-image-riscv64"), "Depends"],
                   "looking for Debian's kernel")
    found = re.match(r"linux-image-\S+-riscv64", depends)
    if not found:
        raise Failure(f"linux-image-riscv64 depends on no kernel: {depends}")
    return found.group()


def version():
    return package().removeprefix("linux-image-")


def folder():
    """Where the unpacked package and the initramfs are."""
    return FOLDER / version()


def cpio(entries):
    """A cpio archive ("newc", Linux's Documentation/driver-api/early-userspace) of (name, mode,
    contents, device numbers)."""
    archive = b""
    entries = [*entries, ("TRAILER!!!", 0, b"", (0, 0))]
    for inode, (name, mode, data, device) in enumerate(entries, 1):
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
        archive += b"070701" + b"".join(b"%08x" % field for field in fields)
        archive += name.encode() + b"\0"
        archive += bytes(-len(archive) % 4) + data
        archive += bytes(-len(archive) % 4)
    return archive


def initrd(tree):
    """The initramfs: busybox, the drivers of `tree` (a kernel's modules), linux_init.sh."""
    drivers = {f"{Path(module).name}.ko": lzma.decompress((tree / f"{module}.ko.xz").read_bytes())
               for module in MODULES}
    files = {"bin/busybox": guest.busybox().read_bytes(), "init": INIT.read_bytes(),
             "modules": "\n".join(drivers).encode(), **drivers}
    return cpio([(name, S_IFDIR | 0o755, b"", (0, 0)) for name in ("bin", "dev", "proc", "sys", "root")]
                + [("dev/console", S_IFCHR | 0o600, b"", (5, 1)),
                   ("bin/sh", S_IFLNK | 0o777, b"busybox", (0, 0))]
                + [(name, S_IFREG | 0o755, data, (0, 0)) for name, data in files.items()])


def prepare():
    """Kernel and initramfs."""
    folder().mkdir(parents=True, exist_ok=True)
    packages.unpack(package(), folder())
    made = folder() / "initrd"
    if not made.exists() or made.stat().st_mtime < guest.newest([INIT, Path(__file__)]):
        replace(made, initrd(folder() / f"usr/lib/modules/{version()}/kernel"))


# The last one keeps Linux from taking the instruction counter away from programs: its driver stops
# the counter, and on Debian 12's QEMU and OpenSBI no perf event starts it again.
PARAMETERS = "console=ttyS0 panic=-1 initcall_blacklist=pmu_sbi_devinit"


def options(words):
    """QEMU's options that boot it with these kernel parameters."""
    return ["-kernel", str(folder() / f"boot/vmlinux-{version()}"), "-initrd", str(folder() / "initrd"),
            "-append", f"{PARAMETERS} {words}"]
