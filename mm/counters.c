/* Event counters of /proc/vmstat. */
#include "mm/counters.h"

#include "mm/page.h"

u64 vm_counters[MAX_CPUS][VM_COUNTER_COUNT];

const char *const vm_counter_names[VM_COUNTER_COUNT] = {
#define X(name) [VMC_##name] = #name,
    VM_COUNTERS(X)
#undef X
};

u64 vm_counter_read(enum vm_counter c)
{
    /* The frame allocator counts these itself, by state, where it has interrupts off anyway. */
    if (c == VMC_pgalloc)
        return page_count_allocated();
    if (c == VMC_pgfree)
        return page_count_freed();
    u64 n = 0;
    for (unsigned i = 0; i < MAX_CPUS; i++)
        n += READ_ONCE(vm_counters[i][c]);
    return n;
}
