"""The guest programs: each must pass on Linux (the oracle: Debian's riscv64 kernel in the same
machine, qemu-user's imitation, the host's own kernel) and in Quire guests of several kinds."""

import pytest

import harness

# Tests that qemu-user's imitation of Linux fails; the host's own kernel is their oracle.
QEMU_USER = {
    "access": {
        "rewritten_code": "takes any flag of riscv_flush_icache",
        "wild_pointers": "user space is larger",
        "execute_only": "can be read, as on the host",
    },
    "map": {
        "unmap_errors": "aborts on ranges at the end of the address space",
        "protect_hole": "never returns from mprotect over a hole",
        "noreplace": "ignores MAP_FIXED_NOREPLACE",
        "remap_errors": "answers ENOMEM for a new size of 0",
        "dontneed_zeroes": "accepts holes",
        "brk_grows_and_shrinks": "keeps what brk gave back",
        "brk_obeys_rlimit_data": "does not pass the limit on",
        "remap_twice": "knows no old size of 0",
        "populated": "ignores MAP_POPULATE",
        "remap_over_holes": "wants all of the range mapped",
        "grows_down": "ignores MAP_GROWSDOWN",
        "sparse": "shows the emulator's own memory",
        "execute_only": "lets what can be run be read",
        "number_of_mappings": "needs mappings of its own",
    },
    "mlock": {
        "resident_at_once": "no mlock2",
        "errors": "no mlock2",
        "kept_in_place": "ignores most advice",
        "limit_over_the_sum": "counts the emulator's own memory",
        "all_of_it": "counts the emulator's own memory",
    },
    "memfd": {"future_write": "ignores MADV_REMOVE"},
    "remote": dict.fromkeys(["there_and_back", "lengths", "partial", "errors", "permission"],
                            "no process_vm_readv"),
    "advise": dict.fromkeys(["freed_pages", "wiped_on_fork", "left_out_of_fork", "removed",
                             "wanted_soon", "populated", "kept_as_flags", "errors", "names",
                             "superpages_off"], "ignores most advice"),
    "commit": {
        "random_lives": "never returns from mprotect over a hole",
        "each_call": "knows no old size of 0",
    },
    "efault": {"read_by_the_kernel": "nanosleep takes any pointer"},
    "procfs": dict.fromkeys(["status_fields", "maps_and_statm_agree"],
                            "shows the emulator's own threads and memory"),
    "figures": dict.fromkeys(["smaps_is_rollup", "pagemap_is_the_page_table", "status_sums_maps"],
                             "shows the emulator's own memory"),
    "pagemap": dict.fromkeys(["kinds_of_pages", "shared_by_fork", "reading", "who_may_read", "frames",
                              "referenced_pages", "peak_is_reset"],
                             "shows the emulator's own memory"),
    "limits": {
        "number_of_processes": "has threads of its own",
        "address_space": "does not pass the limit on",
    },
    "orphans": {"ignored_children_vanish": "SA_NOCLDWAIT does not reach the host"},
    "fork": {"vfork_shares_and_waits": "vfork is a fork there"},
    "stack": {
        "lowered_limit": "the stack is allocated at once",
        "guard_gap": "the stack is allocated at once",
    },
    "process": {
        "ignored_children_are_reaped": "SA_NOCLDWAIT does not reach the host",
        "subreaper_gets_orphans": "no PR_SET_CHILD_SUBREAPER",
        "parent_death_signal": "no PR_SET_CHILD_SUBREAPER",
        "clone_parent": "no CLONE_PARENT",
        "clone_without_signal": "children end with SIGCHLD only",
    },
    "jobs": {
        "sigchld_of_stops": "SA_NOCLDSTOP does not reach the host",
        "orphaned_group": "no PR_SET_CHILD_SUBREAPER",
    },
    "signals": {
        "real_time_queue": "delivers in the order of arrival",
        "masks_of_handlers": "loses sa_mask",
    },
    "frames": {"all_at_once": "keeps some real-time signals for itself"},
    "exec": dict.fromkeys([
        "arguments_and_environment", "large_arguments", "scripts", "busy_text", "what_is_kept",
        "from_a_thread", "after_vfork", "by_descriptor",
    ], "the host cannot run the new program"),
    "ids": {"set_user_id": "the host cannot run the new program"},
    "threads": {
        "owner_death": "no robust lists",
        "fork_in_a_thread": "has a thread of its own",
        "child_tid_is_cleared": "no CLONE_VM without CLONE_THREAD",
    },
}
# Tests that cannot be asked of the host's kernel.
SHARED = "counts the pages or blocks of a machine that other work shares"
HOST = {
    "fork": {"memory_returns": SHARED},
    "procfs": {"meminfo_makes_sense": SHARED},
    "bigfile": {"all_blocks_come_back": SHARED},
    "files": {"unlinked_files_live_on": SHARED, "statfs_counts": SHARED},
}
for name, tests in HOST.items():
    QEMU_USER.setdefault(name, {}).update(tests)

