"""What can be wrong with what a user gives: each has one line that names cause and remedy, a status
that is not 0, and no hang."""

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support import ROOT, SEED


def one_line(result, *patterns):
    """The line of stderr that matches every pattern."""
    lines = [line for line in result.error.splitlines() if all(re.search(p, line) for p in patterns)]
    assert len(lines) == 1, f"{patterns} in:\n{result}"
    return lines[0]


# ---- the command line ----

@pytest.mark.parametrize("argv, said", [
    ([], "arguments are required: run|exec|test|bench|compare|debug"),
    (["boot"], "invalid choice: 'boot'"),
    (["run", "--fast"], "unrecognized arguments: --fast"),
    (["exec", "--fast", "--", "true"], "unrecognized arguments: --fast"),
    (["exec", "--cpus", "9", "--", "true"], "--cpus: invalid choice: 9"),
    (["exec", "--cpus", "two", "--", "true"], "--cpus: invalid int value: 'two'"),
    (["exec", "--mem", "lots", "--", "true"], "--mem lots: must be a number with K, M or G"),
    (["exec", "--mem", "-64M", "--", "true"], "expected one argument"),
    (["exec", "--mem", "4M", "--", "true"], "--mem 4M: too little, the guest needs at least 8M"),
    (["run", "--mem", "4M"], "--mem 4M: too little, the guest needs at least 8M"),
    (["exec", "--timeout", "0", "--", "true"], "--timeout: must be more than 0"),
    (["exec", "--timeout", "soon", "--", "true"], "--timeout: invalid seconds value: 'soon'"),
    (["exec", "--release", "--debug", "--", "true"], "not allowed with argument"),
    (["exec"], "exec needs a command: ./quire exec -- CMD ARG..."),
    (["exec", "--swap", "64M", "--", "true"], "--swap is not built yet"),
    (["exec", "--xv6", "x.c", "--", "true"], "--xv6 is not built yet"),
    (["bench", "no-such-row"], "there is no row no-such-row; there are: "),
    (["test", "no-such-suite"], "unknown suite no-such-suite: there are check, host, guest, e2e"),
    (["exec", "--copy-in", "/no/such:/x", "--", "true"], "/no/such does not exist"),
    (["exec", "--copy-in", "quire", "--", "true"], "must be HOST:/GUEST/PATH"),
    (["exec", "--copy-in", "quire:relative", "--", "true"], "must be HOST:/GUEST/PATH"),
    (["exec", "--copy-in", "quire:/etc/passwd/x", "--", "true"], "not a directory"),
    (["exec", "--copy-out", "/etc/passwd:/no/such/x", "--", "true"], "there is no folder /no/such"),
    (["exec", "--copy-out", "/no/such:/tmp/quire-x", "--", "true"], "no such file in the guest"),
    (["exec", "--disk", "/no/such.img", "--", "true"], "/no/such.img: there is no such file; make one"),
    (["run", "--disk", "/no/such.img"], "/no/such.img: there is no such file; make one"),
    (["exec", "--console", "/no/such/log", "--", "true"], "--console /no/such/log: cannot be written"),
    (["exec", "--mem", "900000G", "--", "true"], "QEMU could not start the guest: "),
])
def test_command_line(quire, argv, said):
    r = quire(*argv)
    assert r.status not in (0, None) and r.out == b"", r
    one_line(r, "^quire( exec| run| bench)?: (error: )?", re.escape(said))
    assert len(r.error.splitlines()) <= 3, r


def test_help(quire):
    r = quire("exec", "--help")
    assert r.status == 0 and all(f"--{word}" in r.text for word in (
        "mem", "cpus", "append", "copy-in", "copy-out", "disk", "icount", "timeout", "console", "debug"))


# ---- the disk ----

def random_bytes(path, rng):
    path.write_bytes(rng.randbytes(8 << 20))


def no_superblock(path, rng):
    with path.open("r+b") as f:
        f.seek(1024)
        f.write(rng.randbytes(1024))


def truncated(path, rng):
    os.truncate(path, 20 << 20)


def empty(path, rng):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage, cause", [
    (random_bytes, "no ext2 superblock"), (no_superblock, "no ext2 superblock"),
    (truncated, "file system greater than its device"), (empty, "cannot read the superblock")])
def test_no_file_system(shell, disk, damage, cause):
    damage(disk, random.Random(SEED))
    r = shell("--disk", disk, script="echo never")
    assert (r.status, r.out) == (125, b""), r
    one_line(r, "ext2: vda: ", cause)
    one_line(r, "cannot mount the root file system /dev/vda", "attach an ext2 disk")
    assert "panic:" not in r.error


