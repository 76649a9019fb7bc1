"""Shared by all suites: the order is shuffled by a seed that the header prints; QUIRE_SEED repeats it.
The same seed reaches the guest programs and the host's unit tests."""

import os
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/guest"), str(ROOT / "tests/e2e")]

SEED = os.environ.setdefault("QUIRE_SEED", str(int(time.time()) % 1000000))


def pytest_sessionstart(session):
    # Here and not in pytest_report_header(), which -q leaves out.
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter:
        reporter.write_line(f"QUIRE_SEED={SEED} repeats this order")


def pytest_collection_modifyitems(items):
    """Shuffles, but keeps what shares a guest together: tests of one boot are one block, and the
    blocks and the tests within a block change places."""
    rng = random.Random(SEED)
    blocks = {}
    for item in items:
        boot = getattr(item, "callspec", None) and item.callspec.params.get("boot")
        blocks.setdefault((item.fspath, boot) if boot else item.nodeid, []).append(item)
    order = sorted(blocks, key=str)
    rng.shuffle(order)
    shuffled = []
    for key in order:
        block = sorted(blocks[key], key=lambda item: item.nodeid)
        rng.shuffle(block)
        shuffled += block
    items[:] = shuffled
