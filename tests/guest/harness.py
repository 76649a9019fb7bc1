"""Runs the guest programs: on Linux as the oracle, and in Quire guests, all of them in one boot per
configuration."""

import concurrent.futures
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build/tests/guest"
SOURCE = ROOT / "tests/guest"
PROGRAMS = sorted(p.stem for p in SOURCE.glob("*.c"))

# A program must end within this many seconds, a boot must reach the first one within BOOT.
PROGRAM, BOOT = 150, 60


def kill_session(leader):
    """Ends every process of a session: tests have process groups of their own."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == leader:
                    os.kill(int(entry.name), signal.SIGKILL)
            except (OSError, IndexError):
                pass  # gone meanwhile


def run_limited(argv, limit, **kwargs):
    """Like subprocess.run with stdout, but everything it started goes at its end."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", start_new_session=True, **kwargs) as process:
        try:
            out = process.communicate(timeout=limit)[0]
        except subprocess.TimeoutExpired:
            kill_session(process.pid)
            out = process.communicate()[0] + f"\nkilled after {limit} s\n"
        finally:
            kill_session(process.pid)
        return process.returncode, out


def on_linux(argv, without):
    """One program on this host, but for the tests in `without`."""
    with tempfile.TemporaryDirectory(prefix="quire-test-") as folder:
        return run_limited([*argv, *(["-x", *without] if without else [])], PROGRAM, cwd=folder,
                           stdin=subprocess.DEVNULL)


def native(program):
    """`program` compiled for the host itself."""
    target = ROOT / "build/tests/native" / program
    source = SOURCE / f"{program}.c"
    newest = max(p.stat().st_mtime for p in (source, *SOURCE.glob("*.h")))
    if not target.exists() or target.stat().st_mtime < newest:
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-static",
                        "-pthread", "-o", target, source], check=True)
    return target


class Pool:
    """Programs that run beside each other on this host: they mostly sleep."""

    def __init__(self, jobs):
        self.workers = concurrent.futures.ThreadPoolExecutor(4)
        self.running = {name: self.workers.submit(on_linux, argv, list(without))
                        for name, (argv, without) in jobs.items()}

    def result(self, program):
        return self.running[program].result()


class Reader(threading.Thread):
    """Lines of a pipe, to be waited for with a time limit. None at the end."""

    def __init__(self, pipe):
        super().__init__(daemon=True)
        self.pipe, self.lines = pipe, queue.Queue()
        self.start()

    def run(self):
        for line in self.pipe:
            self.lines.put(line)
        self.lines.put(None)


class Guest:
    """The results of all programs in one configuration. The first result() boots; when a program
    takes the guest down with it, the rest get another boot."""

    def __init__(self, options, programs, folder, without):
        self.options, self.todo, self.folder = options, list(programs), folder
        self.without = without
        self.results = {}

    def result(self, program):
        """(status or None when it did not end, output)"""
        while program not in self.results:
            self.boot()
        return self.results[program]

    def boot(self):
        with tempfile.TemporaryDirectory(prefix="quire-test-") as work:
            stage = Path(work) / "tests"
            stage.mkdir()
            for program in self.todo:
                shutil.copy2(BUILT / program, stage)
                (stage / f"{program}.args").write_text(
                    " ".join(["-x", *self.without[program]] if self.without.get(program) else []))
            shutil.copy2(SOURCE / "run.sh", stage)
            console = Path(work) / "console"
            argv = [str(ROOT / "quire"), "exec", *self.options, "--timeout", "3000",
                    "--copy-in", f"{stage}:/tests", "--console", str(console), "--",
                    "sh", "/tests/run.sh", self.folder, os.environ["QUIRE_SEED"], *self.todo]
            with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  errors="replace", start_new_session=True) as quire:
                self.collect(quire, Reader(quire.stdout), console)

    def collect(self, quire, reader, console):
        """Reads the runner's report up to its end or the first program that does not end."""
        current, output, limit = None, [], BOOT
        deadline = time.monotonic() + limit
        ended = why = None
        while not ended:
            try:
                line = reader.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                why = f"nothing happened within {limit} s"
                break
            if line is None:
                why = f"the guest ended, status {quire.wait()}"
                break
            if line.startswith("@@ begin "):
                current, output, limit = line.split()[2], [], PROGRAM
                deadline = time.monotonic() + limit
            elif line.startswith("@@ end "):
                name, status = line.split()[2:4]
                self.results[name] = (int(status), "".join(output))
                self.todo.remove(name)
                current, limit = None, BOOT
                deadline = time.monotonic() + limit
            elif line.startswith("@@ all"):
                ended = True
            else:
                output.append(line)
        self.stop(quire)
        if ended:
            return
        while (line := reader.lines.get()) is not None:
            output.append(line)
        tail = "\n".join(console.read_text(errors="replace").splitlines()[-60:]
                         if console.exists() else [])
        blame = current or self.todo[0]
        self.todo.remove(blame)
        self.results[blame] = (None, f"{''.join(output)}\n{why}; the end of the console:\n{tail}")

    @staticmethod
    def stop(quire):
        """SIGINT lets ./quire end its QEMU."""
        try:
            quire.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(quire.pid, signal.SIGINT)
            try:
                quire.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(quire.pid, signal.SIGKILL)
