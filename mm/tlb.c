/*
 * TLB discipline: clear, flush, then free.
 *
 * Each address space counts its flushes (tlb_gen). A CPU that runs it now (bit in ->active) is
 * flushed at once; any other flushes when it next runs the address space and finds that it has
 * seen fewer flushes than there were (cpu_gen). A CPU that went idle or to a kernel thread keeps
 * the table loaded (bit in ->loaded) but is not active: nothing there uses user addresses, so an
 * idle hart is not woken for flushes. Entries that go from empty to present, or gain permissions,
 * need no flush: a stale fault is found to be spurious (mm/fault.c) and only then flushes that
 * page.
 *
 * Why nothing is missed: a flush first writes the entries, then increments tlb_gen, then reads
 * ->active, all sequentially consistent. A CPU loading the address space first sets its bit, then
 * compares generations. Either the flusher sees the bit, or the CPU sees the new generation.
 */
#include "mm/mm_priv.h"

/* Flushing page by page costs one instruction each; beyond this many the whole ASID is cheaper. */
#define FLUSH_PAGES_MAX 16

static void flush_local(u16 asid, uvaddr_t start, uvaddr_t end)
{
    vm_count(tlb_flush_local);
    if ((end - start) >> PAGE_SHIFT > FLUSH_PAGES_MAX) {
        arch_tlb_flush_asid(asid);
        return;
    }
    for (uvaddr_t va = start; va < end; va += PAGE_SIZE)
        arch_tlb_flush_page(asid, va);
}

void pmap_flush(struct pmap *pmap, uvaddr_t start, uvaddr_t end)
{
    preempt_disable();
    u64 gen = __atomic_add_fetch(&pmap->tlb_gen, 1, __ATOMIC_SEQ_CST);
    u64 active = __atomic_load_n(&pmap->active, __ATOMIC_SEQ_CST);
    u32 self = this_cpu()->id;
    u16 asid = (u16)pmap->asid;
    if (active & 1UL << self) {
        flush_local(asid, start, end);
        if (pmap->cpu_gen[self] == gen - 1)
            pmap->cpu_gen[self] = gen;
    }
    u64 others = active & ~(1UL << self);
    if (others) {
        vm_count(tlb_flush_remote);
        if ((end - start) >> PAGE_SHIFT > FLUSH_PAGES_MAX)
            end = ~0UL;
        arch_tlb_flush_remote(others, asid, start, end);
    }
    preempt_enable();
}

void tlb_batch_init(struct tlb_batch *b, struct pmap *pmap)
{
    b->pmap = pmap;
    b->dead = false;
    b->start = ~0UL;
    b->end = 0;
    b->count = 0;
}

void tlb_batch_finish(struct tlb_batch *b)
{
    if (b->start < b->end && !b->dead)
        pmap_flush(b->pmap, b->start, b->end);
    b->start = ~0UL;
    b->end = 0;
    for (unsigned i = 0; i < b->count; i++)
        page_put(b->pages[i]);
    b->count = 0;
}

void pmap_activate(struct pmap *pmap)
{
    struct cpu *cpu = this_cpu();
    u64 bit = 1UL << cpu->id;
    if (!(READ_ONCE(pmap->loaded) & bit))
        atomic_or(&pmap->loaded, bit);
    __atomic_fetch_or(&pmap->active, bit, __ATOMIC_SEQ_CST);
    u16 asid = asid_acquire(pmap);
    u64 gen = __atomic_load_n(&pmap->tlb_gen, __ATOMIC_SEQ_CST);
    if (pmap->cpu_gen[cpu->id] != gen) {
        pmap->cpu_gen[cpu->id] = gen;
        arch_tlb_flush_asid(asid);
    }
    arch_mmu_load(pmap->root_pa, asid);
}

void pmap_idle(struct pmap *pmap)
{
    atomic_and(&pmap->active, ~(1UL << this_cpu()->id));
}

void pmap_forget(struct pmap *pmap)
{
    u64 others = ~(1UL << this_cpu()->id);
    atomic_and(&pmap->active, others);
    atomic_and(&pmap->loaded, others);
}

void pmap_deactivate(struct pmap *pmap)
{
    pmap_load_kernel();
    pmap_forget(pmap);
}
