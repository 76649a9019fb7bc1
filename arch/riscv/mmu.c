/*
 * The kernel's final map and the TLB.
 *
 * W^X: text R X, read-only data R, everything else R W. The image is mapped by 4 KiB leaves, the
 * direct map by the largest that fit; where it shows the image's text and read-only data it must
 * not be writable either, so there it is split down to pages. All of it is global.
 */
#include "arch/mmu.h"
#include "arch/boot.h"
#include "arch/cpu.h"
#include "core/panic.h"

#include "arch_priv.h"
#include "mmu_priv.h"

#include <machine/offsets.h>

paddr_t image_phys_start;
u64 kernel_satp;

extern char boot_stack_guard[];

/* State of the building: one hart, once. */
struct map_builder {
    pte_t *root;
    paddr_t (*early_alloc)(void);
};

paddr_t arch_image_start(void)
{
    return image_phys_start;
}

paddr_t arch_image_end(void)
{
    return image_phys_start + (u64)(kernel_end - kernel_start);
}

paddr_t arch_virt_to_phys(const void *va)
{
    vaddr_t a = (vaddr_t)va;
    return a >= KERNEL_LINK ? a - KERNEL_LINK + image_phys_start : a - KERNEL_DIRECT;
}

/* The entry for @va at @level, tables above it made as needed. */
static pte_t *map_entry(struct map_builder *b, vaddr_t va, unsigned level)
{
    pte_t *table = b->root;
    for (unsigned l = PT_LEVELS - 1; l > level; l--) {
        pte_t *e = &table[PT_INDEX(va, l)];
        if (pte_none(*e))
            *e = pte_table((pfn_t){b->early_alloc() >> PAGE_SHIFT});
        table = pfn_to_virt(pte_pfn(*e));
    }
    return &table[PT_INDEX(va, level)];
}

static void map_leaf(struct map_builder *b, vaddr_t va, paddr_t pa, unsigned level, unsigned prot)
{
    *map_entry(b, va, level) =
        pte_leaf((pfn_t){pa >> PAGE_SHIFT}, prot, PTE_F_GLOBAL | PTE_F_DIRTY);
}

static void map_image(struct map_builder *b, const char *start, const char *end, unsigned prot)
{
    for (vaddr_t va = (vaddr_t)start; va < (vaddr_t)end; va += PAGE_SIZE)
        map_leaf(b, va, arch_virt_to_phys((void *)va), 0, prot);
}

/* Maps [pa, end) in the direct map, page aligned. */
static void map_direct(struct map_builder *b, paddr_t pa, paddr_t end, unsigned prot)
{
    while (pa < end) {
        unsigned level = PT_LEVELS - 1;
        while (level > 0 && (!IS_ALIGNED(pa, PT_SPAN(level)) || end - pa < PT_SPAN(level)))
            level--;
        map_leaf(b, KERNEL_DIRECT + pa, pa, level, prot);
        pa += PT_SPAN(level);
    }
}

pte_t *arch_kernel_map(paddr_t ram_start, paddr_t ram_end, paddr_t (*early_alloc)(void))
{
    struct map_builder b = {.early_alloc = early_alloc};
    paddr_t root = early_alloc();
    b.root = direct_map(root);

    map_image(&b, kernel_text_start, kernel_rodata_start, PROT_R | PROT_X);
    map_image(&b, kernel_rodata_start, kernel_rodata_end, PROT_R);
    map_image(&b, kernel_rodata_end, boot_stack_guard, PROT_R | PROT_W);
    map_image(&b, boot_stack_base, kernel_end, PROT_R | PROT_W);

    paddr_t constant_end = arch_virt_to_phys(kernel_rodata_end);
    map_direct(&b, 0, ram_start, PROT_R | PROT_W);
    map_direct(&b, ram_start, image_phys_start, PROT_R | PROT_W);
    map_direct(&b, image_phys_start, constant_end, PROT_R);
    map_direct(&b, constant_end, ram_end, PROT_R | PROT_W);

    /* The upper tables of the KVA area exist from the start: address spaces copy root entries. */
    for (vaddr_t va = KVA_START; va < KVA_END; va += PT_SPAN(2))
        map_entry(&b, va, 1);

    kernel_satp = SATP_SV39 | root >> PAGE_SHIFT;
    csr_write(satp, kernel_satp);
    arch_tlb_flush_all();
    return b.root;
}

void arch_mmu_load(paddr_t root, u16 asid)
{
    csr_write(satp, SATP_SV39 | (u64)asid << SATP_ASID_SHIFT | root >> PAGE_SHIFT);
}

/* Unimplemented ASID bits read as zero (Privileged Specification 4.1.11). */
unsigned arch_asid_bits(void)
{
    unsigned long flags = arch_irq_save();
    u64 old = csr_read(satp);
    csr_write(satp, old | (u64)SATP_ASID_MASK << SATP_ASID_SHIFT);
    u64 asid = csr_read(satp) >> SATP_ASID_SHIFT & SATP_ASID_MASK;
    csr_write(satp, old);
    arch_tlb_flush_all();
    arch_irq_restore(flags);
    return (unsigned)__builtin_popcountl(asid);
}

/* Beyond this many pages one flush of everything is cheaper than one per page. */
#define FLUSH_PAGES_MAX 16

void arch_tlb_flush_page(u16 asid, uvaddr_t va)
{
    __asm__ volatile("sfence.vma %0, %1" ::"r"(va), "r"((u64)asid) : "memory");
}

void arch_tlb_flush_asid(u16 asid)
{
    __asm__ volatile("sfence.vma zero, %0" ::"r"((u64)asid) : "memory");
}

void arch_tlb_flush_kernel(vaddr_t start, vaddr_t end)
{
    if (end - start > FLUSH_PAGES_MAX * PAGE_SIZE) {
        arch_tlb_flush_all();
        return;
    }
    for (vaddr_t va = PAGE_DOWN(start); va < end; va += PAGE_SIZE)
        __asm__ volatile("sfence.vma %0, zero" ::"r"(va) : "memory");
}

void arch_tlb_flush_all(void)
{
    __asm__ volatile("sfence.vma" ::: "memory");
}

void arch_tlb_flush_remote(u64 cpu_mask, u16 asid, uvaddr_t start, uvaddr_t end)
{
    if (end == ~0UL)
        sbi_remote_sfence_asid(cpu_mask, 0, ~0UL, asid);
    else
        sbi_remote_sfence_asid(cpu_mask, start, end - start, asid);
}

void arch_tlb_flush_kernel_remote(u64 cpu_mask, vaddr_t start, vaddr_t end)
{
    sbi_remote_sfence(cpu_mask, start, end - start);
}

void arch_icache_sync_all(void)
{
    memory_barrier();
    __asm__ volatile("fence.i" ::: "memory");
    u64 others = cpu_online_mask & ~(1UL << this_cpu()->id);
    if (others)
        sbi_remote_fence_i(others);
}