def test_no_file_system_in_run(terminal, disk):
    truncated(disk, None)
    child = terminal("--disk", disk, prompt=False)
    child.expect("cannot mount the root file system /dev/vda .* attach an ext2 disk")
    assert child.ended() == 1


@pytest.mark.parametrize("field, value, cause", [
    ("s_log_block_size", 30, "ext2: vda: "),
    ("s_inodes_per_group", 0, "ext2: vda: "),
    ("s_blocks_per_group", 0, "ext2: vda: "),
    ("s_inode_size", 7, "ext2: vda: "),
    ("s_first_data_block", 0xffffffff, "ext2: vda: "),
    ("s_feature_incompat", 0x40, "ext2: vda: "),  # extents
    ("s_blocks_count", 0xffffffff, "ext2: vda: "),
])
def test_superblock_that_lies(shell, disk, field, value, cause):
    """Each field alone: (offset, bytes) as <linux/ext2_fs.h> numbers them."""
    offset, size = {"s_log_block_size": (24, 4), "s_inodes_per_group": (40, 4),
                    "s_blocks_per_group": (32, 4), "s_inode_size": (88, 2),
                    "s_first_data_block": (20, 4), "s_feature_incompat": (96, 4),
                    "s_blocks_count": (4, 4)}[field]
    with disk.open("r+b") as f:
        f.seek(1024 + offset)
        f.write(value.to_bytes(size, "little"))
    r = shell("--disk", disk, script="echo never")
    assert (r.status, r.out) == (125, b""), r
    assert "panic:" not in r.error, r
    one_line(r, cause)
    one_line(r, "cannot mount the root file system /dev/vda", "attach an ext2 disk")


VICTIMS = ("/victim", "/victim/sub", "/victim/file", "/victim/big", "/victim/link")


