"""Debian's riscv64 packages, through an apt that knows nothing of the host's: own state, own cache,
own architecture. Only the mirror's address comes from the host's apt configuration."""

import os
import subprocess
from pathlib import Path

from host import BUILD, Failure, call, say

SUITE = "trixie"
STORE = BUILD / "packages"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def mirror():
    """The host's own Debian mirror: where its release comes from."""
    codename = ""
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            codename = line.split("=", 1)[1].strip('"')
    out = subprocess.run(["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)",
                          "Created-By: Packages"], stdout=subprocess.PIPE, text=True).stdout
    for line in out.splitlines():
        release, uri = line.split(" ", 1)
        if release == codename:
            return uri
    raise Failure("apt knows no mirror for this Debian release: see /etc/apt/sources.list")


def apt_config():
    """Writes the isolated configuration; returns the environment that makes apt use it."""
    root = STORE / "apt"
    for sub in ("state/lists/partial", "cache/archives/partial", "etc"):
        (root / sub).mkdir(parents=True, exist_ok=True)
    (root / "state/status").touch()
    (root / "etc/sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {SUITE} main\n")
    conf = root / "apt.conf"
    conf.write_text(f"""Dir "{root}";
Dir::State "state";
Dir::State::status "{root}/state/status";
Dir::Cache "cache";
Dir::Etc "etc";
Dir::Etc::sourcelist "sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::parts "-";
Dir::Etc::main "-";
APT::Architecture "riscv64";
APT::Architectures "riscv64";
APT::Sandbox::User "root";
Acquire::Languages "none";
""")
    return dict(os.environ, APT_CONFIG=str(conf))


def fetch(name):
    """Path of the .deb of package `name`; downloads it once."""
    found = sorted(STORE.glob(f"{name}_*.deb"))
    if found:
        return found[-1]
    say(f"fetching {name} (Debian {SUITE}, riscv64)")
    STORE.mkdir(parents=True, exist_ok=True)
    env = apt_config()
    try:
        call(["apt-get", "-q", "update"], "apt-get update", env=env, cwd=STORE)
        call(["apt-get", "-q", "download", name], "apt-get download", env=env, cwd=STORE)
    except Failure as failure:
        raise Failure(f"cannot fetch Debian's {name} for riscv64: the package mirror cannot be "
                      f"reached.\nConnect to the network and try again, or put the .deb into "
                      f"{STORE}.\n{failure}") from None
    found = sorted(STORE.glob(f"{name}_*.deb"))
    if not found:
        raise Failure(f"apt-get downloaded no {name}")
    return found[-1]


def unpack(name, into):
    """Unpacks package `name` below the folder `into`, once."""
    stamp = Path(into) / ".unpacked"
    if not stamp.exists():
        call(["dpkg-deb", "-x", fetch(name), into], f"unpacking {name}")
        stamp.touch()
