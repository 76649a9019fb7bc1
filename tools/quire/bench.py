"""./quire bench: bench/*.c in a guest under icount, where the instruction counter is exact, and the
boot: from the kernel's first instruction to init's, as the kernel reports it on the console.
With --linux the same program runs on Debian's kernel too. What it shows there changes only with the
kernel, the program and the machine, so it is kept in build/."""

import argparse
import hashlib
import io
import json
import re
import sys
import tempfile
from pathlib import Path

import linux
import machine
from host import BUILD, Failure, call, make, replace, say

PROGRAM = BUILD / "bench/bench"
KEPT = linux.FOLDER / "bench.json"
# fork-256m needs this much under strict commit accounting: twice 256 MiB and what the rest takes.
MEM, BOOT_MEM = "768M", "128M"
BOOT_LINE = re.compile(r"boot: \S+ starts (\d+) ns after the kernel's first instruction, "
                       r"(\d+) of them idle")
ROW_LINE = re.compile(r"([a-z][\w-]*) +([\d,]+|-)  (.*)")


def variant(args, **changes):
    return argparse.Namespace(**{**vars(args), **changes})


def chosen(name, wanted):
    """As bench.c chooses: by the whole name, or by what stands before a '-'."""
    return any(name == w or name.startswith(w + "-") for w in wanted)


def plural(count, noun):
    return f"{count} {noun}{'s' if count > 1 else ''}"


def number(value):
    return "-" if value is None else f"{value:,}"


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
    return total - idle, f"kernel's first instruction to init's, {mem}, {plural(args.cpus, 'hart')}"


def measure(args, rows, stdout=None):
    """Runs the program in a guest; its exit status."""
    copies = args.copy_in + [f"{PROGRAM}:/bin/bench"]
    return machine.execute(variant(args, copy_in=copies, mem=args.mem or MEM), ["/bin/bench", *rows],
                           stdout)


class Progress(io.BytesIO):
    """Keeps what a guest writes, and shows it on stderr as it comes."""

    def write(self, data):
        sys.stderr.write(data.decode(errors="replace"))
        return super().write(data)

    def flush(self):
        sys.stderr.flush()


def parse(text):
    """{row: (instructions or None, what it is)} of what the program wrote."""
    found = (ROW_LINE.fullmatch(line) for line in text.splitlines())
    return {m[1]: (None if m[2] == "-" else int(m[2].replace(",", "")), m[3]) for m in found if m}


def captured(args, rows, system):
    """The rows of one system. Those that failed have no figure."""
    say(f"measuring {system}")
    output = Progress()
    status = measure(args, rows, output)
    found = parse(output.getvalue().decode(errors="replace"))
    if set(rows) - set(found):
        raise Failure(f"the benchmark did not end well on {system}", status or 1)
    return found


def on_linux(args, rows):
    """{row: instructions} on Linux, as far as possible from what is kept."""
    program = hashlib.sha256(PROGRAM.read_bytes()).hexdigest()[:16]
    key = f"{linux.version()}, program {program}, {args.mem or MEM}, {plural(args.cpus, 'hart')}"
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    known = {} if args.fresh else kept.setdefault(key, {})
    missing = [row for row in rows if row not in known]
    if missing:
        # Quire's parameters and what is meant for its disk do not concern this guest.
        guest = variant(args, linux=True, append="", disk=None, copy_out=[], console=None)
        found = captured(guest, missing, f"Linux {linux.version()}")
        known = {**kept.get(key, {}), **{row: found[row][0] for row in missing}}
        replace(KEPT, json.dumps({**kept, key: known}, indent=1).encode() + b"\n")
    return known


def table(quire, other):
    """Lines: Quire's figures beside the other system's, and their ratio."""
    yield f"{'row':<16} {'Quire':>13} {'Linux':>13} {'ratio':>7}"
    for name, (mine, what) in quire.items():
        theirs = other.get(name)
        ratio = f"{mine / theirs:.3f}" if mine is not None and theirs else "-"
        note = "" if name in other else " (Quire alone)"
        yield f"{name:<16} {number(mine):>13} {number(theirs):>13} {ratio:>7}  {what}{note}"


def compared(args, rows, boot):
    """Both systems side by side. Status 0 when every row has its figures."""
    quire = captured(args, rows, "Quire") if rows else {}
    other = on_linux(args, rows)
    if boot:
        quire["boot"] = boot_row(args)
    for line in table(quire, other):
        print(line)
    print(f"Instructions per operation, Quire and Linux {linux.version()}; ratio: Quire / Linux.")
    return 0 if all(quire[row][0] is not None and other[row] is not None for row in rows) else 1


def run(args):
    make("bench")
    names = call(["qemu-riscv64", PROGRAM, "--list"], "listing the rows").split() + ["boot"]
    for wanted in args.rows:
        if not any(chosen(name, [wanted]) for name in names):
            raise Failure(f"there is no row {wanted}; there are: {' '.join(names)}", 2)
    both = args.linux
    args = variant(args, icount=True, timeout=args.timeout or 600, cpus=args.cpus or 1, linux=False)
    rows = [name for name in names if name != "boot" and (not args.rows or chosen(name, args.rows))]
    boot = not args.rows or "boot" in args.rows
    if both:
        return compared(args, rows, boot)
    status = measure(args, rows) if rows else 0
    if boot:
        value, what = boot_row(args)
        print(f"{'boot':<16} {value:>13,}  {what}")
    return status
