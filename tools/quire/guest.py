"""What runs in the guest: Debian's busybox, our own programs, the disk image they stand on."""

import os
import shutil
import stat
from pathlib import Path

import image
import packages
from host import BUILD, ROOT, call, make, say

BASE_IMAGE = BUILD / "base.img"
RUN_IMAGE = BUILD / "disk.img"
FOLDERS = ("bin", "sbin", "dev", "proc", "sys", "tmp", "etc", "root", "run", "mnt", "var/log",
           "usr/bin", "usr/sbin", "home")


def busybox():
    """Debian's unmodified riscv64 busybox-static."""
    into = BUILD / "busybox"
    into.mkdir(parents=True, exist_ok=True)
    packages.unpack("busybox-static", into)
    for name in ("bin/busybox", "usr/bin/busybox"):
        if (into / name).exists():
            return into / name
    raise RuntimeError("busybox-static holds no busybox")


def applets(binary):
    out = call(["qemu-riscv64", binary, "--list-full"], "listing busybox's applets")
    return out.split()


def programs():
    """Our own programs, built by make."""
    return sorted(p for p in (BUILD / "user").iterdir() if p.is_file() and not p.suffix)


def stage(tree):
    """The root folder as it goes onto the disk."""
    shutil.rmtree(tree, ignore_errors=True)
    for name in FOLDERS:
        (tree / name).mkdir(parents=True)
    (tree / "tmp").chmod(0o1777)
    (tree / "root").chmod(0o700)
    binary = busybox()
    shutil.copy2(binary, tree / "bin/busybox")
    for applet in applets(binary):
        link = tree / applet
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to("/bin/busybox")
    for program in programs():
        folder = "sbin" if program.name.startswith("quire-") else "bin"
        target = tree / folder / program.name
        target.unlink(missing_ok=True)
        shutil.copy2(program, target)
    for source in sorted((ROOT / "user/etc").iterdir()):
        target = tree / "etc" / source.name
        shutil.copy2(source, target)
        target.chmod(stat.S_IMODE(source.stat().st_mode) & ~0o022)


def newest(paths):
    return max((p.stat().st_mtime for p in paths if p.exists()), default=0)


def build_base():
    """Makes the base image when something on it changed."""
    inputs = [busybox(), *programs(), *(ROOT / "user/etc").iterdir(), Path(__file__),
              Path(image.__file__)]
    if BASE_IMAGE.exists() and BASE_IMAGE.stat().st_mtime >= newest(inputs):
        return
    say("making the disk image")
    tree = BUILD / "root"
    stage(tree)
    image.make(BASE_IMAGE, tree)


def prepare(args):
    """Everything a guest needs: kernel, programs, base image."""
    make("kernel", flavour=args.flavour)
    make("user")
    build_base()


def disk_for(args, workdir):
    """The disk image for this start: the user's own, the one that persists, or a copy."""
    if args.disk:
        return Path(args.disk)
    if args.command in ("run", "debug"):
        if not RUN_IMAGE.exists():
            image.clone(BASE_IMAGE, RUN_IMAGE)
        return RUN_IMAGE
    disk = Path(workdir) / "disk.img"
    image.clone(BASE_IMAGE, disk)
    os.utime(disk)
    return disk
