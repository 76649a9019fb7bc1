"""vmstat: what it shows agrees with /proc, fits the terminal, and passes statuses on."""

import re

import pytest


def figures(text, heading):
    """{label: number} of the lines under `heading`."""
    lines = text.split(heading, 1)[1].splitlines()[1:]
    return {m[1].strip(): float(m[2]) for line in lines
            if (m := re.fullmatch(r"  (.*?) +(\d+(?:\.\d+)?)", line))}


def drawing(text):
    """([(perms, size, there, scale, name, characters)], {letter: pages} of the legend)"""
    mappings, legend = [], {}
    for line in text.splitlines():
        assert len(line) <= 80, line
        if m := re.fullmatch(r" *[0-9a-f]+-[0-9a-f]+ +(\S{4}) +(\d+ \S+) +(\d+ \S+) +(\d+)  (.*)", line):
            mappings.append([m[1], m[2], m[3], int(m[4]), m[5], ""])
        elif m := re.fullmatch(r" +[0-9a-f]+ ([.A-Za-z]+)", line):
            mappings[-1][5] += m[1]
        elif m := re.fullmatch(r"  ([A-Z]) .*: (\d+) pages?", line):
            legend[m[1]] = int(m[2])
    return mappings, legend


def test_map_agrees_with_status(shell):
    r = shell(script="vmstat -m 1; grep -E 'VmSize|Rss' /proc/1/status")
    assert r.status == 0 and not r.err, r
    mappings, legend = drawing(r.text)
    status = {m[1]: int(m[2]) // 4 for m in re.finditer(r"(\w+):\s+(\d+) kB", r.text)}
    drawn = "".join(m[5] for m in mappings)
    assert all(m[3] == 1 for m in mappings) and len(drawn) == status["VmSize"]
    assert {letter: drawn.count(letter) for letter in set(drawn) - {"."}} == legend
    assert legend["P"] + legend.get("C", 0) == status["RssAnon"]
    assert legend["F"] == status["RssFile"] and legend["K"] == 2
    names = [m[4] for m in mappings]
    assert names[0] == "/sbin/quire-exec" and "[heap]" in names
    assert names[-3:] == ["[stack]", "[vvar]", "[vdso]"]


def test_map_of_much_memory_has_a_scale(shell):
    """A buffer of 8 MiB, its first half written."""
    r = shell(script="""dd if=/dev/zero of=/tmp/f bs=4M count=1 2>/dev/null
                        mkfifo /tmp/p; (cat /tmp/f; sleep 30) >/tmp/p &
                        dd if=/tmp/p of=/dev/null bs=8M iflag=fullblock & sleep 2
                        vmstat -m $!; kill %1""")
    big = [m for m in drawing(r.text)[0] if m[1] == "8192 KiB"]
    assert len(big) == 1 and big[0][2:5] == ["4096 KiB", 8, "(anonymous)"], r
    assert re.fullmatch(r"[PH]{128}\.{128}", big[0][5]), r


@pytest.mark.parametrize("share_tables", [0, 1])
def test_map_shows_what_a_fork_shares(shell, share_tables):
    """3 MB of which the child touches nothing: below parked tables, or page by page copy on write."""
    r = shell("--append", f"vm.share_tables={share_tables}", script="""
        x=$(head -c 3000000 /dev/zero | tr '\\0' a)
        mkfifo /tmp/p; (read y </tmp/p; sleep 20) & sleep 1; vmstat -m $!; kill $!""")
    legend = drawing(r.text)[1]
    assert r.status == 0 and legend["C"] >= 1, r
    assert legend["T" if share_tables else "C"] > 700 and ("T" in legend) == bool(share_tables), r


def test_cost(shell):
    r = shell(script="vmstat -d -- dd if=/dev/zero bs=4M count=1 2>/tmp/cost | wc -c; cat /tmp/cost")
    own, all_ = figures(r.text, "Cost of the command"), figures(r.text, "Counters of the whole")
    assert r.text.startswith("4194304\n"), r
    assert 4096 <= own["peak resident, KiB"] < 6000 and own["elapsed, s"] > 0
    assert 1024 <= own["page faults"] <= all_["page faults"] < own["page faults"] + 200
    assert 1024 <= all_["fresh zeroed page"] < 1200 and all_["copied after fork"] < 100


@pytest.mark.parametrize("command, status", [("sh -c 'exit 7'", 7), ("sh -c 'kill -9 $$'", 137),
                                             ("true", 0), ("no-such-program", 127), ("/etc", 126)])
def test_cost_passes_the_status_on(shell, command, status):
    r = shell(script=f"vmstat -d -- {command}")
    assert r.status == status and r.out == b"", r
    assert ("Cost of" in r.error) == (status < 126 or status > 127), r


@pytest.mark.parametrize("words", ["-m", "-m x", "-m 0", "-d", "-m 1 -p 1", "-m 1 5", "-z", "1 2 3"])
def test_wrong_words(shell, words):
    r = shell(script=f"vmstat {words}")
    assert r.status == 1 and r.out == b"" and "vmstat" in r.error, r


def test_other_modes(shell):
    r = shell(script="vmstat -p $$; vmstat 1 2; vmstat -m 12345")
    assert "Page table of" in r.text and "Memory, KiB" in r.text and r.status == 1, r
    assert len([line for line in r.text.splitlines() if re.fullmatch(r"[ \d-]{100,}", line)]) == 2
    assert r.error == "vmstat: /proc/12345/maps: No such file or directory\n"
