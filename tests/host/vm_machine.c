/* The simulated MMU and its TLBs; see vm_machine.h. The arch_*() calls of the port are here too. */
#include "vm_machine.h"

#include "core/cpu.h"
#include "core/irq.h"
#include "host.h"
#include "lib/string.h"

#define TLB_SLOTS 4096

/* A remembered entry: a leaf or a pointer to a table, at @level, for the addresses va >> shift. */
struct tlb_entry {
    u64 when; /* the TLB's clock at the time of the walk; 0: none */
    u64 number;
    pte_t pte;
    u16 asid;
    u8 level;
};

struct hart {
    paddr_t root;
    u16 asid;
    u64 clock;
    u64 flushed_all;         /* clock of the last flush of everything */
    u64 flushed_asid[65536]; /* and of each ASID */
    struct tlb_entry tlb[TLB_SLOTS];
};

static struct hart harts[MAX_CPUS];
static unsigned asid_bits;

static struct hart *this_hart(void)
{
    return &harts[this_cpu()->id];
}

void vm_machine_init(unsigned bits)
{
    memset(harts, 0, sizeof(harts));
    asid_bits = bits;
}

/* --- TLB --- */

static struct tlb_entry *slot_of(struct hart *h, u16 asid, uvaddr_t va, unsigned level)
{
    u64 number = va >> PT_SHIFT(level);
    return &h->tlb[(number + asid * 1031UL + level * 517UL) % TLB_SLOTS];
}

static bool entry_valid(const struct hart *h, const struct tlb_entry *e)
{
    return e->when > h->flushed_all && e->when > h->flushed_asid[e->asid];
}

/* What the hart remembers of the entry at @level for @va; NULL: nothing. */
static struct tlb_entry *tlb_find(struct hart *h, uvaddr_t va, unsigned level)
{
    struct tlb_entry *e = slot_of(h, h->asid, va, level);
    bool hit = entry_valid(h, e) && e->asid == h->asid && e->level == level &&
               e->number == va >> PT_SHIFT(level);
    return hit ? e : NULL;
}

static void tlb_fill(struct hart *h, uvaddr_t va, unsigned level, pte_t pte)
{
    *slot_of(h, h->asid, va, level) = (struct tlb_entry){.when = ++h->clock,
                                                         .number = va >> PT_SHIFT(level),
                                                         .pte = pte,
                                                         .asid = h->asid,
                                                         .level = (u8)level};
}

static void flush_page(struct hart *h, u16 asid, uvaddr_t va)
{
    u16 loaded = h->asid;
    h->asid = asid;
    for (unsigned level = 0; level < PT_LEVELS; level++) {
        struct tlb_entry *e = tlb_find(h, va, level);
        if (e && pte_is_leaf(e->pte))
            e->when = 0;
    }
    h->asid = loaded;
}

static void flush_range(struct hart *h, u16 asid, uvaddr_t start, uvaddr_t end)
{
    if (end == ~0UL)
        h->flushed_asid[asid] = ++h->clock;
    else
        for (uvaddr_t va = start; va < end; va += PAGE_SIZE)
            flush_page(h, asid, va);
}

/* --- walks --- */

/* A leaf that hardware accepts: no reserved combination or bit, a superpage aligned. */
static bool leaf_ok(pte_t pte, unsigned level)
{
    bool aligned = (pte_pfn(pte).n & ((1UL << 9 * level) - 1)) == 0;
    return pte.v >> 54 == 0 && aligned && (!(pte.v & PTE_W) || (pte.v & PTE_R));
}

static bool table_ok(pte_t pte)
{
    return pte.v >> 54 == 0 && !(pte.v & (PTE_U | PTE_A | PTE_D));
}

/*
 * The leaf for @va, from @level's table @table downwards; @h, if given, remembers the tables on the
 * way. Returns its entry in memory, or NULL: page fault.
 */
static pte_t *walk(struct hart *h, pte_t *table, unsigned level, uvaddr_t va, unsigned *at)
{
    for (;; level--) {
        pte_t *entry = &table[PT_INDEX(va, level)];
        pte_t pte = pte_read(entry);
        if (pte_is_leaf(pte)) {
            *at = level;
            return leaf_ok(pte, level) ? entry : NULL;
        }
        if (!pte_is_table(pte) || !table_ok(pte) || level == 0)
            return NULL;
        if (h)
            tlb_fill(h, va, level, pte);
        table = pfn_to_virt(pte_pfn(pte));
    }
}

/* The same beginning with the lowest table that the TLB remembers. */
static pte_t *walk_cached(struct hart *h, uvaddr_t va, unsigned *at)
{
    for (unsigned level = 1; level < PT_LEVELS; level++) {
        struct tlb_entry *e = tlb_find(h, va, level);
        if (e && pte_is_table(e->pte))
            return walk(h, pfn_to_virt(pte_pfn(e->pte)), level - 1, va, at);
    }
    return walk(h, direct_map(h->root), PT_LEVELS - 1, va, at);
}

bool vm_machine_walk(paddr_t root, uvaddr_t va, pte_t *out, unsigned *level)
{
    pte_t *entry = walk(NULL, direct_map(root), PT_LEVELS - 1, va, level);
    if (entry)
        *out = pte_read(entry);
    return entry;
}

static struct tlb_entry *tlb_find_leaf(struct hart *h, uvaddr_t va)
{
    for (unsigned level = 0; level < PT_LEVELS; level++) {
        struct tlb_entry *e = tlb_find(h, va, level);
        if (e && pte_is_leaf(e->pte))
            return e;
    }
    return NULL;
}

