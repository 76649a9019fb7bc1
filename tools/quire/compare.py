"""./quire compare: what each mechanism of the memory system is worth. One workload runs in a guest per
setting, under icount; user/quire-measure.c reports what it cost there. The results are a table, a
plot, and all counters in a file."""

import concurrent.futures
import io
import json
import os
import re
from pathlib import Path

import machine
import plot
from bench import plural, variant
from host import BUILD, ROOT, Failure, make, say

SOURCES = ROOT / "bench/workloads"
PROGRAMS = BUILD / "bench/workloads"
MEM = "256M"
DEFAULT = "default"

# Boot parameters, one mechanism each. What the kernel does not know, or has as its default, is left
# out with a word.
SETTINGS = ("vm.lazy=0", "vm.cow=0", "vm.share_tables=0", "vm.demand_exec=0", "vm.fault_around=1",
            "vm.fault_around=64", "vm.thp=never", "vm.thp=reserve", "vm.thp=always")
SETTING = re.compile(r"vm\.\w+=\w+( vm\.\w+=\w+)*")

# Columns of the table: title, counters of /proc/vmstat that are added up. One without any counter in
# this kernel is left out.
COLUMNS = (("faults", ("pgfault",)), ("zeroed", ("fault_zero",)),
           ("zero page", ("fault_zero_page",)), ("file", ("fault_file", "fault_shared")),
           ("around", ("fault_around",)), ("copied", ("fault_cow_copy", "fault_file_copy")),
           ("reused", ("fault_cow_reuse",)), ("superpages", ("thp_fault_alloc",)),
           ("tables", ("table_alloc",)))
PLOTTED = ("instructions", "faults", "copied", "peak KiB")


def workloads():
    """Names of what lies in bench/workloads."""
    return sorted(p.stem for p in SOURCES.iterdir() if p.suffix in (".c", ".sh"))


def command(name):
    """How the guest runs a workload: what is copied in, the command, what prepares it. A script is
    called with the argument "prepare" first."""
    if (SOURCES / f"{name}.sh").exists():
        script = f"/{name}.sh"
        return [f"{SOURCES}/{name}.sh:{script}"], ["/bin/sh", script], f"/bin/sh {script} prepare"
    return [f"{PROGRAMS}/{name}:/{name}"], [f"/{name}"], ":"


def parse(report):
    """What quire-measure wrote: the figures of the table, the parameters, all counters' growth."""
    values, vm, counters = {}, {}, {}
    for line in report.splitlines():
        word, _, rest = line.partition(" ")
        name, _, value = rest.partition(" ")
        if word == "vm":
            vm[f"vm.{name}"] = value
        elif word in ("before", "after"):
            counters[name] = int(value) - (counters[name] if word == "after" else 0)
        else:
            values[word] = int(rest)
    result = {"status": values["status"], "instructions": values["cpu_us"] * 1000, "vm": vm,
              "counters": counters}
    if "peak" in values:
        result["peak KiB"] = values["peak"] * 4
    for title, names in COLUMNS:
        if any(name in counters for name in names):
            result[title] = sum(counters.get(name, 0) for name in names)
    return result


def measure_once(args, work, setting, *options):
    """One guest: the figures of one workload under one setting."""
    copies, argv, before = work
    out, err = io.BytesIO(), io.BytesIO()
    words = args.append if setting == DEFAULT else f"{args.append} {setting}".strip()
    guest = variant(args, append=words, copy_in=args.copy_in + copies)
    script = f'{before} >&2 && exec quire-measure {" ".join(options)} "$@"'
    status = machine.execute(guest, ["/bin/sh", "-c", script, "sh", *argv], out, err)
    said = err.getvalue().decode(errors="replace").rstrip()
    if status != 0:
        raise Failure(f"{setting}: the guest ended with status {status}\n{said}", status)
    result = parse(out.getvalue().decode(errors="replace"))
    if result["status"] != 0:
        say(f"{setting}: {' '.join(argv)} ended with status {result['status']}\n{said}")
    return result


def measure(args, work, setting):
    """The figures of one workload under one setting, its peak from a guest of its own: watching it
    disturbs the others."""
    result = measure_once(args, work, setting)
    if result["status"] == 0:
        result["peak KiB"] = measure_once(args, work, setting, "-p")["peak KiB"]
    return result


def pairs(setting):
    """(parameter, value) of each word."""
    return [tuple(word.split("=")) for word in setting.split()]


