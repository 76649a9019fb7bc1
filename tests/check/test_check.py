"""Rules about the source tree that a machine can check: CONTRIBUTING.md lists them."""

import ast
import re
import sys

import pytest

from support import ROOT, run_together

KERNEL = ("arch", "boot", "core", "dev", "fs", "include", "lib", "mm", "proc", "syscall")
SIZE_LIMIT = 25_000  # lines of the kernel, says the house plan; docs/decisions.md says why it is more
FILE_LIMIT = 1_000
# Written in pieces, so that this file passes its own test.
MARKS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
# Folders of somebody's own machine, and hosts that packages come from. /tmp, /home and what Debian
# puts into place (/usr, /etc, ...) are everywhere, also in the guest.
MACHINE = re.compile(rf"(?<![\w.$}}/])(?:/(?:work|Users|opt|srv)/\w|{re.escape(str(ROOT))})")
MIRROR = re.compile(r"\bhttps?://[\w.-]*(?:debian|mirror|snapshot|apt|pypi|artifact|proxy)[\w.-]*", re.I)


@pytest.fixture(scope="session")
def tracked():
    """The files of the tree, without what is made and what belongs to a version control system."""
    made = {ROOT / "build", ROOT / ".git"}
    return sorted(p for p in ROOT.rglob("*") if p.is_file() and not made.intersection([p, *p.parents])
                  and "__pycache__" not in p.parts)


def of_kind(files, *suffixes):
    return [p for p in files if p.suffix in suffixes]


def lines_matching(files, pattern):
    return [f"{p.relative_to(ROOT)}:{n}: {line.strip()}" for p in files
            for n, line in enumerate(p.read_text(errors="replace").splitlines(), 1)
            if pattern.search(line)]


def test_includes():
    done = run_together([ROOT / "tools/check_includes.py"])
    assert done.status == 0, "\n" + done.text


@pytest.fixture
def checker():
    sys.path.insert(0, str(ROOT / "tools"))
    import check_includes
    yield check_includes
    sys.path.pop(0)


def small_tree(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


GOOD_TREE = {
    "include/lib/list.h": "#ifdef QUIRE_HOST\n#include <string.h>\n#endif\n",
    "include/mm/page.h": '#include "lib/list.h"\n',
    "include/mm/kva.h": "",
    "include/fs/vfs.h": '#include "mm/page.h"\n#include <linux/stat.h>\n',
    "include/arch/cpu.h": "#include <machine/csr.h>\n",
    "arch/riscv/include/machine/csr.h": "#include <stddef.h>\n",
    "arch/riscv/smp.c": '#include "mm/kva.h"\n#include "arch/cpu.h"\n',
    "fs/vfs_priv.h": '#include "fs/vfs.h"\n',
    "fs/ext2/dir.c": '#include "fs/vfs_priv.h"\n',
    "boot/main.c": '#include "fs/vfs.h"\n#include "arch/cpu.h"\n',
}


@pytest.mark.parametrize("path, text, said", [
    ("mm/map.c", '#include "fs/vfs.h"\n', "mm must not include fs"),
    ("lib/list.c", '#include "arch/cpu.h"\n', "lib must not include arch"),
    ("core/log.c", "#include <machine/csr.h>\n", "only the port"),
    ("arch/riscv/trap.c", '#include "mm/page.h"\n#include "fs/vfs.h"\n', "arch stands beside core"),
    ("proc/exec.c", '#include "fs/vfs_priv.h"\n', "private to its folder"),
    ("fs/procfs/dir.c", '#include "fs/ext2/ext2_priv.h"\n', "private to its folder"),
    ("proc/fork.c", "#include <string.h>\n", "the C library"),
    ("proc/fork.c", "#ifndef QUIRE_HOST\n#include <string.h>\n#endif\n", "the C library"),
    ("proc/fork.c", '#include "proc/fork.h"\n', "no such file"),
])
def test_include_checker_sees_wrong_edges(checker, tmp_path, path, text, said):
    small_tree(tmp_path, GOOD_TREE | {"fs/ext2/ext2_priv.h": ""})
    assert checker.check_edges(tmp_path)[0] == []
    small_tree(tmp_path, {path: text})
    errors = checker.check_edges(tmp_path)[0]
    assert len(errors) == 1 and errors[0].startswith(path) and said in errors[0]


def test_include_checker_sees_cycles(checker, tmp_path):
    small_tree(tmp_path, GOOD_TREE)
    assert checker.check_cycles(checker.check_edges(tmp_path)[1]) == []
    small_tree(tmp_path, {"include/lib/list.h": '#include "lib/a.h"\n',
                          "include/lib/a.h": '#include "lib/list.h"\n'})
    errors = checker.check_cycles(checker.check_edges(tmp_path)[1])
    assert len(errors) == 1 and "lib/a.h -> include/lib/list.h" in errors[0]


def test_format(tracked):
    done = run_together(["clang-format", "--dry-run", "-Werror", *of_kind(tracked, ".c", ".h")])
    wrong = sorted({line.split(":")[0] for line in done.text.splitlines() if ": error: " in line})
    assert done.status == 0, f"run clang-format -i on {' '.join(wrong) or done.text}"


def test_sizes(tracked, capsys):
    lines = {p: len(p.read_text().splitlines()) for p in of_kind(tracked, ".c", ".h", ".S", ".py")}
    kernel = sum(n for p, n in lines.items() if p.relative_to(ROOT).parts[0] in KERNEL)
    with capsys.disabled():
        print(f"\nthe kernel has {kernel:,} lines; the house plan wants fewer than {SIZE_LIMIT:,}")
    assert kernel > 10_000, "the kernel was not counted"
    long = [f"{p.relative_to(ROOT)}: {n}" for p, n in lines.items() if n > FILE_LIMIT]
    assert not long, f"over {FILE_LIMIT} lines: {long}"
    if kernel > SIZE_LIMIT:
        assert f"{SIZE_LIMIT:,}" in (ROOT / "docs/decisions.md").read_text()


def test_nothing_left_undone(tracked):
    files = of_kind(tracked, ".c", ".h", ".S", ".py") + [ROOT / "quire"]
    assert lines_matching(files, MARKS) == []


def test_no_machine_of_ours(tracked):
    assert lines_matching(tracked, MACHINE) + lines_matching(tracked, MIRROR) == []


def test_patterns_match():
    """The two tests above look for something that exists."""
    assert MARKS.search("/* TO" + "DO: this */") and not MARKS.search("a mastodon")
    assert MACHINE.search("cd /wo" + "rk/main") and not MACHINE.search("net/wo" "rk/x or $ROOT/wo" "rk/x")
    assert MIRROR.search("deb http://deb.deb" + "ian.org/x") and not MIRROR.search("https://man7.org")


def test_syscall_document():
    done = run_together([ROOT / "tools/syscalls.py", "--check"])
    assert done.status == 0, done.text


def test_shell_parses():
    scripts = [ROOT / "quire", ROOT / ".ci/run", ROOT / "user/etc/rc", *ROOT.glob("tools/quire/*.sh"),
               *ROOT.glob("tests/guest/*.sh"), *ROOT.glob("bench/workloads/*.sh")]
    assert len(scripts) > 5
    for script in scripts:
        done = run_together(["sh", "-n", script])
        assert done.status == 0, done.text


def test_python_parses(tracked):
    files = of_kind(tracked, ".py")
    assert len(files) > 10
    for path in files:
        ast.parse(path.read_text(), str(path), feature_version=(3, 9))
