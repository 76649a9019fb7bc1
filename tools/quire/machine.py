"""The guest machine: QEMU's `virt` board.

exec talks to the guest over three virtio consoles, one byte stream each: 0 carries the command's
stdout, 1 its stderr, 2 is control. On control the host sends the job (argument count, then the
arguments, each ended by NUL) and user/quire-exec.c answers "start\\n", then "exit STATUS\\n"."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import guest
import image
import linux
from host import BUILD, Failure, say

PANIC, TIMED_OUT = 125, 124
EXEC_TIMEOUT = 300


MEM_MIN = "8M"  # the least with which busybox's shell runs: tests/e2e/test_machine.py


def size_of(text):
    """Bytes of a size such as 128M; a bare number is MiB, as for QEMU. None: not a size."""
    unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:])
    digits = text[:-1] if unit else text
    return int(digits) * (unit or 1 << 20) if digits.isascii() and digits.isdigit() else None


def kernel(args, words):
    """Options that boot the kernel with these parameters before the user's own."""
    words = f"{words} {args.append}".strip()
    if args.linux:
        return linux.options(words)
    return ["-kernel", str(BUILD / args.flavour / "quire.img"), "-append", words]


def qemu(args, disk, append=""):
    """The command line that run, exec and debug share."""
    if size_of(args.mem) is None:
        raise Failure(f"--mem {args.mem}: must be a number with K, M or G, such as 128M", 2)
    if size_of(args.mem) < size_of(MEM_MIN):
        raise Failure(f"--mem {args.mem}: too little, the guest needs at least {MEM_MIN}", 2)
    if not disk.is_file():
        raise Failure(f"--disk {disk}: there is no such file; make one with mke2fs")
    if args.console:
        try:
            Path(args.console).write_bytes(b"")
        except OSError as error:
            raise Failure(f"--console {args.console}: cannot be written ({error.strerror})") from None
    argv = ["qemu-system-riscv64", "-machine", "virt", "-m", args.mem, "-smp", str(args.cpus),
            *kernel(args, append), "-global", "virtio-mmio.force-legacy=false", "-display", "none",
            "-monitor", "none",
            "-drive", f"file={disk},format=raw,if=none,id=root",
            "-device", "virtio-blk-device,drive=root,bus=virtio-mmio-bus.0",
            "-device", "virtio-rng-device,bus=virtio-mmio-bus.2", "-no-reboot"]
    if args.icount:
        argv += ["-icount", "shift=0"]
    return argv


def terminal(args):
    """Console options for an interactive guest; Ctrl-A X leaves."""
    log = f",logfile={args.console}" if args.console else ""
    return ["-chardev", f"stdio,id=console,mux=on,signal=off{log}", "-serial", "chardev:console"]


def interactive(args, extra=()):
    disk = guest.disk_for(args, None)
    image.copy_in(disk, args.copy_in)
    argv = qemu(args, disk)
    try:
        status = subprocess.run(argv + terminal(args) + list(extra), timeout=args.timeout).returncode
    except subprocess.TimeoutExpired:
        return TIMED_OUT
    finally:
        restore_terminal()
    image.copy_out(disk, args.copy_out)
    return status


def restore_terminal():
    if sys.stdin.isatty():
        subprocess.run(["stty", "sane"])


def run(args):
    say("booting; Ctrl-A X leaves")
    return interactive(args)


def debug(args):
    """QEMU halted at its gdb server, gdb on this terminal, the guest's console in a file."""
    log = args.console or str(BUILD / "console.log")
    disk = guest.disk_for(args, None)
    with tempfile.TemporaryDirectory(prefix="quire-") as work:
        sock = f"{work}/gdb"
        argv = qemu(args, disk) + ["-serial", f"file:{log}", "-S",
                                   "-chardev", f"socket,path={sock},server=on,wait=off,id=gdb",
                                   "-gdb", "chardev:gdb"]
        with subprocess.Popen(argv) as machine:
            say(f"the console goes to {log}; type 'continue' to boot")
            try:
                return subprocess.run(["gdb-multiarch", "-q", str(BUILD / args.flavour / "quire.elf"),
                                       "-ex", f"target remote {sock}"]).returncode
            finally:
                machine.kill()


