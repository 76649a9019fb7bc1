/*
 * The early map, made before the MMU is on and used until arch_kernel_map()'s is loaded: the image
 * at its link address in 2 MiB leaves and the whole direct map in 1 GiB leaves, all of it writable
 * and the image executable. Runs at physical addresses: no pointer constants, no tables of them.
 */
#include "arch/mmu.h"

#include "arch_priv.h"
#include "mmu_priv.h"

static pte_t early_root[PT_ENTRIES] __aligned(4096) __section(".bss_page_aligned");
static pte_t early_image[PT_ENTRIES] __aligned(4096) __section(".bss_page_aligned");

/* @image: where the image is loaded, a multiple of 2 MiB. Returns the value for satp. */
u64 early_map(paddr_t image)
{
    u64 first = PT_INDEX(KERNEL_LINK, 1);
    u64 size = (u64)(kernel_end - kernel_start);
    for (u64 i = 0; i * PT_SPAN(1) < size; i++) {
        pfn_t pfn = {(image + i * PT_SPAN(1)) >> PAGE_SHIFT};
        early_image[first + i] =
            pte_leaf(pfn, PROT_R | PROT_W | PROT_X, PTE_F_GLOBAL | PTE_F_DIRTY);
    }
    early_root[PT_INDEX(KERNEL_LINK, 2)] = pte_table((pfn_t){(paddr_t)early_image >> PAGE_SHIFT});
    for (u64 pa = 0; pa < DIRECT_SIZE; pa += PT_SPAN(2))
        early_root[PT_INDEX(KERNEL_DIRECT + pa, 2)] =
            pte_leaf((pfn_t){pa >> PAGE_SHIFT}, PROT_R | PROT_W, PTE_F_GLOBAL | PTE_F_DIRTY);
    return SATP_SV39 | (paddr_t)early_root >> PAGE_SHIFT;
}
