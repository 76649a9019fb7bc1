/*
 * Sv39 page-table entries (Privileged Specification 1.12, section 4.4) and the layout of the
 * address space. See arch/mmu.h for what each function promises.
 *
 *   63     54 53            10 9    8 7 6 5 4 3 2 1 0
 *  +---------+----------------+------+-+-+-+-+-+-+-+-+
 *  |  zero   |      PPN       | soft |D|A|G|U|X|W|R|V|
 *  +---------+----------------+------+-+-+-+-+-+-+-+-+
 *
 *   empty            all bits 0
 *   table            V=1, RWX=0
 *   leaf             V=1, RWX not 0
 *   leaf, PROT_NONE  V=1, R=1, U=0, soft NOACCESS: a user access faults, the frame is kept
 *   parked table     V=0, soft PARKED, PPN kept
 *   swap             V=0, soft SWAP, slot number in the PPN field and above
 *
 * Write without read is reserved by the architecture: PROT_W implies R.
 */
#pragma once

#include "core/upcall.h"
#include "lib/types.h"

#define PTE_V        (1UL << 0)
#define PTE_R        (1UL << 1)
#define PTE_W        (1UL << 2)
#define PTE_X        (1UL << 3)
#define PTE_U        (1UL << 4)
#define PTE_G        (1UL << 5)
#define PTE_A        (1UL << 6)
#define PTE_D        (1UL << 7)
#define PTE_NOACCESS (1UL << 8) /* soft, V=1 */
#define PTE_PARKED   (1UL << 8) /* soft, V=0 */
#define PTE_SWAP     (1UL << 9) /* soft, V=0 */
#define PTE_RWX      (PTE_R | PTE_W | PTE_X)

#define PTE_PPN_SHIFT 10
#define PTE_PPN_MASK  0xfffffffffffUL /* 44 bits, after the shift */

#define PT_LEVELS           3
#define PT_ENTRIES          512
#define PT_SHIFT(level)     (PAGE_SHIFT + 9 * (level))
#define PT_INDEX(va, level) (((va) >> PT_SHIFT(level)) & (PT_ENTRIES - 1))
#define PT_SPAN(level)      (1UL << PT_SHIFT(level))

/*
 * Address space. The upper half is the same in every address space:
 *
 *   0x0000000000000000  user                                           256 GiB
 *   0xffffffc000000000  direct map: physical address 0 on              128 GiB
 *   0xffffffe000000000  KVA: kernel stacks, device mappings              4 GiB
 *   0xffffffff80000000  kernel image (linked 2 MiB above)                1 GiB
 */
#define USER_TOP      0x0000004000000000UL
#define KERNEL_DIRECT 0xffffffc000000000UL
#define DIRECT_SIZE   0x0000002000000000UL
#define KVA_START     0xffffffe000000000UL
#define KVA_END       0xffffffe100000000UL
#define KERNEL_IMAGE  0xffffffff80000000UL

typedef struct {
    u64 v;
} pte_t;

#define PTE_NONE ((pte_t){0})

/* flags of pte_leaf() */
#define PTE_F_USER   1u
#define PTE_F_GLOBAL 2u
#define PTE_F_DIRTY  4u
#define PTE_F_OLD    8u

static inline bool pte_none(pte_t p)
{
    return p.v == 0;
}

static inline bool pte_present(pte_t p)
{
    return p.v & PTE_V;
}

static inline bool pte_is_table(pte_t p)
{
    return (p.v & (PTE_V | PTE_RWX)) == PTE_V;
}

static inline bool pte_is_leaf(pte_t p)
{
    return (p.v & PTE_V) && (p.v & PTE_RWX);
}

static inline bool pte_is_parked(pte_t p)
{
    return (p.v & (PTE_V | PTE_PARKED | PTE_SWAP)) == PTE_PARKED;
}

static inline bool pte_is_swap(pte_t p)
{
    return (p.v & (PTE_V | PTE_SWAP)) == PTE_SWAP;
}

static inline pfn_t pte_pfn(pte_t p)
{
    return (pfn_t){(p.v >> PTE_PPN_SHIFT) & PTE_PPN_MASK};
}

static inline u64 pte_swap_slot(pte_t p)
{
    return p.v >> PTE_PPN_SHIFT;
}

/* Leaf: R, W and X are neighbours in PROT_*'s order. */
static inline unsigned pte_prot(pte_t p)
{
    return p.v & PTE_NOACCESS ? 0 : (p.v & PTE_RWX) >> 1;
}

static inline bool pte_user(pte_t p)
{
    return p.v & (PTE_U | PTE_NOACCESS);
}