/* Walks and remembers the leaf with A (and D for a write) set. NULL: page fault. */
static struct tlb_entry *refill(struct hart *h, uvaddr_t va, enum vm_access access)
{
    unsigned level;
    pte_t *entry = walk_cached(h, va, &level);
    if (!entry || !pte_allows(pte_read(entry), access))
        return NULL;
    pte_t pte = pte_mkyoung(pte_read(entry));
    if (access == VM_ACCESS_WRITE)
        pte = pte_mkdirty(pte);
    pte_write(entry, pte);
    tlb_fill(h, va, level, pte);
    return slot_of(h, h->asid, va, level);
}

static u64 *data_address(const struct tlb_entry *e, uvaddr_t va)
{
    return (u64 *)((char *)pfn_to_virt(pte_pfn(e->pte)) + (va & (PT_SPAN(e->level) - 1)));
}

bool vm_machine_access(uvaddr_t va, enum vm_access access, u64 *value)
{
    struct hart *h = this_hart();
    struct tlb_entry *e = tlb_find_leaf(h, va);
    if (e && !pte_allows(e->pte, access)) /* an old, stricter entry: refused without a look */
        return false;
    if (!e || (access == VM_ACCESS_WRITE && !pte_dirty(e->pte)))
        e = refill(h, va, access);
    if (!e)
        return false;
    if (access == VM_ACCESS_WRITE)
        *data_address(e, va) = *value;
    else
        *value = *data_address(e, va);
    return true;
}

/* --- verification --- */

/* The pointer to a table that @e remembers must still hang where it did. */
static const char *stale_table(const struct hart *h, const struct tlb_entry *e)
{
    uvaddr_t va = e->number << PT_SHIFT(e->level);
    pte_t *table = direct_map(h->root);
    for (unsigned level = PT_LEVELS - 1; level > e->level; level--) {
        pte_t upper = pte_read(&table[PT_INDEX(va, level)]);
        if (!pte_is_table(upper))
            return "pointer to a table below a table that hangs no more";
        table = pfn_to_virt(pte_pfn(upper));
    }
    pte_t now = pte_read(&table[PT_INDEX(va, e->level)]);
    return now.v == e->pte.v ? NULL : "pointer to a table";
}

/* What @e remembers of the page at @va. */
static const char *stale_page(const struct hart *h, const struct tlb_entry *e, uvaddr_t va)
{
    pte_t now;
    unsigned level;
    if (!vm_machine_walk(h->root, va, &now, &level))
        return "translation that is gone";
    u64 frame = pte_pfn(now).n + ((va & (PT_SPAN(level) - 1)) >> PAGE_SHIFT);
    if (pte_pfn(e->pte).n + ((va & (PT_SPAN(e->level) - 1)) >> PAGE_SHIFT) != frame)
        return "translation to another frame";
    if (e->pte.v & ~now.v & (PTE_RWX | PTE_U))
        return "permission";
    return pte_writable(e->pte) && pte_dirty(e->pte) && !pte_dirty(now) ? "dirty bit" : NULL;
}

static const char *stale_leaf(const struct hart *h, const struct tlb_entry *e)
{
    uvaddr_t start = e->number << PT_SHIFT(e->level);
    const char *stale = NULL;
    for (uvaddr_t va = start; !stale && va < start + PT_SPAN(e->level); va += PAGE_SIZE)
        stale = stale_page(h, e, va);
    return stale;
}

void vm_machine_verify(unsigned cpu)
{
    struct hart *h = &harts[cpu];
    for (unsigned i = 0; i < TLB_SLOTS; i++) {
        const struct tlb_entry *e = &h->tlb[i];
        if (!entry_valid(h, e) || e->asid != h->asid)
            continue;
        const char *stale = pte_is_table(e->pte) ? stale_table(h, e) : stale_leaf(h, e);
        if (stale)
            panic("TLB of CPU %u, ASID %u: stale %s at 0x%lx, level %u: entry 0x%lx", cpu, e->asid,
                  stale, e->number << PT_SHIFT(e->level), e->level, e->pte.v);
    }
}

/* --- what the kernel calls --- */

void arch_mmu_load(paddr_t root, u16 asid)
{
    this_hart()->root = root;
    this_hart()->asid = asid;
}

unsigned arch_asid_bits(void)
{
    return asid_bits;
}

void arch_tlb_flush_page(u16 asid, uvaddr_t va)
{
    flush_page(this_hart(), asid, va);
}

void arch_tlb_flush_asid(u16 asid)
{
    flush_range(this_hart(), asid, 0, ~0UL);
}

void arch_tlb_flush_all(void)
{
    this_hart()->flushed_all = ++this_hart()->clock;
}

void arch_tlb_flush_remote(u64 cpu_mask, u16 asid, uvaddr_t start, uvaddr_t end)
{
    for (unsigned cpu = 0; cpu < cpu_count; cpu++)
        if (cpu_mask & 1UL << cpu)
            flush_range(&harts[cpu], asid, start, end);
}

/* The kernel's own addresses are the host's: nothing translates them. */
void arch_tlb_flush_kernel(vaddr_t start, vaddr_t end)
{
}

void arch_tlb_flush_kernel_remote(u64 cpu_mask, vaddr_t start, vaddr_t end)
{
}

void ipi_call(u64 mask, void (*fn)(void *), void *arg)
{
    struct thread *caller = host_current;
    for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
        if (!(mask & 1UL << cpu) || &cpus[cpu] == caller->cpu)
            continue;
        host_current = cpus[cpu].current;
        fn(arg);
    }
    host_current = caller;
}
