"""./quire bench: bench/*.c in a guest under icount, where the instruction counter is exact, and the
boot: from the kernel's first instruction to init's, as the kernel reports it on the console."""

import argparse
import re
import tempfile
from pathlib import Path

import machine
from host import BUILD, Failure, call, make

PROGRAM = BUILD / "bench/bench"
# fork-64m needs this much under strict commit accounting: twice 64 MiB and what the rest takes.
MEM, BOOT_MEM = "256M", "128M"
BOOT_LINE = re.compile(r"boot: \S+ starts (\d+) ns after the kernel's first instruction, "
                       r"(\d+) of them idle")


def variant(args, **changes):
    return argparse.Namespace(**{**vars(args), **changes})


def chosen(name, wanted):
    """As bench.c chooses: by the whole name, or by what stands before a '-'."""
    return any(name == w or name.startswith(w + "-") for w in wanted)


def boot_row(args):
    """Boots a guest for nothing else. One instruction takes one nanosecond."""
    mem = args.mem or BOOT_MEM
    with tempfile.TemporaryDirectory(prefix="quire-") as work:
        console = args.console or f"{work}/console"
        status = machine.execute(variant(args, mem=mem, console=console, copy_in=[], copy_out=[]),
                                 ["/bin/true"])
        found = BOOT_LINE.search(Path(console).read_text(errors="replace"))
    if status != 0 or not found:
        raise Failure("the guest did not say how long its boot took", status or 1)
    total, idle = map(int, found.groups())
    print(f"{'boot':<16} {total - idle:>13,}  kernel's first instruction to init's, {mem}, "
          f"{args.cpus} hart{'s' if args.cpus > 1 else ''}")


def run(args):
    make("bench")
    names = call(["qemu-riscv64", PROGRAM, "--list"], "listing the rows").split() + ["boot"]
    for wanted in args.rows:
        if not any(chosen(name, [wanted]) for name in names):
            raise Failure(f"there is no row {wanted}; there are: {' '.join(names)}", 2)
    args = variant(args, icount=True, timeout=args.timeout or 600, cpus=args.cpus or 1)
    status = 0
    rows = [name for name in names if name != "boot" and chosen(name, args.rows)]
    if rows or not args.rows:
        copies = args.copy_in + [f"{PROGRAM}:/bin/bench"]
        status = machine.execute(variant(args, copy_in=copies, mem=args.mem or MEM),
                                 ["/bin/bench", *rows])
    if not args.rows or "boot" in args.rows:
        boot_row(args)
    return status
