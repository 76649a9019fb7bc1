"""The unit tests of tests/host, one pytest test for each binary. They are built once a session; make
says what is wrong with one that does not build."""

import os
import re
from pathlib import Path

import pytest

from support import run_together

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "build/host"
MAKE = ["make", "-s", "-C", HERE]
NAMES = re.search(r"^TESTS = (.*)$", (HERE / "Makefile").read_text(), re.M)[1].split()


@pytest.fixture(scope="session")
def built():
    """Everything in parallel. What fails here fails again, with its message, in its own test."""
    run_together([*MAKE, "-k", f"-j{os.cpu_count()}", "all", OUT / "virt.dtb"], limit=600)


def test_all_are_listed():
    """A test_X.c that the Makefile does not know would never run."""
    assert sorted(NAMES) == sorted(p.stem[5:] for p in HERE.glob("test_*.c"))


@pytest.mark.parametrize("name", NAMES)
def test_host(name, built):
    binary = OUT / f"test_{name}"
    done = run_together([*MAKE, binary], limit=300)
    assert done.status == 0, f"test_{name} does not build:\n{done.text}"
    done = run_together([binary], limit=300, env=dict(os.environ, QUIRE_TEST_DTB=str(OUT / "virt.dtb")))
    assert done.status == 0, done.text
    passed = re.search(r"\[  PASSED  \] (\d+) test", done.text)
    assert passed and int(passed[1]) > 0, f"no test ran:\n{done.text}"
