"""./quire run: a person at the console."""

import time

import pexpect
import pytest


def test_session(terminal, disk, fsck):
    child = terminal("--disk", disk)
    assert "Quire 6." in child.before and "on riscv64" in child.before
    child.sendline("echo $((6 * 7))")
    child.expect_exact("echo $((6 * 7))")  # the echo
    child.expect(r"\n42\r")
    child.prompt()

    # line editing: backspace, ^U, and the history
    child.send("echo wrong\x7f\x7f\x7f\x7f\x7fright\r")
    child.expect(r"\nright\r")
    child.prompt()
    child.send("rm -rf /\x15echo nothing happened\r")
    child.expect(r"\nnothing happened\r")
    child.prompt()
    child.send("\x1b[A\r")
    child.expect(r"\nnothing happened\r")
    child.prompt()

    # ^C
    child.sendline("sleep 1000")
    time.sleep(0.7)
    child.send("\x03")
    child.prompt()
    assert child.enter("echo $?") == "130"
    # ^C reaches the whole pipeline, and nothing of it is left
    child.sendline("yes | cat >/dev/null")
    time.sleep(0.7)
    child.send("\x03")
    child.prompt()
    assert child.enter("ps | grep -c '[y]es$'") == "0"

    # job control
    child.sendline("sleep 2; echo slept")
    time.sleep(0.5)
    child.send("\x1a")
    child.expect("Stopped")
    child.prompt()
    assert "Stopped" in child.enter("jobs")
    assert "T" in child.enter("grep State /proc/$!/status || grep -h State /proc/[0-9]*/status")
    child.sendline("fg")
    child.prompt()
    assert child.enter("jobs") == ""
    assert "Running" in child.enter("sleep 50 & jobs")
    child.enter("kill %1; wait")

    # canonical mode without a shell: ^D ends input, backspace edits
    child.sendline("cat >/root/typed")
    child.send("lone\x7f\x7f\x7fine\r\x04")
    child.prompt()
    assert child.enter("cat /root/typed") == "line"

    assert child.power_off() == 0
    fsck(disk)


@pytest.mark.parametrize("flavour", ["--release", "--debug"])
def test_files_persist(terminal, disk, fsck, flavour):
    child = terminal("--disk", disk, flavour)
    child.enter("mkdir /root/kept; echo from the first run >/root/kept/file")
    assert child.power_off() == 0
    fsck(disk)
    child = terminal("--disk", disk, flavour)
    assert child.enter("cat /root/kept/file") == "from the first run"
    assert child.power_off() == 0
    fsck(disk)


def test_leaving_at_once(terminal, disk):
    """Ctrl-A X ends the machine whatever it does, and gives the terminal back."""
    child = terminal("--disk", disk)
    child.sendline("while :; do :; done")
    time.sleep(0.3)
    child.send("\x01x")
    child.expect(pexpect.EOF, timeout=10)


def test_shell_comes_back(terminal, disk):
    child = terminal("--disk", disk)
    child.sendline("exit")
    child.expect("built-in shell")
    child.prompt()
    assert child.enter("echo again") == "again"


def test_reboot_ends_the_machine(terminal, disk, fsck):
    child = terminal("--disk", disk)
    child.enter("echo x >/root/x")
    child.sendline("reboot")
    child.expect(pexpect.EOF)
    fsck(disk)


def test_time_limit(terminal, disk):
    child = terminal("--disk", disk, limit=5, prompt=False)
    assert child.ended() == 124


def test_console_file(terminal, disk, tmp_path):
    log = tmp_path / "console"
    child = terminal("--disk", disk, "--console", log)
    child.enter("echo into the $((1 + 1)) log")
    child.power_off()
    assert "into the 2 log" in log.read_text(errors="replace")
