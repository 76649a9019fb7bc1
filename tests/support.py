"""What the suites share: where things are, the seed, running programs with a limit."""

import os
import signal
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SEED = int(os.environ["QUIRE_SEED"])  # conftest.py sees to it that there is one


class Result:
    """How a program ended and what it wrote, as bytes; `text` and `error` are the same as text."""

    def __init__(self, status, out, err=b""):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"status {self.status}\n--- stdout ---\n{self.text}\n--- stderr ---\n{self.error}"

    @property
    def text(self):
        return self.out.decode(errors="replace")

    @property
    def error(self):
        return self.err.decode(errors="replace")


def run(argv, limit=120, stderr=subprocess.PIPE, **kwargs):
    """Runs a program in the source tree, in a session of its own: when the limit has passed nothing
    of it outlives the TimeoutExpired, QEMU included."""
    argv = [str(a) for a in argv]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
                          start_new_session=True, **{"cwd": ROOT, **kwargs}) as child:
        try:
            out, err = child.communicate(timeout=limit)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        return Result(child.returncode, out, err or b"")


def run_together(argv, limit=120, **kwargs):
    """The same with stderr in stdout."""
    return run(argv, limit, stderr=subprocess.STDOUT, **kwargs)
