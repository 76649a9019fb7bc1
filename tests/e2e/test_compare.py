"""./quire compare: one command under several settings."""

import json
import xml.etree.ElementTree as xml

import pytest


def rows(text):
    """{setting: cells} of the table in a result."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_command(quire, tmp_path):
    """A shell with some memory of its own forks: without copy-on-write the fork copies, later
    writes find nothing to do, and all that takes more memory."""
    script = "x=$(head -c 1000000 /dev/zero | tr '\\0' x); for i in 1 2 3; do (y=1; :); done"
    r = quire("compare", "--out", tmp_path / "out", "--append", "vm.thp=never", "--settings",
              "vm.cow=0,vm.cow=1,vm.nonsense=1,vm.lazy=0 vm.fault_around=1", "--", "sh", "-c", script)
    assert r.status == 0, r
    assert "Left out: vm.cow=1, it is the default." in r.text, r
    assert "Left out: vm.nonsense=1, this kernel has no vm.nonsense." in r.text, r
    table = rows(r.text)
    assert list(table) == ["setting", "default", "vm.cow=0", "vm.lazy=0 vm.fault_around=1"], r
    figures = {name: dict(zip(table["setting"], (c.replace(",", "") for c in cells)))
               for name, cells in list(table.items())[1:]}
    default, eager = figures["default"], figures["vm.cow=0"]
    assert 1_000_000 < int(default["instructions"]) < 1_000_000_000, r
    assert int(default["reused"]) > 0 and eager["reused"] == "0", r
    assert int(eager["copied"]) > int(default["copied"]) + 500, r
    assert int(eager["peak KiB"]) > int(default["peak KiB"]) + 500 > 1500, r
    both = figures["vm.lazy=0 vm.fault_around=1"]
    assert both["around"] == both["zero page"] == "0" and int(both["zeroed"]) > int(default["zeroed"]), r

    out = tmp_path / "out"
    assert (out / "results.md").read_text() == r.text
    kept = json.loads((out / "results.json").read_text())
    (results,) = kept.values()
    assert results["vm.cow=0"]["vm"]["vm.cow"] == "0" and results["default"]["vm"]["vm.cow"] == "1"
    assert results["default"]["counters"]["pgfault"] == int(default["faults"])
    for name, title in (("instructions", "instructions"), ("faults", "faults"), ("copied", "copied"),
                        ("peak", "peak KiB")):
        drawing = xml.parse(out / f"{name}.svg").getroot()
        words = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
        assert "vm.cow=0" in words and f"{int(eager[title]) / int(default[title]):.3g}" in words, words


def test_workload(quire, tmp_path):
    """A setting that touches all of a sparse array at once."""
    r = quire("compare", "--out", tmp_path, "--append", "vm.thp=never", "--settings", "vm.lazy=0", "sparse")
    table = rows(r.text)
    zeroed = table["setting"].index("zeroed")
    assert r.status == 0 and "## sparse" in r.text, r
    assert table["default"][zeroed].startswith("1,0") and table["vm.lazy=0"][zeroed].startswith("16,4"), r


def test_command_that_fails(quire, tmp_path):
    r = quire("compare", "--out", tmp_path, "--settings", "vm.cow=0", "--", "sh", "-c", "echo why >&2; exit 3")
    assert r.status == 1 and r.text.count("failed: 3") == 2 and r.error.count("why") >= 2, r


@pytest.mark.parametrize("argv, said", [
    ([], "compare needs workloads (all or some of commands "),
    (["no-such"], "; there is no no-such"),
    (["--settings", "cow", "sparse"], "--settings cow: must be like vm.cow=0"),
    (["--disk", "x.img", "sparse"], "--disk does not go with compare"),
])
def test_wrong_arguments(quire, argv, said):
    r = quire("compare", *argv)
    assert r.status == 2 and r.out == b"" and said in r.error, r


REPORT = """peak 7
vm cow 1
vm policy gen
status 0
cpu_us 1234
before pgfault 10
before fault_zero 4
before nr_free_pages 900
after pgfault 110
after fault_zero 5
after nr_free_pages 800
"""


def test_parse(tool):
    result = tool("compare").parse(REPORT)
    assert result == {
        "status": 0, "instructions": 1234000, "vm": {"vm.cow": "1", "vm.policy": "gen"},
        "counters": {"pgfault": 100, "fault_zero": 1, "nr_free_pages": -100}, "peak KiB": 28,
        "faults": 100, "zeroed": 1}


def test_settings_that_are_left_out(tool):
    against = tool("compare").reason_against
    vm = {"vm.cow": "1", "vm.lazy": "1"}
    assert against("vm.cow=0", vm) is None and against("vm.cow=1 vm.lazy=0", vm) is None
    assert against("vm.cow=1", vm) == against("vm.lazy=1 vm.cow=1", vm) == "it is the default"
    assert against("vm.cow=0 vm.thp=always", vm) == "this kernel has no vm.thp"


def test_every_setting_is_one(tool):
    compare = tool("compare")
    assert len(compare.SETTINGS) > 5 and all(map(compare.SETTING.fullmatch, compare.SETTINGS))


@pytest.mark.parametrize("value, base, drawn", [
    (5, 5, (0, "1")), (10, 5, (1, "2")), (5, 20, (-2, "0.25")), (0, 5, (-3, "0")), (500, 5, (3, "100")),
    (0, 0, (0, "1")), (1234, 0, (3, "1,234")), (None, 5, (0, "failed"))])
def test_bars(tool, value, base, drawn):
    assert tool("plot").bar(value, base) == drawn
