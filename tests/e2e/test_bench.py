"""./quire bench: its rows, and how it puts Linux's beside them."""

import re


def test_rows(quire):
    r = quire("bench", "null", "mprotect")
    assert r.status == 0 and r.text.startswith("row "), r
    assert re.search(r"^null +\d+  getppid", r.text, re.M), r
    assert re.search(r"^mprotect +[\d,]+  mprotect", r.text, re.M) and "boot" not in r.text, r


def test_beside_linux(quire):
    """The same program on both kernels; the second time Linux's figure is what was kept."""
    pattern = r"row +Quire +Linux +ratio\nnull +(\d+) +(\d+) +(\d\.\d+)  getppid.*\n.*Linux 6\.12\."
    first = quire("bench", "--linux", "--fresh", "null")
    again = quire("bench", "--linux", "null")
    assert first.status == again.status == 0 and "measuring Linux" in first.error, (first, again)
    assert "measuring Linux" not in again.error and first.out == again.out, (first, again)
    mine, theirs, ratio = re.match(pattern, first.text).groups()
    assert 50 < int(mine) < int(theirs) < 1000 and ratio == f"{int(mine) / int(theirs):.3f}", first


SAID = """row               instructions
null                       133  getppid through syscall()
fork-1m                121,851  fork, exit, wait with 1 MiB touched
fork-256m                    -  fork, exit, wait with 256 MiB touched: Cannot allocate memory
Median of 7 runs, per operation. The loop around the operation is counted with it,
and so is everything else that the hart does meanwhile.
"""


def test_parse(tool):
    assert tool("bench").parse(SAID) == {
        "null": (133, "getppid through syscall()"),
        "fork-1m": (121851, "fork, exit, wait with 1 MiB touched"),
        "fork-256m": (None, "fork, exit, wait with 256 MiB touched: Cannot allocate memory"),
    }


def test_table(tool):
    rows = {"null": (100, "a"), "fork": (None, "b"), "open": (5, "c"), "boot": (5000, "d")}
    lines = list(tool("bench").table(rows, {"null": 400, "fork": 7, "open": None}))
    assert [line.split() for line in lines] == [
        ["row", "Quire", "Linux", "ratio"], ["null", "100", "400", "0.250", "a"],
        ["fork", "-", "7", "-", "b"], ["open", "5", "-", "-", "c"],
        ["boot", "5,000", "-", "-", "d", "(Quire", "alone)"]]
    assert len({line.index(text) for line, text in zip(lines[1:], "abcd")}) == 1


def test_initramfs_is_a_cpio_archive(tool):
    """As the specification has it: magic, 13 fields of 8 hexadecimal digits, name, contents, both
    padded to 4 bytes."""
    data = tool("linux").cpio([("a", 0o100644, b"12345", (0, 0)), ("null", 0o020600, b"", (1, 3))])
    found = []
    while data:
        assert data[:6] == b"070701"
        fields = [int(data[6 + 8 * i:14 + 8 * i], 16) for i in range(13)]
        mode, size, device, length = fields[1], fields[6], (fields[9], fields[10]), fields[11]
        start = (110 + length + 3) // 4 * 4
        name, contents = data[110:110 + length], data[start:start + size]
        data = data[start + (size + 3) // 4 * 4:]
        found.append((name, mode, contents, device))
    assert found == [(b"a\0", 0o100644, b"12345", (0, 0)), (b"null\0", 0o020600, b"", (1, 3)),
                     (b"TRAILER!!!\0", 0, b"", (0, 0))]
