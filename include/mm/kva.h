/* Kernel virtual addresses outside the direct map: guarded kernel stacks and device mappings. */
#pragma once

#include "lib/types.h"

#define KSTACK_SIZE  (16 * 1024UL)
/* Stacks are aligned to twice their size and use the upper half: bit 14 of a valid stack pointer
 * (below the top) is set, the lower half is the guard. Trap entry relies on it. */
#define KSTACK_ALIGN (2 * KSTACK_SIZE)

/* A kernel stack; returns its lowest usable address, 0 when out of memory. Recently freed ones are
 * kept for reuse. => May sleep. */
vaddr_t kstack_alloc(void);
void kstack_free(vaddr_t base); /* => May not be the running stack. Any context but interrupts. */
u64 kstack_count(void);         /* stacks in use, for KernelStack in /proc/meminfo */

void kva_init(void);
