"""./quire exec: the command's output, status, files and limits, exactly."""

import hashlib
import random
import re
import time

import pytest

from support import SEED

FLAVOURS = ["--release", "--debug"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_output_and_status(shell, flavour):
    r = shell(flavour, script="echo hi | wc -c; echo to stderr >&2; exit 7")
    assert (r.status, r.out, r.err) == (7, b"3\n", b"to stderr\n"), r


def test_arguments_arrive_as_they_are(execute):
    words = ["", "two words", "*", "$HOME", "a\nb", "'\"\\", "--mem", "é"]
    r = execute(cmd=["sh", "-c", 'for w in "$@"; do printf "<%s>" "$w"; done', "sh", *words])
    assert r.text == "".join(f"<{w}>" for w in words) and r.status == 0, r


def test_every_byte_passes(shell, tmp_path):
    """All byte values, and more than any buffer between the guest and here, on both streams at once."""
    data = {}
    for name in "ab":
        data[name] = bytes(range(256)) + random.Random(f"{SEED}{name}").randbytes((1 << 20) - 256)
        (tmp_path / name).write_bytes(data[name])
    r = shell("--copy-in", f"{tmp_path}/a:/a", "--copy-in", f"{tmp_path}/b:/b",
              script="cat /a & cat /b >&2; wait; exit 3")
    assert r.status == 3
    for got, name in ((r.out, "a"), (r.err, "b")):
        assert len(got) == 1 << 20
        assert hashlib.sha256(got).digest() == hashlib.sha256(data[name]).digest()


def test_output_without_newline_and_none(shell):
    r = shell(script="printf 'no newline'")
    assert (r.status, r.out, r.err) == (0, b"no newline", b""), r
    r = shell(script=":")
    assert (r.status, r.out, r.err) == (0, b"", b""), r


@pytest.mark.parametrize("signal", [9, 11, 15])
def test_death_by_signal(shell, signal):
    r = shell(script=f"echo so far; kill -{signal} $$; echo never")
    assert (r.status, r.out) == (128 + signal, b"so far\n"), r


@pytest.mark.parametrize("command, status", [("no-such-program", 127), ("/no/such/program", 127),
                                             ("/etc/passwd", 126), ("/etc", 126)])
def test_commands_that_cannot_run(execute, command, status):
    r = execute(cmd=[command])
    assert (r.status, r.out) == (status, b"") and command in r.error, r


def test_each_guest_is_new(shell):
    assert shell(script="echo x >/root/left; sync; cat /root/left").out == b"x\n"
    r = shell(script="ls /root/left")
    assert r.status != 0 and b"No such file" in r.err, r


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_five_hundred_processes(shell, flavour):
    r = shell(flavour, "--cpus", "4", "--mem", "64M",
              script="for i in $(seq 500); do /bin/true || exit 9; done; ps; :")
    lines = r.text.splitlines()
    assert r.status == 0 and lines[0].split()[:3] == ["PID", "USER", "COMMAND"], r
    numbers = [int(line.split()[0]) for line in lines[1:]]
    assert numbers[:2] == [1, 2] and numbers[-1] > 500, r
    assert len(numbers) == 3, f"processes were left: {r}"


def test_time_limit(shell):
    begin = time.monotonic()
    r = shell(script="echo before; sleep 100; echo after", limit=4)
    assert (r.status, r.out) == (124, b"before\n"), r
    assert "time limit of 4 s passed" in r.error
    assert 4 <= time.monotonic() - begin < 60


def test_files_in_and_out(shell, tmp_path, fsck, disk):
    tree = tmp_path / "tree"
    (tree / "sub folder").mkdir(parents=True)
    (tree / "sub folder/file").write_bytes(b"\0\1" * 5000)
    (tree / "program").write_text("#!/bin/sh\necho ran $1\n")
    (tree / "program").chmod(0o755)
    (tree / "link").symlink_to("sub folder/file")
    single = tmp_path / "single"
    single.write_text("one\n")
    single.chmod(0o640)
    out = tmp_path / "out"
    out.mkdir()
    r = shell("--disk", disk, "--copy-in", f"{tree}:/a/b/tree", "--copy-in", f"{single}:/root/single",
              "--copy-in", f"{single}:/etc", "--copy-out", f"/a/b/tree:{out}/tree",
              "--copy-out", f"/made/here:{out}/made", "--copy-out", f"/etc/passwd:{out}",
              script="""/a/b/tree/program well; cat /root/single /etc/single; stat -c '%a %u' /root/single
                        wc -c <"/a/b/tree/link"; mkdir /made; printf 'x\\000y' >/made/here
                        echo more >/a/b/tree/new""")
    assert (r.status, r.text) == (0, "ran well\none\none\n640 0\n10000\n"), r
    assert (out / "made").read_bytes() == b"x\0y"
    assert (out / "passwd").read_text().startswith("root:x:0:0:")
    assert (out / "tree/sub folder/file").read_bytes() == b"\0\1" * 5000
    assert (out / "tree/new").read_text() == "more\n"
    assert (out / "tree/link").is_symlink()
    fsck(disk)


def test_copy_in_replaces_a_file_but_no_folder(shell, tmp_path, disk, fsck):
    (tmp_path / "passwd").write_text("replaced\n")
    r = shell("--disk", disk, "--copy-in", f"{tmp_path}/passwd:/etc/passwd",
              "--copy-in", f"{tmp_path}/passwd:/dev", script="cat /etc/passwd; test -c /dev/null")
    assert (r.status, r.out) == (0, b"replaced\n"), r
    fsck(disk)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_console_file(shell, tmp_path, flavour):
    log = tmp_path / "console"
    r = shell(flavour, "--console", log, script="echo visible; echo logged >/dev/kmsg")
    text = log.read_text()
    assert (r.status, r.out) == (0, b"visible\n"), r
    assert "Quire on " in text and re.search(r"boot: /sbin/quire-exec starts \d+ ns", text)
    assert "logged" in text and "visible" not in text


def test_icount_repeats_itself(shell):
    """Deterministic to the nanosecond, but for what the host's clock decides."""
    script = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); done; grep -c . /proc/self/maps"
    a, b = (shell("--icount", "--cpus", "1", script=script) for _ in range(2))
    assert a.status == b.status == 0 and a.out == b.out and int(a.out) > 3, (a, b)
