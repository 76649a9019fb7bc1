"""How the e2e tests drive ./quire. Every start has two limits: ./quire's own --timeout, and a later one
that kills what is left of it."""

import importlib
import sys

import pexpect
import pytest

from support import ROOT, run, run_together

LIMIT = 60  # seconds for a guest; a boot takes two
GRACE = 90  # for building what is not built yet
PROMPT = r"# \x1b\[6n"  # ash asks the terminal where the cursor is


@pytest.fixture(scope="session")
def tool():
    """tool(name): the module tools/quire/NAME.py."""
    sys.path.insert(0, str(ROOT / "tools/quire"))
    return importlib.import_module


@pytest.fixture(scope="session")
def image(tool):
    """Making disk images and looking into them."""
    return tool("image")


@pytest.fixture(scope="session")
def base_image():
    path = ROOT / "build/base.img"
    assert path.exists(), "./quire test builds it: run the tests through that"
    return path


@pytest.fixture
def disk(image, base_image, tmp_path):
    """A disk of this test's own, as a new guest has it."""
    path = tmp_path / "disk.img"
    image.clone(base_image, path)
    return path


@pytest.fixture(scope="session")
def quire():
    """quire(argument...): ./quire, to its end."""

    def quire(*argv, limit=LIMIT, entry=ROOT / "quire", **kwargs):
        return run([entry, *argv], limit + GRACE, **kwargs)

    return quire


@pytest.fixture(scope="session")
def execute(quire):
    """execute(option..., cmd=[...]): ./quire exec."""

    def execute(*options, cmd, limit=LIMIT):
        return quire("exec", "--timeout", limit, *options, "--", *cmd, limit=limit)

    return execute


@pytest.fixture(scope="session")
def shell(execute):
    """shell(option..., script=...): a shell script in a guest of its own."""

    def shell(*options, script, limit=LIMIT):
        return execute(*options, cmd=["sh", "-c", script], limit=limit)

    return shell


class Terminal(pexpect.spawn):
    """./quire run on a pseudo-terminal."""

    def prompt(self):
        self.expect(PROMPT)

    def enter(self, line):
        """What a command writes."""
        self.sendline(line)
        self.prompt()
        return "\n".join(self.before.replace("\r", "").split("\n")[1:-1])

    def power_off(self):
        """Exit status of ./quire."""
        self.sendline("poweroff")
        return self.ended()

    def ended(self):
        self.expect(pexpect.EOF)
        self.close()
        return self.exitstatus


@pytest.fixture
def terminal():
    """terminal(option...): ./quire run, waited for until its prompt."""
    opened = []

    def terminal(*options, prompt=True, limit=LIMIT):
        words = ["run", "--timeout", str(limit), *map(str, options)]
        child = Terminal(str(ROOT / "quire"), words, timeout=limit + GRACE, dimensions=(25, 80),
                         encoding="utf-8", codec_errors="replace")
        opened.append(child)
        if prompt:
            child.prompt()
            child.timeout = 20
        return child

    yield terminal
    for child in opened:
        child.close(force=True)


@pytest.fixture(scope="session")
def fsck():
    """Asserts that e2fsck finds nothing."""

    def fsck(path):
        done = run_together(["/sbin/e2fsck", "-fn", path])
        assert done.status == 0, done

    return fsck
