#!/usr/bin/python3
"""Which of Linux's system calls Quire has: writes docs/syscalls.md, or with --check compares it.

The names and numbers come from the <asm/unistd.h> of the cross compiler, what is built from
syscall/list.h, and what a built call lacks from the table below, which is kept by hand: whoever
changes a call changes its line."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs/syscalls.md"

# What is missing from calls that are there. A call without a line is complete as far as the
# machine and the file systems have what it asks about. What is refused has the error Linux gives
# for an unknown option, unless another one is named.
PARTLY = {
    "clone": "`CLONE_NEW*` (name spaces), `CLONE_PIDFD`, `CLONE_PTRACE`, `CLONE_UNTRACED`, "
             "`CLONE_INTO_CGROUP`",
    "clone3": "what clone lacks; `set_tid`, `cgroup`, `pidfd`",
    "clock_getres": "alarm clocks, clocks of devices",
    "clock_gettime": "alarm clocks, clocks of devices",
    "clock_nanosleep": "alarm clocks",
    "fallocate": "all but tmpfs, and there all modes but 0 and holes (EOPNOTSUPP)",
    "fcntl": "`F_SETOWN`, `F_SETSIG`, `F_*OWN_EX`, `F_SETLEASE`, `F_NOTIFY`, write hints",
    "futex": "priority inheritance: `FUTEX_LOCK_PI`, `_LOCK_PI2`, `_TRYLOCK_PI`, `_UNLOCK_PI`, "
             "`_WAIT_REQUEUE_PI`, `_CMP_REQUEUE_PI` (ENOSYS)",
    "getrusage": "`ru_inblock`, `ru_oublock` (0)",
    "ioctl": "everything but terminals (settings, window, job control, queues), block devices "
             "(sizes, `BLKROGET`, `BLKFLSBUF`), `FIONREAD`, `FIONBIO`, `FIOCLEX`, `FIONCLEX`, "
             "`RTC_RD_TIME`, `RNDGETENTCNT`",
    "madvise": "`MADV_COLLAPSE`, `_MERGEABLE`, `_UNMERGEABLE`, `_HWPOISON`, `_SOFT_OFFLINE`, "
               "`_GUARD_*`; `_REMOVE` of files on a disk (EOPNOTSUPP)",
    "membarrier": "everything but `MEMBARRIER_CMD_QUERY` and `_GLOBAL`",
    "memfd_create": "`MFD_HUGETLB`",
    "mmap": "`MAP_HUGETLB` (ENOMEM, as with an empty pool), `MAP_SYNC`, `MAP_DROPPABLE`",
    "mount": "`MS_MOVE`, propagation other than private (EOPNOTSUPP), recursive bind mounts",
    "openat": "`O_TMPFILE` (EOPNOTSUPP); `O_ASYNC` and `O_DIRECT` have no effect",
    "pipe2": "`O_DIRECT` (packets)",
    "prctl": "everything but name, `PDEATHSIG`, `DUMPABLE`, `CHILD_SUBREAPER`, `NO_NEW_PRIVS`, "
             "`CAPBSET_*`, `GET_TID_ADDRESS`, `SET_VMA`, `*_THP_DISABLE`",
    "reboot": "`LINUX_REBOOT_CMD_KEXEC`, `_SW_SUSPEND`",
    "renameat2": "`RENAME_WHITEOUT`",
    "setrlimit": "kept but without effect: `RLIMIT_CORE`, `_RSS`, `_LOCKS`, `_MSGQUEUE`, `_RTPRIO`, "
                 "`_RTTIME` (what they limit is not there)",
    "prlimit64": "as setrlimit",
    "settimeofday": "time zones: UTC only",
    "statx": "time of birth, mount id, attributes (their bits in `stx_mask` are clear)",
    "syslog": "type 9 (size unread); type 2 does not wait",
    "umount2": "`MNT_EXPIRE`",
    "unshare": "name spaces",
    "waitid": "`P_PIDFD`",
}


def preprocess(text, *options):
    done = subprocess.run(["riscv64-linux-gnu-gcc", "-E", "-P", *options, "-"], input=text,
                          stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def linux_calls():
    """{name: number} of riscv64, from the headers and, for newer ones that are built, table.c."""
    include = "#include <asm/unistd.h>\n"
    macros = preprocess(include, "-dM")
    names = [n for n in re.findall(r"#define __NR_(\w+) ", macros)
             if n not in ("syscalls", "arch_specific_syscall")]
    lines = preprocess(include + "".join(f"@{n} __NR_{n}\n" for n in names))
    calls = {}
    for name, value in re.findall(r"@(\w+) ([\d +()]+)", lines):
        calls[name] = sum(int(n) for n in re.findall(r"\d+", value))
    table = (ROOT / "syscall/table.c").read_text()
    calls.update((name, int(n)) for name, n in re.findall(r"#define __NR_(\w+) (\d+)", table))
    return calls


def built_calls():
    return re.findall(r"^CALL\((\w+),", (ROOT / "syscall/list.h").read_text(), re.M)


def wrong_tables(calls, built):
    """What the tables say that cannot be."""
    errors = [f"syscall/list.h: Linux on riscv64 has no {name}" for name in built if name not in calls]
    errors += [f"syscall/list.h: {name} stands there twice" for name in set(built)
               if built.count(name) > 1]
    errors += [f"tools/syscalls.py: says what {name} lacks, but it is not built" for name in PARTLY
               if name not in built]
    return errors


def render(calls, built):
    def state(name):
        if name not in built:
            return "missing", "ENOSYS"
        return ("partly", f"missing: {PARTLY[name]}") if name in PARTLY else ("works", "")

    rows = [(number, name, *state(name)) for name, number in calls.items()]
    count = {word: sum(r[2] == word for r in rows) for word in ("works", "partly", "missing")}
    lines = ["# System calls", "",
             "Made by `tools/syscalls.py`; `./quire test check` compares it with the code.", "",
             f"Linux has {len(rows)} on riscv64. Quire: {count['works']} work, {count['partly']} work "
             f"in part, {count['missing']} are missing and answer ENOSYS.", "",
             "| number | call | state | |", "|---:|---|---|---|"]
    lines += [f"| {number} | {name} | {word} | {note} |" for number, name, word, note in sorted(rows)]
    return "\n".join(lines) + "\n"


def main():
    calls, built = linux_calls(), built_calls()
    errors = wrong_tables(calls, built)
    text = render(calls, built) if not errors else ""
    if "--check" in sys.argv[1:]:
        if not errors and (not DOCUMENT.exists() or DOCUMENT.read_text() != text):
            errors.append("docs/syscalls.md does not agree with the code: run tools/syscalls.py")
    elif not errors:
        DOCUMENT.write_text(text)
    for error in errors:
        print(error)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