class Streams:
    """The three byte streams of an exec guest. stdout and stderr end in files that are read as they
    grow, because a virtio console drops bytes when its other end is slow, and a file never is."""

    def __init__(self, work, sinks):
        self.work = Path(work)
        self.control = socket.socket(socket.AF_UNIX)
        self.control.bind(f"{work}/port2")
        self.control.listen(1)
        self.answer = b""
        self.sinks = {}
        for port, sink in enumerate(sinks):
            (self.work / f"port{port}").touch()
            self.sinks[port] = ((self.work / f"port{port}").open("rb"), sink)

    def options(self, on_linux):
        """Linux makes terminals of virtconsoles. Its plain ports have numbers from 1 up, and names."""
        device, ports = ("virtserialport", 2) if on_linux else ("virtconsole", 1)
        argv = []
        for port in range(3):
            kind = "socket" if port == 2 else "file"
            argv += ["-chardev", f"{kind},id=port{port},path={self.work}/port{port}",
                     "-device", f"virtio-serial-device,id=serial{port},max_ports={ports},"
                     f"bus=virtio-mmio-bus.{3 + port}",
                     "-device", f"{device},chardev=port{port},bus=serial{port}.0,name=vport{port}"]
        return argv

    def send(self, machine, data):
        """Hands the job over. False when QEMU ended before it connected."""
        self.control.settimeout(0.2)
        while True:
            try:
                self.peer = self.control.accept()[0]
                break
            except socket.timeout:
                if machine.poll() is not None:
                    return False
        self.peer.sendall(data)
        self.peer.settimeout(0.05)
        return True

    def drain(self):
        """Passes on what the guest has written so far."""
        for source, sink in self.sinks.values():
            while data := source.read(1 << 20):
                sink.write(data)
            sink.flush()

    def pump(self, machine, deadline):
        """Passes output on until the guest ends. False: the time limit passed first."""
        while machine.poll() is None:
            if time.monotonic() >= deadline:
                self.drain()
                return False
            try:
                self.answer += self.peer.recv(4096)
            except socket.timeout:
                pass
            except ConnectionError:
                break
            self.drain()
            if self.answer.endswith(b"\n") and b"exit " in self.answer:
                break
        try:
            machine.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        self.drain()
        return True

    def status(self):
        """The command's exit status as the guest reported it; None when it did not."""
        for line in self.answer.decode(errors="replace").splitlines():
            if line.startswith("exit "):
                return int(line.split()[1])
        return None


def job(argv):
    return b"".join([str(len(argv)).encode() + b"\0"] + [os.fsencode(a) + b"\0" for a in argv])


def tail(console, lines=40):
    text = Path(console).read_text(errors="replace") if Path(console).exists() else ""
    return "\n".join(text.splitlines()[-lines:])


def execute(args, argv, stdout=None, stderr=None):
    """Boots a guest, runs argv in it, returns its exit status. What it writes goes into two binary
    streams."""
    limit = args.timeout or EXEC_TIMEOUT
    with tempfile.TemporaryDirectory(prefix="quire-") as work:
        disk = guest.disk_for(args, work)
        image.copy_in(disk, args.copy_in)
        console = args.console or f"{work}/console"
        streams = Streams(work, (stdout or sys.stdout.buffer, stderr or sys.stderr.buffer))
        command = qemu(args, disk, "init=/sbin/quire-exec") + ["-serial", f"file:{console}"]
        command += streams.options(args.linux)
        deadline = time.monotonic() + limit
        with subprocess.Popen(command, stdin=subprocess.DEVNULL,
                              stderr=subprocess.PIPE) as machine:
            try:
                if not streams.send(machine, job(argv)):
                    raise Failure("QEMU did not start: " +
                                  machine.stderr.read().decode(errors="replace"), PANIC)
                in_time = streams.pump(machine, deadline)
            finally:
                machine.kill()
            said = machine.stderr.read()
        status = streams.status()
        if not in_time and status is None:
            say(f"time limit of {limit:g} s passed")
            return TIMED_OUT
        if status is None:
            if not tail(console):
                raise Failure("QEMU could not start the guest: " + said.decode(errors="replace"), PANIC)
            print(tail(console), file=sys.stderr)
            say("the guest panicked or did not boot; above is the end of its console")
            return PANIC
        image.copy_out(disk, args.copy_out)
        return status