def took(setting, vm):
    """Whether a kernel with these parameters runs under this setting."""
    return all(vm.get(name) == value for name, value in pairs(setting))


def reason_against(setting, vm):
    """Why a setting is left out, given the parameters of the default; None: it is not."""
    for name, _ in pairs(setting):
        if name not in vm:
            return f"this kernel has no {name}"
    return "it is the default" if took(setting, vm) else None


def measure_all(args, work, settings):
    """{setting: figures}, the default first, and {setting: why it was left out}."""
    results = {DEFAULT: measure(args, work, DEFAULT)}
    reasons = {s: reason_against(s, results[DEFAULT]["vm"]) for s in settings}
    todo = [s for s in settings if not reasons[s]]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            results.update(zip(todo, pool.map(lambda s: measure(args, work, s), todo)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    for setting in todo:
        if not took(setting, results[setting]["vm"]):
            raise Failure(f"the kernel did not take {setting}")
    return results, {s: reason for s, reason in reasons.items() if reason}


def ratio(value, base):
    """How a figure stands to the default's, as text."""
    if value == base:
        return "1"
    return f"{value / base:.3g}" if base else "-"


def table(results):
    """Lines of Markdown. A command that failed has no figures."""
    base = results[DEFAULT]
    titles = [title for title, _ in COLUMNS if title in base]
    yield f"| setting | instructions | ratio | {' | '.join(titles)} | peak KiB | ratio |"
    yield "|---|" + "---:|" * (len(titles) + 4)
    for setting, r in results.items():
        if r["status"] != 0:
            yield f"| {setting} | failed: {r['status']} |" + " |" * (len(titles) + 3)
            continue
        yield (f"| {setting} | {r['instructions']:,} | {ratio(r['instructions'], base['instructions'])} | "
               + " | ".join(f"{r[title]:,}" for title in titles)
               + f" | {r['peak KiB']:,} | {ratio(r['peak KiB'], base['peak KiB'])} |")


def document(args, everything, left_out):
    """Lines of results.md."""
    yield f"{plural(args.cpus, 'hart')}, {args.mem}, {args.flavour} build, one instruction per nanosecond."
    for setting, reason in left_out.items():
        yield f"Left out: {setting}, {reason}."
    for name, results in everything.items():
        yield from ("", f"## {name}", "", *table(results))


def chosen(args):
    """Settings to compare, and {workload: how to run it}."""
    settings = [s.strip() for s in args.settings.split(",")] if args.settings else list(SETTINGS)
    for setting in settings:
        if not SETTING.fullmatch(setting):
            raise Failure(f"--settings {setting}: must be like vm.cow=0, or several with blanks between", 2)
    if args.argv[:1] == ["--"] and args.argv[1:]:
        return "command", settings, {" ".join(args.argv[1:]): ([], args.argv[1:], ":")}
    names = workloads() if args.argv == ["all"] else args.argv
    unknown = [name for name in names if name not in workloads()]
    if unknown or not names:
        raise Failure(f"compare needs workloads (all or some of {' '.join(workloads())}) or -- CMD ARG..."
                      + (f"; there is no {unknown[0]}" if unknown else ""), 2)
    return "-".join(args.argv), settings, {name: command(name) for name in names}


def run(args):
    for name in ("disk", "copy_out", "console"):
        if getattr(args, name):
            raise Failure(f"--{name.replace('_', '-')} does not go with compare, which boots many guests", 2)
    label, settings, works = chosen(args)
    make("workloads")
    args = variant(args, icount=True, cpus=args.cpus or 1, mem=args.mem or MEM)
    out = Path(args.out) if args.out else BUILD / "compare" / label
    out.mkdir(parents=True, exist_ok=True)
    everything, left_out = {}, {}
    for name, work in works.items():
        say(f"measuring {name}")
        everything[name], left_out = measure_all(args, work, settings)
    text = "\n".join(document(args, everything, left_out)) + "\n"
    (out / "results.md").write_text(text)
    (out / "results.json").write_text(json.dumps(everything, indent=1) + "\n")
    for figure in PLOTTED:
        plot.draw(everything, DEFAULT, figure, out / f"{figure.split()[0]}.svg")
    print(text, end="")
    say(f"table, plots and all counters are in {out}")
    return 0 if all(r["status"] == 0 for results in everything.values() for r in results.values()) else 1
