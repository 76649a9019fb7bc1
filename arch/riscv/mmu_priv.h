/* The kernel's map, within the port. */
#pragma once

#include "arch/mmu.h"

/* Where the image is linked. It is loaded at a multiple of 2 MiB. */
#define KERNEL_LINK (KERNEL_IMAGE + 0x200000UL)

extern paddr_t image_phys_start;
/* satp for the kernel's own root table, ASID 0. */
extern u64 kernel_satp;

u64 early_map(paddr_t image);
