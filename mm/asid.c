/*
 * Address-space identifiers, handed out in sequence. When they run out a new generation begins:
 * every CPU flushes its whole TLB before it next loads an address space, and ASIDs of the old
 * generation are replaced as their owners come by. The ASIDs that CPUs run under at the rollover
 * stay theirs (they are skipped by the new generation), because those CPUs have not flushed yet.
 *
 * pmap->asid is generation << 16 | ASID; ASID 0 belongs to the kernel's own root table. A machine
 * without ASIDs (width 0) flushes at every load.
 */
#include "lib/string.h"
#include "mm/mm_priv.h"

static DEFINE_LOCK_CLASS(asid_lock_class, "asid");
static struct spinlock asid_lock = SPINLOCK_INIT(asid_lock_class);
static u64 generation = 1;     /* under asid_lock, read without */
static u32 next_asid = 1;      /* under asid_lock */
static u64 running[MAX_CPUS];  /* pmap->asid each CPU loaded last, 0 since a rollover; atomic */
static u64 reserved[MAX_CPUS]; /* those at the last rollover, under asid_lock */

static bool is_reserved(u32 asid)
{
    for (unsigned i = 0; i < cpu_count; i++)
        if ((u16)reserved[i] == asid)
            return true;
    return false;
}

static void rollover(void)
{
    vm_count(asid_rollover);
    for (unsigned i = 0; i < cpu_count; i++) {
        u64 asid = atomic_swap(&running[i], 0);
        if (asid)
            reserved[i] = asid;
    }
    WRITE_ONCE(generation, generation + 1);
    next_asid = 1;
}

/* => asid_lock held */
static u64 asid_new(struct pmap *pmap)
{
    for (unsigned i = 0; i < cpu_count; i++)
        if (pmap->asid && reserved[i] == pmap->asid)
            return reserved[i] = generation << 16 | (u16)pmap->asid;
    u32 limit = 1u << arch_asid_bits();
    do {
        if (next_asid >= limit)
            rollover();
        next_asid++;
    } while (is_reserved(next_asid - 1));
    return generation << 16 | (next_asid - 1);
}

u16 asid_acquire(struct pmap *pmap)
{
    struct cpu *cpu = this_cpu();
    if (unlikely(arch_asid_bits() == 0)) {
        arch_tlb_flush_all();
        return 0;
    }
    /* A rollover on another CPU empties running[]: the exchange then fails, and we go the slow way.
     */
    u64 old = READ_ONCE(running[cpu->id]);
    if (likely(old && pmap->asid >> 16 == READ_ONCE(generation) &&
               atomic_cas(&running[cpu->id], &old, pmap->asid)))
        return (u16)pmap->asid;

    SPIN_GUARD_IRQ(&asid_lock);
    if (pmap->asid >> 16 != generation)
        WRITE_ONCE(pmap->asid, asid_new(pmap));
    if (cpu->asid_generation != generation) {
        cpu->asid_generation = generation;
        arch_tlb_flush_all();
    }
    WRITE_ONCE(running[cpu->id], pmap->asid);
    return (u16)pmap->asid;
}
