#!/usr/bin/python3
"""Checks who includes whom in the kernel. Prints one line per violation; exits with 1 if there are any.

    lib <- core <- mm <- dev <- fs <- proc <- syscall      each may include what stands left of it
    arch/riscv   beside core: lib, core, include/arch, <machine/>, and of mm what a port hands pages to
    <machine/>   a port's inlines, behind the contracts in include/arch: only those and the port name them
    boot         all of the above
    X_priv.h     only its own folder (fs/vfs_priv.h: the file systems below fs/ as well)

Also: no header includes itself through others, every header compiles alone, nothing comes from the C
library (but under QUIRE_HOST, for the unit tests). tests/, user/ and bench/ may include what they like."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ["lib", "core", "mm", "dev", "fs", "proc", "syscall"]
# What may be included besides one's own layer and those below it.
EXTRA = {
    "arch": {"lib", "core", "machine"},
    "boot": {*LAYERS, "arch"},
    **{layer: {"arch"} for layer in LAYERS[1:]},
}
ARCH_USES_OF_MM = {"mm/kva.h", "mm/page.h"}  # stacks and pages for the harts it starts
PORT = "arch/riscv"
COMPILER_HEADERS = {"stdarg.h", "stdbool.h", "stddef.h", "stdint.h"}
LINUX_FOLDERS = ("linux/", "asm/", "asm-generic/")
FRAGMENTS = {"syscall/list.h"}  # lines for a macro of whoever includes it: compiles nowhere alone
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^">]+)[">]')
CONDITION = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif|else|endif)\b(.*)")


def sources(root=ROOT):
    """The kernel's files, relative to the root."""
    folders = [*LAYERS, "arch", "boot", "include"]
    return sorted(p.relative_to(root).as_posix() for folder in folders
                  for p in (root / folder).rglob("*") if p.suffix in (".c", ".h", ".S"))


def layer_of(path):
    """The layer a file belongs to, for a public header as for a source."""
    parts = path.split("/")
    if path.startswith(f"{PORT}/include/machine/"):
        return "machine"
    return parts[1] if parts[0] == "include" else parts[0]


def includes(path, root=ROOT):
    """(line number, '<' or '"', name, only for the host) of each include in a file."""
    conditions = []
    for number, line in enumerate((root / path).read_text().splitlines(), 1):
        if match := CONDITION.match(line):
            word, rest = match[1], match[2].strip()
            if word.startswith("if"):
                conditions.append(f"{word} {rest}")
            elif word == "endif":
                conditions.pop()
            else:
                conditions[-1] = f"else of {conditions[-1]}"
        elif match := INCLUDE.match(line):
            host = {"ifdef QUIRE_HOST", "else of ifndef QUIRE_HOST"} & set(conditions)
            yield number, match[1], match[2], bool(host)


def resolve(path, kind, name, root=ROOT):
    """The file of the tree that an include names, or None."""
    places = [root / "include", root / PORT / "include", root]
    if kind == '"':
        places.insert(0, (root / path).parent)
    for place in places:
        if (place / name).is_file():
            return (place / name).resolve().relative_to(root.resolve()).as_posix()
    return None


def private_allowed(path, target):
    folder = target.rsplit("/", 1)[0]
    here = path.rsplit("/", 1)[0]
    return here == folder or target == "fs/vfs_priv.h" and here.startswith("fs/")


def edge_error(path, target):
    """Why `path` must not include `target`, or None."""
    source, layer = layer_of(path), layer_of(target)
    if target.endswith("_priv.h"):
        return None if private_allowed(path, target) else "private to its folder"
    if layer == "machine":
        allowed = source in ("machine", "arch")
        return None if allowed else "only the port and include/arch name <machine/>"
    if source == "machine":
        source = "arch"
    if source == layer or layer in EXTRA.get(source, ()):
        return None
    if source == "arch":
        return None if target.removeprefix("include/") in ARCH_USES_OF_MM else "arch stands beside core"
    if source in LAYERS and layer in LAYERS and LAYERS.index(layer) < LAYERS.index(source):
        return None
    return f"{source} must not include {layer}"


def foreign_error(kind, name, host):
    """Why a header from outside the tree must not be included, or None."""
    if kind == '"':
        return "there is no such file in the tree"
    if name in COMPILER_HEADERS or name.startswith(LINUX_FOLDERS) or host:
        return None
    return "the C library is not for the kernel"


def check_edges(root=ROOT):
    """Violations of direction, and the graph of the headers."""
    errors, graph = [], {}
    for path in sources(root):
        for number, kind, name, host in includes(path, root):
            target = resolve(path, kind, name, root)
            error = edge_error(path, target) if target else foreign_error(kind, name, host)
            if error:
                errors.append(f"{path}:{number}: includes {name}: {error}")
            if target and path.endswith(".h"):
                graph.setdefault(path, []).append(target)
    return errors, graph


def check_cycles(graph):
    """One line for each include that closes a cycle."""
    errors, done = [], set()

    def visit(path, above):
        if path in above:
            cycle = above[above.index(path):] + [path]
            errors.append(f"{path}: include cycle: {' -> '.join(cycle)}")
            return
        if path in done:
            return
        for target in graph.get(path, []):
            visit(target, above + [path])
        done.add(path)

    for path in sorted(graph):
        visit(path, [])
    return errors


def compiler(root=ROOT):
    """The kernel's compiler with its flags, as the Makefile has them."""
    out = subprocess.run(["make", "-s", "-C", str(root), "--eval",
                          "print-compiler: ; @echo $(CC) $(CPPFLAGS) $(CFLAGS)", "print-compiler"],
                         stdout=subprocess.PIPE, text=True, check=True)
    return out.stdout.split()


def check_alone(root=ROOT):
    """Compiler messages of headers that need another one before them."""
    command = compiler(root) + ["-fsyntax-only", "-x", "c", "-"]
    headers = [h for h in sources(root) if h.endswith(".h") and h not in FRAGMENTS]

    def compile_one(header):
        name = header.split("include/", 1)[-1]
        done = subprocess.run(command, input=f'#include "{name}"\n', cwd=root, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        first = next((s for s in done.stdout.splitlines() if "error" in s), done.stdout)
        return f"{header}: does not compile alone: {first}" if done.returncode else None

    with ThreadPoolExecutor() as pool:
        return [e for e in pool.map(compile_one, headers) if e]


def main():
    errors, graph = check_edges()
    errors += check_cycles(graph) + check_alone()
    for error in errors:
        print(error)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
