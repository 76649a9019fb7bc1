"""The host: where things are, what must be installed, how commands are run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"

# What a command needs: (program or file that tells it is there, Debian package).
UAPI = "/usr/riscv64-linux-gnu/include/linux/errno.h"
BASE = [
    ("riscv64-linux-gnu-gcc", "gcc-riscv64-linux-gnu"),
    ("/usr/riscv64-linux-gnu/include/stdio.h", "libc6-dev-riscv64-cross"),
    (UAPI, "linux-libc-dev-riscv64-cross"),
    ("make", "make"),
    ("qemu-system-riscv64", "qemu-system-misc"),
    ("qemu-riscv64", "qemu-user"),
    ("/usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin", "opensbi"),
    ("mke2fs", "e2fsprogs"),
    ("fakeroot", "fakeroot"),
    ("/usr/share/keyrings/debian-archive-keyring.gpg", "debian-archive-keyring"),
]
TEST = [
    ("gcc", "gcc"),
    ("/usr/include/stdlib.h", "libc6-dev"),
    ("/usr/include/cmocka.h", "libcmocka-dev"),
    ("clang-format", "clang-format"),
    ("/usr/lib/python3/dist-packages/pytest", "python3-pytest"),
    ("/usr/lib/python3/dist-packages/pexpect", "python3-pexpect"),
]
PLOT = [("/usr/lib/python3/dist-packages/matplotlib", "python3-matplotlib")]
DEBUG = [("gdb-multiarch", "gdb-multiarch")]
NEEDS = {"test": BASE + TEST + PLOT, "compare": BASE + PLOT, "debug": BASE + DEBUG}


class Failure(Exception):
    """Something the user can read and mend; ends the command with `status`."""

    def __init__(self, text, status=1):
        super().__init__(text)
        self.status = status


def say(text):
    """Progress, on stderr so that exec's output stays the guest's alone."""
    print(f"quire: {text}", file=sys.stderr, flush=True)


def which(program):
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return shutil.which(program, path=path)


def present(mark):
    return Path(mark).exists() if mark.startswith("/") else which(mark) is not None


def need(command):
    """Installs the packages that `command` needs and the host lacks."""
    missing = [pkg for mark, pkg in NEEDS.get(command, BASE) if not present(mark)]
    if not missing:
        return
    say("installing missing packages: " + " ".join(missing))
    if not which("apt-get"):
        raise Failure("there is no apt-get here; install these yourself: " + " ".join(missing))
    root = [] if os.geteuid() == 0 else ["sudo"]
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    install = root + ["apt-get", "install", "-y", "--no-install-recommends"] + missing
    for step in (root + ["apt-get", "update"], install):
        if subprocess.run(step, env=env, stdout=sys.stderr).returncode != 0 and step is install:
            raise Failure("could not install: " + " ".join(missing) +
                          " (check the network, or install them by hand and try again)")


def replace(path, data):
    """Writes a file as a whole or not at all."""
    tmp = Path(f"{path}.tmp")
    tmp.write_bytes(data)
    tmp.rename(path)


def call(argv, what, **kwargs):
    """Runs a host tool quietly; on failure shows what it said."""
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", **kwargs)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-30:])
        raise Failure(f"{what} failed:\n{tail}")
    return done.stdout


def make(*targets, flavour="release"):
    """Builds; says so only when there is something to do."""
    argv = ["make", "-s", "-C", str(ROOT), f"FLAVOUR={flavour}", f"-j{os.cpu_count() or 1}"]
    argv += list(targets)
    if subprocess.run(argv + ["-q"], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).returncode == 0:
        return
    say(f"building {' '.join(targets) or 'everything'} ({flavour})")
    call(argv, "the build")
