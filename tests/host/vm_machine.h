/*
 * A simulated machine for the virtual memory code: what a hart does when a program accesses memory.
 *
 * Each CPU has the page table that arch_mmu_load() gave it and a TLB that is as nasty as the
 * Privileged Specification allows: it forgets nothing until it is told to. It keeps leaf entries
 * (with the permissions and the dirty bit they had) and pointers to tables, and a flush of one page
 * drops leaf entries only. So a flush that is missing lets a program go on with the old frame, the
 * old permission or the old table, and vm_machine_verify() sees it even before it does harm.
 */
#pragma once

#include "mm/aspace.h"

/* All TLBs empty, no page table loaded; @asid_bits wide identifiers (0: none). */
void vm_machine_init(unsigned asid_bits);

/*
 * A user access by this CPU to the 8 bytes at @va: stores *@value (VM_ACCESS_WRITE) or loads it.
 * True when it succeeded, with A and D set in the page table as hardware does; false: page fault.
 */
bool vm_machine_access(uvaddr_t va, enum vm_access access, u64 *value);

/* Walks @root without a TLB and without changing anything. True: *@out is the leaf (its level in
 * *@level, 1: a superpage), as valid and well formed as hardware asks for. */
bool vm_machine_walk(paddr_t root, uvaddr_t va, pte_t *out, unsigned *level);

/* Nothing that this CPU's TLB holds for the page table it has loaded may say more than the table
 * does now. Panics otherwise. => @cpu has no flush to catch up with. */
void vm_machine_verify(unsigned cpu);