def debugfs(path, command):
    return subprocess.run(["/sbin/debugfs", "-R", command, str(path)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, timeout=30).stdout


def blocks_of(disk):
    """Blocks of metadata and data, and places of the inodes, of the victim files."""
    blocks, inodes = [], []
    for name in VICTIMS:
        blocks += [int(b) for b in debugfs(disk, f"blocks {name}").split()[:12]]
        match = re.search(r"at block (\d+), offset (0x[0-9a-f]+)", debugfs(disk, f"imap {name}"))
        inodes.append(int(match[1]) * 4096 + int(match[2], 16))
    return sorted(set(blocks)), inodes


@pytest.mark.parametrize("round_", range(4))
def test_damaged_files(shell, disk, tmp_path, round_):
    """Folders, inodes and pointer blocks full of nonsense: errors for the programs that look at them,
    nothing else. What the kernel itself finds broken it reports, and the guest goes on."""
    rng = random.Random(f"{SEED}{round_}")
    victim = tmp_path / "victim"
    (victim / "sub").mkdir(parents=True)
    for i in range(40):
        (victim / "sub" / f"some name {i}").write_text("x" * i)
    (victim / "file").write_bytes(rng.randbytes(30_000))
    (victim / "big").write_bytes(rng.randbytes(200_000))
    (victim / "link").symlink_to("l" * 100)
    r = shell("--disk", disk, "--copy-in", f"{victim}:/victim", script="sync")
    assert r.status == 0, r
    blocks, inodes = blocks_of(disk)
    assert len(blocks) > 20 and len(inodes) == len(VICTIMS)
    with disk.open("r+b") as f:
        for place in rng.sample(inodes, 2):
            f.seek(place + rng.randrange(100))
            f.write(rng.randbytes(rng.randrange(1, 28)))
        for block in rng.sample(blocks, 6):
            f.seek(block * 4096 + rng.randrange(2048) * rng.randrange(2))
            f.write(rng.randbytes(rng.choice((1, 8, 2048))))
    r = shell("--disk", disk, "--mem", "64M", script="""
        # a size may be any number, so nothing is read to its end; a file may have become a pipe
        cd /victim || cd /tmp
        ls -laR . >/dev/null; find . -type f | while read f; do head -c 1000000 "$f"; done >/dev/null
        for f in big file; do [ -f $f ] && tail -c 1000 $f >/dev/null && echo more >>$f; done
        readlink link >/dev/null; echo new >new; mkdir made; mv sub moved; ln file hard
        rm -rf /victim; sync; echo alive; exit 0""", limit=40)
    assert "panic" not in r.error and (r.status, r.text.splitlines()[-1:]) == (0, ["alive"]), r


# ---- init ----

def small_image(image, tmp_path, files=()):
    tree = tmp_path / "root"
    tree.mkdir()
    for name, make in files:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        make(tree / name)
    image.make(tmp_path / "small.img", tree, size="4M")
    return tmp_path / "small.img"


def test_image_without_init(terminal, image, tmp_path):
    child = terminal("--disk", small_image(image, tmp_path), prompt=False)
    child.expect(r"no program to run as init: /sbin/init does not exist .*\bput one on the root")
    assert child.ended() == 1


@pytest.mark.parametrize("make, cause", [
    (lambda p: p.write_text("#!/bin/sh\n"), "is no executable file"),
    (lambda p: p.mkdir(), "is no executable file"),
    (lambda p: (p.write_bytes(b"\x7fELF" + bytes(100)), p.chmod(0o755)), "is no program for this machine"),
    (lambda p: p.symlink_to("init"), "cannot be read"),
], ids=["not executable", "folder", "broken ELF", "link to itself"])
def test_init_that_cannot_run(terminal, image, tmp_path, make, cause):
    child = terminal("--disk", small_image(image, tmp_path, [("sbin/init", make)]), prompt=False)
    child.expect(f"no program to run as init: /sbin/init {cause} ")
    assert child.ended() == 1


@pytest.mark.parametrize("name, cause", [("/etc/passwd", "is no executable file"),
                                         ("/etc", "is no executable file"),
                                         ("/no/such", "does not exist")])
def test_named_init_that_cannot_run(shell, name, cause):
    """No other program stands in for it."""
    r = shell("--append", f"init={name}", script="echo never")
    assert (r.status, r.out) == (125, b""), r
    one_line(r, f"cannot run init={name}: it {cause}", "name another program with init=")


def test_wrong_root(shell):
    for words in ("root=/dev/vdb", "root=nonsense", "rootfstype=xfs"):
        r = shell("--append", words, script="echo never")
        assert (r.status, r.out) == (125, b""), r
        one_line(r, "cannot mount the root file system", "root= and rootfstype=")


# ---- the host ----

def host_without(folder, *missing):
    """A PATH on which some programs are missing, and on which nothing can be installed: an apt-get
    that finds no mirror, a sudo that needs no password."""
    folder.mkdir()
    for program in {p.name: p for d in ("/usr/bin", "/bin") for p in Path(d).iterdir()}.values():
        if program.name not in (*missing, "apt-get", "sudo"):
            (folder / program.name).symlink_to(program)
    for name, text in (("sudo", 'exec "$@"'),
                       ("apt-get", 'case "$*" in indextargets*) exec /usr/bin/apt-get "$@";; esac\n'
                                   'echo "E: Could not resolve the mirror" >&2; exit 100')):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return dict(os.environ, PATH=str(folder))


@pytest.mark.parametrize("program, package", [("qemu-system-riscv64", "qemu-system-misc"),
                                              ("riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu")])
def test_missing_tool_without_network(quire, tmp_path, program, package):
    env = host_without(tmp_path / "bin", program)
    r = quire("exec", "--", "echo", "never", env=env)
    assert (r.status, r.out) == (1, b""), r
    one_line(r, f"^quire: installing missing packages: {package}$")
    one_line(r, f"^quire: could not install: {package} ", "check the network", "install them by hand")


def test_missing_tool_without_apt(quire, tmp_path):
    env = host_without(tmp_path / "bin", "fakeroot")
    (tmp_path / "bin/apt-get").unlink()
    r = quire("exec", "--", "echo", "never", env=env)
    assert (r.status, r.out) == (1, b""), r
    one_line(r, "^quire: there is no apt-get here; install these yourself: fakeroot$")


def test_no_network_for_the_guests_package(quire, tmp_path):
    """A new tree (with nothing to compile), so that there is no cached package."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "tools", tree / "tools")
    shutil.copy2(ROOT / "quire", tree)
    (tree / "Makefile").write_text("kernel user:\n\t@mkdir -p build/user\n")
    r = quire("exec", "--", "echo", "never", entry=tree / "quire", env=host_without(tmp_path / "bin"))
    assert (r.status, r.out) == (1, b""), r
    one_line(r, "^quire: cannot fetch Debian's busybox-static", "the package mirror cannot be reached")
    one_line(r, "^Connect to the network and try again, or put the .deb into ")


def test_cached_package_needs_no_network(quire, tmp_path):
    r = quire("exec", "--", "echo", "works", env=host_without(tmp_path / "bin"))
    assert (r.status, r.out) == (0, b"works\n"), r
