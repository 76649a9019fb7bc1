"""Disk images: made by mke2fs, looked into by debugfs. Nothing needs root."""

import os
import shutil
import tempfile
from pathlib import Path

from host import Failure, call, which


def make(path, tree, size="1G", options=()):
    """An ext2 file system of `size` (sparse) in the file `path` with the contents of `tree`."""
    tmp = Path(f"{path}.tmp")
    tmp.unlink(missing_ok=True)
    call(["fakeroot", which("mke2fs"), "-q", "-t", "ext2", "-F", "-L", "quire", "-m", "0",
          "-E", "root_owner=0:0", *options, "-d", tree, tmp, size], "mke2fs")
    tmp.rename(path)


def clone(source, target):
    call(["cp", "--sparse=always", "--reflink=auto", source, target], "copying the disk image")


def debugfs(path, commands, write=False):
    """Runs debugfs commands; its exit status says nothing, its messages do."""
    argv = [which("debugfs")] + (["-w"] if write else []) + ["-f", "/dev/stdin", str(path)]
    return call(argv, "debugfs", input="\n".join(commands) + "\n")


def quote(name):
    return '"' + str(name).replace('"', '""') + '"'


def parents(guest):
    """mkdir commands for the folders above `guest`."""
    return [f"mkdir {quote(p)}" for p in reversed(Path(guest).parents) if str(p) != "/"]


def copy_in(path, pairs):
    """Puts host files and folders into the image, owned by root. A folder that is there already
    takes the contents of a folder, or the file."""
    commands = []
    for pair in pairs:
        host, sep, guest = pair.partition(":")
        if not sep or not guest.startswith("/"):
            raise Failure(f"--copy-in {pair}: must be HOST:/GUEST/PATH")
        if not os.path.exists(host):
            raise Failure(f"--copy-in {pair}: {host} does not exist")
        commands += parents(guest)
        if os.path.isdir(host):
            commands += copy_tree(Path(host), Path(guest))
        else:
            into = Path(guest) / Path(host).name if is_folder(path, guest) else Path(guest)
            commands += copy_file(Path(host), into)
    if commands:
        said = debugfs(path, commands, write=True)
        # "mkdir: ... already exists" is no error, and the first rm of each file finds none.
        for line in said.splitlines():
            if line.startswith(("write: ", "symlink: ")):
                raise Failure(f"--copy-in: debugfs says: {line}")


def copy_file(host, guest):
    """debugfs keeps the permission bits and makes root the owner."""
    return [f"rm {quote(guest)}", f"write {quote(host.resolve())} {quote(guest)}"]


def copy_tree(host, guest):
    commands = [f"mkdir {quote(guest)}"]
    for entry in sorted(host.iterdir()):
        target = guest / entry.name
        if entry.is_symlink():
            commands += [f"rm {quote(target)}",
                         f"symlink {quote(target)} {quote(os.readlink(entry))}"]
        elif entry.is_dir():
            commands += copy_tree(entry, target)
        elif entry.is_file():
            commands += copy_file(entry, target)
    return commands


def is_folder(path, guest):
    return "Type: directory" in debugfs(path, [f"stat {quote(guest)}"])


def copy_out(path, pairs):
    """Gets files and folders out of the image."""
    for pair in pairs:
        guest, sep, host = pair.partition(":")
        if not sep or not guest.startswith("/"):
            raise Failure(f"--copy-out {pair}: must be /GUEST/PATH:HOST")
        if not Path(host).absolute().parent.is_dir():
            raise Failure(f"--copy-out {pair}: there is no folder {Path(host).parent}")
        with tempfile.TemporaryDirectory(dir=Path(host).absolute().parent) as work:
            copy = Path(work) / (Path(guest).name or "root")
            command = "rdump" if is_folder(path, guest) else "dump"
            debugfs(path, [f"{command} {quote(guest)} {quote(work if command == 'rdump' else copy)}"])
            if not copy.exists():
                raise Failure(f"--copy-out {pair}: no such file in the guest")
            put(copy, Path(host))


def put(copy, host):
    """Moves a copy to its place. A folder that is there already takes the contents of a folder, or
    the file."""
    if copy.is_dir() and host.is_dir():
        shutil.copytree(copy, host, symlinks=True, dirs_exist_ok=True)
    else:
        os.replace(copy, host / copy.name if host.is_dir() else host)
