"""./quire: the command line. Each command is a function of one of the modules beside this file."""

import argparse
import sys

import bench
import compare
import guest
import linux
import machine
import suites
from host import Failure, need

COMMANDS = ("run", "exec", "test", "bench", "compare", "debug")


def seconds(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be more than 0 seconds")
    return value


def options(mem="128M", cpus=2):
    """The options that run, exec, debug, bench and test share."""
    p = argparse.ArgumentParser(add_help=False)
    p.add_argument("--mem", default=mem, help="RAM, default 128M")
    p.add_argument("--cpus", type=int, default=cpus, choices=range(1, 9), metavar="1..8",
                   help="harts, default 2")
    p.add_argument("--swap", help="attach a swap device of this size (not built yet)")
    p.add_argument("--append", default="", help="boot parameters, such as 'vm.cow=0'")
    p.add_argument("--copy-in", action="append", default=[], metavar="HOST:GUEST",
                   help="put a file or folder of the host into the guest's disk first (repeatable)")
    p.add_argument("--copy-out", action="append", default=[], metavar="GUEST:HOST",
                   help="get a file out of the guest's disk afterwards (repeatable)")
    p.add_argument("--disk", help="use this disk image, written in place and kept")
    p.add_argument("--icount", action="store_true",
                   help="deterministic: one instruction is one nanosecond")
    p.add_argument("--timeout", type=seconds, help="end the guest after this many seconds")
    p.add_argument("--console", metavar="FILE", help="write everything the console says to FILE")
    p.add_argument("--xv6", metavar="FILE.c", help="compile an xv6 program (not built yet)")
    flavour = p.add_mutually_exclusive_group()
    flavour.add_argument("--release", dest="flavour", action="store_const", const="release")
    flavour.add_argument("--debug", dest="flavour", action="store_const", const="debug",
                         help="lock checker, verification, poisoning")
    p.set_defaults(flavour="release", linux=False)
    return p


def parser():
    shared = options()
    p = argparse.ArgumentParser(prog="quire", description="Build and run the Quire kernel.")
    sub = p.add_subparsers(dest="command", required=True, metavar="|".join(COMMANDS))
    sub.add_parser("run", parents=[shared],
                   help="build and boot to a shell on this terminal; Ctrl-A X leaves")
    e = sub.add_parser("exec", parents=[shared], usage="quire exec [options] -- CMD ARG...",
                       help="boot a throw-away guest, run one command, exit with its status")
    # For tests/guest and their authors only: Debian's kernel is the oracle.
    e.add_argument("--linux", action="store_true", help=argparse.SUPPRESS)
    e.add_argument("argv", nargs=argparse.REMAINDER)
    t = sub.add_parser("test", parents=[shared], help="run all test suites, or the named ones")
    t.add_argument("suites", nargs="*", metavar="SUITE", help=" ".join(suites.NAMES))
    b = sub.add_parser("bench", parents=[options(mem=None, cpus=None)],
                       help="micro-benchmarks in instructions; one hart unless --cpus says else")
    b.add_argument("rows", nargs="*", metavar="ROW")
    b.add_argument("--linux", action="store_true", help="beside the same on Debian's Linux")
    b.add_argument("--fresh", action="store_true", help="measure Linux again, whatever is kept")
    c = sub.add_parser("compare", parents=[options(mem=None, cpus=None)],
                       usage="quire compare [options] all | WORKLOAD... | -- CMD ARG...",
                       help="what a workload costs with each memory mechanism switched off")
    c.add_argument("--settings", metavar="SETTING,...", help="these, such as vm.cow=0,vm.lazy=0")
    c.add_argument("--out", metavar="DIR", help="where the results go, default build/compare/NAME")
    c.add_argument("argv", nargs=argparse.REMAINDER)
    sub.add_parser("debug", parents=[shared], help="as run, with gdb attached")
    return p


def main():
    args = parser().parse_args()
    try:
        for name in ("swap", "xv6"):
            if getattr(args, name, None):
                raise Failure(f"--{name} is not built yet")
        need(args.command)
        if args.command == "test":
            return suites.run(args)
        guest.prepare(args)
        if args.linux:
            linux.prepare()
        if args.command == "run":
            return machine.run(args)
        if args.command == "debug":
            return machine.debug(args)
        if args.command == "bench":
            return bench.run(args)
        if args.command == "compare":
            return compare.run(args)
        argv = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
        if not argv:
            raise Failure("exec needs a command: ./quire exec -- CMD ARG...")
        return machine.execute(args, argv)
    except Failure as failure:
        print(f"quire: {failure}", file=sys.stderr)
        return failure.status
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
