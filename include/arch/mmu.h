/*
 * Port contract: page-table entries and the TLB. machine/pte.h defines pte_t (a one-field struct)
 * and the inlines. Only arch/riscv names a bit of it.
 *
 * An entry is: empty (pte_none), a present leaf, a present table pointer, a parked table pointer
 * (invalid, pointer kept), or a swap entry (invalid, slot number kept).
 */
#pragma once

#include "core/upcall.h"
#include "lib/types.h"

#define PROT_R 1u /* equal to Linux's PROT_READ, PROT_WRITE, PROT_EXEC */
#define PROT_W 2u
#define PROT_X 4u

#include <machine/pte.h>

/*
 * machine/pte.h supplies:
 *   PT_LEVELS (3), PT_ENTRIES (512), PT_INDEX(va, level), PT_SPAN(level) bytes one entry covers;
 *   level 0 is the leaf level (4 KiB), level 1 2 MiB, level 2 1 GiB
 *   USER_TOP: first address above user space; PTE_NONE
 *   KERNEL_DIRECT: base of the direct map; KERNEL_IMAGE: link base; KVA_START, KVA_END
 *   bool pte_none(p), pte_present(p), pte_is_table(p), pte_is_leaf(p)
 *   bool pte_is_parked(p), pte_is_swap(p)
 *   pfn_t pte_pfn(p);  u64 pte_swap_slot(p)
 *   unsigned pte_prot(p): PROT_*;  bool pte_user, pte_writable, pte_dirty, pte_accessed (p)
 *   u64 pte_without_frame(p): the raw entry, its frame number zeroed;
 *   pte_describe(p, char text[9]): the bits of a leaf as letters ("VRWXUGAD", '-': clear)
 *   pte_t pte_leaf(pfn, prot, flags), flags: PTE_F_USER | PTE_F_GLOBAL | PTE_F_DIRTY | PTE_F_OLD
 *         (accessed unless PTE_F_OLD; a writable leaf is clean unless PTE_F_DIRTY)
 *   pte_t pte_table(pfn), pte_swap(slot), pte_park(p), pte_unpark(p)
 *   pte_t pte_wrprotect(p), pte_mkdirty(p), pte_mkclean(p), pte_mkold(p), pte_mkyoung(p),
 *         pte_with_prot(p, prot)
 *   bool pte_allows(p, enum vm_access access): a user access would succeed
 *   pte_t pte_read(const pte_t *e): one atomic load;  void pte_write(pte_t *e, pte_t v): one store
 *   pte_t pte_exchange(pte_t *e, pte_t v): atomic: hardware's A and D updates are not lost
 *   bool pte_cas(pte_t *e, pte_t *expected, pte_t v)
 */

static inline void *direct_map(paddr_t pa)
{
    return (void *)(pa + KERNEL_DIRECT);
}
static inline void *pfn_to_virt(pfn_t pfn)
{
    return direct_map(pfn.n << PAGE_SHIFT);
}
paddr_t arch_virt_to_phys(const void *va); /* direct map and kernel image addresses */
static inline paddr_t direct_to_phys(const void *va)
{
    return (vaddr_t)va - KERNEL_DIRECT;
}

/* Builds the final kernel map: image W^X, direct map of [0, @top) with the largest leaves (the
 * image's alias not writable), devices below RAM; frames for tables come from early_alloc. Returns
 * the kernel's root table, whose upper half every address space copies. */
pte_t *arch_kernel_map(paddr_t ram_start, paddr_t ram_end, paddr_t (*early_alloc)(void));

void arch_mmu_load(paddr_t root, u16 asid); /* makes a root current; no flush */
unsigned arch_asid_bits(void);              /* 0: none */

/* This hart's TLB. */
void arch_tlb_flush_page(u16 asid, uvaddr_t va);
void arch_tlb_flush_asid(u16 asid);
void arch_tlb_flush_kernel(vaddr_t start, vaddr_t end);
void arch_tlb_flush_all(void);
/* Other harts (mask of dense CPU ids), synchronous. @end == ~0UL: the whole ASID. */
void arch_tlb_flush_remote(u64 cpu_mask, u16 asid, uvaddr_t start, uvaddr_t end);
void arch_tlb_flush_kernel_remote(u64 cpu_mask, vaddr_t start, vaddr_t end);
