"""Machines of all sizes, boot parameters, and what a panic shows."""

import re

import pytest

from support import ROOT, run_together


@pytest.mark.parametrize("cpus", [1, 2, 8])
def test_harts(shell, cpus):
    r = shell("--cpus", cpus, script="""
        nproc; grep -c ^processor /proc/cpuinfo; grep -c '^cpu[0-9]' /proc/stat
        for i in 1 2 3 4; do
            (n=0; for j in 1 2 3 4 5; do /bin/true && n=$((n + 1)); done; echo $n) &
        done | sort | uniq -c; wait""")
    assert r.status == 0, r
    assert r.text.split() == [str(cpus)] * 3 + ["4", "5"], r


@pytest.mark.parametrize("mem", ["16M", "8M"])
def test_little_memory(shell, mem):
    """8M is what ./quire accepts as the least; README states it."""
    r = shell("--mem", mem, script="ls /bin /sbin /usr/bin /usr/sbin | wc -l; free | awk '/Mem:/ { print $2 }'; "
                                   "for i in $(seq 50); do /bin/true || exit 9; done; ps | wc -l")
    assert r.status == 0, r
    files, total, processes = map(int, r.text.split())
    assert files > 200 and processes < 8
    assert 0 < total < int(mem[:-1]) * 1024


def test_much_memory(shell):
    r = shell("--mem", "3G", script="free | awk '/Mem:/ { print $2 }'; "
                                    "dd if=/dev/zero of=/tmp/x bs=1M count=100 2>/dev/null; wc -c </tmp/x")
    assert r.status == 0, r
    total, size = map(int, r.text.split())
    assert 3 << 20 > total > 2.9 * (1 << 20) and size == 100 << 20, r


def test_too_little_memory_for_quire(shell):
    for mem in ("4M", "1", "100K"):
        r = shell("--mem", mem, script=":")
        assert r.status == 2 and r.error == f"quire: --mem {mem}: too little, the guest needs at " \
                                           "least 8M\n", r


def test_too_little_memory_for_the_kernel():
    """What the kernel itself says, where ./quire does not stand in front of it."""
    done = run_together(["qemu-system-riscv64", "-machine", "virt", "-m", "6M", "-nographic", "-no-reboot",
                "-kernel", ROOT / "build/release/quire.img"], limit=30)
    assert re.search(r"cannot boot: too little memory: 6144 KiB of RAM, \d+ KiB free, at least "
                     r"\d+ KiB needed", done.text), done
    assert done.status == 1


def test_no_disk_at_all():
    done = run_together(["qemu-system-riscv64", "-machine", "virt", "-m", "64M", "-nographic", "-no-reboot",
                "-kernel", ROOT / "build/release/quire.img"], limit=30)
    assert re.search(r"cannot mount the root file system /dev/vda \(ext2\): .*root=", done.text)
    assert done.status == 1


def test_boot_parameters(shell, tmp_path):
    """Good ones hold, wrong ones are reported and ignored, and the guest boots."""
    log = tmp_path / "console"
    r = shell("--console", log, "--append",
              "vm.cow=0 vm.lazy=maybe vm.fault_around=65 vm.policy=lru vm.nonsense=1 vm.zero= free=1",
              script="cd /proc/sys/vm; cat cow lazy fault_around policy zero; cat /proc/cmdline")
    assert r.status == 0, r
    values = r.text.splitlines()
    assert values[0] == "0" and values[1] == "1" and values[3] != "lru" and values[4] == "1", r
    assert "vm.policy=lru" in values[5]
    text = log.read_text()
    for line in ("vm.lazy=maybe ignored: not a number from 0 to 1",
                 "vm.fault_around=65 ignored: not a number from 1 to 64",
                 "vm.policy=lru ignored: none of", "vm.nonsense ignored: unknown",
                 "vm.zero= ignored: not a number"):
        assert f"boot parameter {line}" in text, text
    assert text.count("ignored") == 5, text


def test_demand_exec(shell):
    """With 0 a program is there in full when it starts, but only what it may write in copies."""
    r = shell(script="""
        for value in 1 0; do
            echo $value >/proc/sys/vm/demand_exec
            /usr/bin/awk '/^[0-9a-f]+-/ { program = /busybox/ } program { kib[$1] += $2 }
                 END { print kib["Size:"], kib["Rss:"], kib["Anonymous:"] }' /proc/self/smaps
        done""")
    (size, rss, _), (full, full_rss, own) = (map(int, line.split()) for line in r.text.splitlines())
    assert r.status == 0 and full == size > 1000, r
    assert 0 < rss < size and full_rss == size and 0 < own < size // 10, r


FRAME = r"  [0-9a-f]{16} \w+(\.\w+)*\+0x[0-9a-f]+"


@pytest.mark.parametrize("flavour", ["--release", "--debug"])
def test_panic(shell, flavour):
    """Status 125, what the command wrote before, and every hart's stack with symbols."""
    r = shell(flavour, "--cpus", "4", script="""
        echo before; (while :; do :; done) & sleep 0.3
        echo x >/proc/sysrq-trigger; echo c >/proc/sysrq-trigger; echo never""")
    assert (r.status, r.out) == (125, b"before\n"), r
    assert "kernel panic: sysrq: crash" in r.error
    assert "the guest panicked" in r.error.splitlines()[-1]
    for cpu in range(4):
        assert re.search(rf"CPU {cpu}: thread .*\n(?:.*holds .*\n)*\[[ \d.]+\] {FRAME}", r.error), r
    assert re.search(r"write_sysrq\+0x\w+\n.*text_write\+0x\w+\n(?:.*\n)*?.*sys_write\+0x", r.error), r


def test_only_root_may_crash_it(shell):
    r = shell(script="ls -l /proc/sysrq-trigger | cut -c1-10; echo bad >/proc/sysrq-trigger; echo $?\n"
                     "cat /proc/sysrq-trigger; su nobody -s /bin/sh -c 'id -u; echo c >/proc/sysrq-trigger'; echo $?")
    assert r.status == 0 and r.text.split() == ["--w-------", "1", "65534", "1"], r
    assert "Invalid argument" in r.error and "Permission denied" in r.error, r