static inline bool pte_writable(pte_t p)
{
    return p.v & PTE_W;
}

static inline bool pte_dirty(pte_t p)
{
    return p.v & PTE_D;
}

static inline bool pte_accessed(pte_t p)
{
    return p.v & PTE_A;
}

/* Permission bits of a leaf: @prot, in user mode or not. */
static inline u64 pte_prot_bits(unsigned prot, bool user)
{
    if (user && prot == 0)
        return PTE_R | PTE_NOACCESS;
    u64 bits = (u64)prot << 1 | (user ? PTE_U : 0);
    return bits & PTE_W ? bits | PTE_R : bits;
}

/* The entry without its frame number, for eyes that may not see physical addresses. */
static inline u64 pte_without_frame(pte_t p)
{
    return p.v & ~(PTE_PPN_MASK << PTE_PPN_SHIFT);
}

/* The low eight bits of a leaf as letters, '-' where a bit is clear: "VRWXUGAD". */
static inline void pte_describe(pte_t p, char text[9])
{
    static const char letters[] = "VRWXUGAD";
    for (unsigned i = 0; i < 8; i++)
        text[i] = p.v >> i & 1 ? letters[i] : '-';
    text[8] = '\0';
}

static inline pte_t pte_leaf(pfn_t pfn, unsigned prot, unsigned flags)
{
    return (pte_t){pfn.n << PTE_PPN_SHIFT | PTE_V | pte_prot_bits(prot, flags & PTE_F_USER) |
                   (flags & PTE_F_GLOBAL ? PTE_G : 0) | (flags & PTE_F_DIRTY ? PTE_D : 0) |
                   (flags & PTE_F_OLD ? 0 : PTE_A)};
}

static inline pte_t pte_table(pfn_t pfn)
{
    return (pte_t){pfn.n << PTE_PPN_SHIFT | PTE_V};
}

static inline pte_t pte_swap(u64 slot)
{
    return (pte_t){slot << PTE_PPN_SHIFT | PTE_SWAP};
}

static inline pte_t pte_park(pte_t p)
{
    return (pte_t){(p.v & ~PTE_V) | PTE_PARKED};
}

static inline pte_t pte_unpark(pte_t p)
{
    return (pte_t){(p.v & ~PTE_PARKED) | PTE_V};
}

static inline pte_t pte_wrprotect(pte_t p)
{
    return (pte_t){p.v & ~PTE_W};
}

static inline pte_t pte_mkdirty(pte_t p)
{
    return (pte_t){p.v | PTE_D};
}

static inline pte_t pte_mkclean(pte_t p)
{
    return (pte_t){p.v & ~PTE_D};
}

static inline pte_t pte_mkold(pte_t p)
{
    return (pte_t){p.v & ~PTE_A};
}

static inline pte_t pte_mkyoung(pte_t p)
{
    return (pte_t){p.v | PTE_A};
}

/* Leaf @p with other permissions; frame, A, D, G and user/kernel stay. */
static inline pte_t pte_with_prot(pte_t p, unsigned prot)
{
    return (pte_t){(p.v & ~(PTE_RWX | PTE_U | PTE_NOACCESS)) | pte_prot_bits(prot, pte_user(p))};
}

/*
 * The permission bits let a user access of kind @access through. A and D are not looked at: harts
 * that fault to have them set (Svade) get them set by the handler, like everywhere.
 */
static inline bool pte_allows(pte_t p, enum vm_access access)
{
    u64 need = PTE_V | PTE_U;
    if (access & VM_ACCESS_READ)
        need |= PTE_R;
    if (access & VM_ACCESS_WRITE)
        need |= PTE_W;
    if (access & VM_ACCESS_EXEC)
        need |= PTE_X;
    return (p.v & need) == need;
}

static inline pte_t pte_read(const pte_t *e)
{
    return (pte_t){__atomic_load_n(&e->v, __ATOMIC_RELAXED)};
}

static inline void pte_write(pte_t *e, pte_t v)
{
    __atomic_store_n(&e->v, v.v, __ATOMIC_RELEASE);
}

static inline pte_t pte_exchange(pte_t *e, pte_t v)
{
    return (pte_t){__atomic_exchange_n(&e->v, v.v, __ATOMIC_ACQ_REL)};
}

/* Stores @v when *@e is *@expected; else *@expected becomes what was found. */
static inline bool pte_cas(pte_t *e, pte_t *expected, pte_t v)
{
    return __atomic_compare_exchange_n(&e->v, &expected->v, v.v, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}
