/*
 * Event counters of /proc/vmstat, per CPU. Linux's names where Linux has the counter. Each is
 * defined in docs/counters.md.
 */
#pragma once

#include "core/cpu.h"

/* clang-format off */ /* it would indent every line further */
#define VM_COUNTERS(X) \
    X(pgfault) X(pgmajfault) X(pgalloc) X(pgfree) X(pgpgin) X(pgpgout) X(pswpin) X(pswpout) \
    X(pgscan_kswapd) X(pgscan_direct) X(pgsteal_kswapd) X(pgsteal_direct) X(allocstall) \
    X(slabs_scanned) X(oom_kill) X(fault_zero) X(fault_zero_page) X(fault_cow_copy) \
    X(fault_cow_reuse) X(fault_file) X(fault_file_copy) X(fault_file_dirty) X(fault_shared) \
    X(fault_swap) X(fault_stack) X(fault_table) X(fault_spurious) X(fault_around) X(fork_tables) \
    X(fork_entries) X(tlb_flush_local) X(tlb_flush_remote) X(asid_rollover) X(table_alloc) \
    X(table_free) X(table_share) X(table_link) X(table_copy) X(thp_fault_alloc) \
    X(thp_fault_fallback) X(thp_promote) X(thp_split_page) X(reserve_made) X(reserve_broken) \
    X(readahead_pages) X(stash_steal)
/* clang-format on */

enum vm_counter {
#define X(name) VMC_##name,
    VM_COUNTERS(X)
#undef X
        VM_COUNTER_COUNT
};

extern u64 vm_counters[MAX_CPUS][VM_COUNTER_COUNT];
extern const char *const vm_counter_names[VM_COUNTER_COUNT];

/* Counts events. The add is one AMO, so a migration in between may book it on the other CPU but
 * never loses it. */
#define vm_count_add(name, n) \
    ((void)atomic_add_relaxed(&vm_counters[thread_self()->cpu->id][VMC_##name], (u64)(n)))
#define vm_count(name) vm_count_add(name, 1)
u64 vm_counter_read(enum vm_counter c); /* sum over CPUs */