# Tests that a configuration cannot serve.
LAZY = "counts on memory that is there when it is touched"
WITHOUT = {
    "mem32": {
        "fork": {"shared_page_600": "600 kernel stacks and page tables alone are 20 MiB"},
        "tables": {"parent_changes": "four times 6 MiB are more than can be promised"},
        "superpages": dict.fromkeys(["reserves_and_promotes", "one_fault_each"],
                                    "other programs' files may leave no block of 2 MiB free"),
    },
    "eager": {
        "lazy": dict.fromkeys(["touched_pages_become_resident", "mincore_tells",
                               "faults_are_counted", "law_of_touching", "law_of_copying"],
                              LAZY),
        "procfs": dict.fromkeys(["maps_and_statm_agree", "meminfo_makes_sense"], LAZY),
        "pagemap": dict.fromkeys(["kinds_of_pages", "shared_by_fork", "reading", "frames"], LAZY),
        "superpages": dict.fromkeys(["reserves_and_promotes", "one_fault_each"], LAZY),
        "mapfile": {"neighbours_come_if_used": "vm.fault_around is 1"},
        "mlock": dict.fromkeys(["resident_at_once", "all_of_it"], LAZY),
        "commit": {"modes": "promises more than there is, and takes it at once"},
    },
    "tmpfs": {
        "bigfile": {"beyond_the_largest": "there is no largest file, as on Linux"},
        "mapfile": {"hole_reads_zero_and_fills": "holes that were read take space, as on Linux"},
    },
    "debian": {"fork": {"memory_returns": "Linux keeps freed pages in caches of its own"}},
}

CONFIGURATIONS = {
    "cpus1": ["--cpus", "1"],
    "cpus2": ["--cpus", "2"],
    "cpus4": ["--cpus", "4"],
    "debug2": ["--debug", "--cpus", "2"],
    "debug4": ["--debug", "--cpus", "4"],
    "mem32": ["--cpus", "2", "--mem", "32M"],
    "eager": ["--cpus", "2", "--append", "vm.lazy=0 vm.cow=0 vm.fault_around=1"],
    "tmpfs": ["--cpus", "2"],
    "classic": ["--cpus", "2", "--append", "vm.share_tables=0 vm.thp=never"],
    "thp": ["--debug", "--cpus", "4", "--mem", "192M", "--append", "vm.thp=always"],
}
# Linux, as strict about promised memory as Quire is, with room for its own needs.
DEBIAN = ["--linux", "--cpus", "2", "--mem", "512M",
          "--append", "sysctl.vm.overcommit_memory=2 sysctl.vm.overcommit_ratio=90"]
FOLDERS = {"tmpfs": "/tmp/work"}
# Configurations that run some programs only: those that stand on files, those with something at once.
ONLY = {
    "tmpfs": ["bigfile", "coherence", "dirs", "fifos", "fileio", "files", "locks", "mapfile", "mounts",
              "namerace", "names", "paths", "rights"],
    "classic": ["figures", "fork", "lazy", "map", "pagemap", "process", "superpages", "tables"],
    "thp": ["advise", "figures", "fork", "map", "mapfile", "mlock", "pagemap", "procfs", "stack",
            "superpages", "tables", "threads"],
    "debug4": ["coherence", "contention", "dirs", "exec", "fork", "namerace", "pressure", "process",
               "signals", "threads", "vmrace", "waiting"],
}

guests = {}

CASES = [(boot, program) for boot in CONFIGURATIONS for program in ONLY.get(boot, harness.PROGRAMS)]


def selected(request, like):
    """The programs that this session runs in tests called `like`."""
    return [item.callspec.params["program"] for item in request.session.items
            if item.originalname == like]


@pytest.fixture(scope="session")
def qemu_user(request):
    return harness.Pool({program: (["qemu-riscv64", harness.BUILT / program],
                                   QEMU_USER.get(program, ()))
                         for program in selected(request, "test_on_qemu_user")})


@pytest.fixture(scope="session")
def linux(request):
    return harness.Pool({program: ([harness.native(program)], HOST.get(program, ()))
                         for program in selected(request, "test_on_linux")})


@pytest.mark.parametrize("program", harness.PROGRAMS)
def test_on_qemu_user(qemu_user, program):
    status, out = qemu_user.result(program)
    assert status == 0, out


@pytest.mark.parametrize("program", harness.PROGRAMS)
def test_on_linux(linux, program):
    status, out = linux.result(program)
    assert status == 0, out


def result_in_guest(request, boot, options, program):
    if boot not in guests:
        wanted = [item.callspec.params["program"] for item in request.session.items
                  if getattr(item, "callspec", None) and item.callspec.params.get("boot") == boot]
        without = {p: list(t) for p, t in WITHOUT.get(boot, {}).items()}
        guests[boot] = harness.Guest(options, wanted, FOLDERS.get(boot, "/home/work"), without)
    return guests[boot].result(program)


@pytest.mark.parametrize("boot,program", [("debian", p) for p in harness.PROGRAMS])
def test_on_debian(request, boot, program):
    status, out = result_in_guest(request, boot, DEBIAN, program)
    assert status == 0, out


@pytest.mark.parametrize("boot,program", CASES, ids=["-".join(c) for c in CASES])
def test_on_quire(request, boot, program):
    status, out = result_in_guest(request, boot, CONFIGURATIONS[boot], program)
    assert status == 0, out
    assert "\nskip " not in f"\n{out}", f"nothing may be skipped in a guest:\n{out}"
