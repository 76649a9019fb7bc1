"""The test suites: pytest runs them all, so its closing line is the verdict."""

import os
import subprocess
import sys

import guest
import linux
from host import ROOT, Failure, make, say

NAMES = ("check", "host", "guest", "e2e")


def run(args):
    unknown = [s for s in args.suites if s not in NAMES]
    if unknown:
        raise Failure(f"unknown suite {unknown[0]}: there are {', '.join(NAMES)}", 2)
    wanted = args.suites or list(NAMES)
    if {"guest", "e2e"} & set(wanted):
        for flavour in ("release", "debug"):
            make("kernel", flavour=flavour)
        guest.prepare(args)
        linux.prepare()
        make("tests", "bench")
    say("running " + " ".join(wanted))
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs"]
    argv += [str(ROOT / "tests" / s) for s in wanted]
    return subprocess.run(argv, cwd=ROOT, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1")).returncode
