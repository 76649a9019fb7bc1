/* Shared by the files of boot/. */
#pragma once

#include "lib/fdt.h"

/* Ends the boot with one line that says why, and status 1. */
void boot_fail(const char *fmt, ...) __noreturn __printf(1, 2);

/* memory.c: finds RAM and what is used of it, hands the rest to the page allocator and loads the
 * final kernel map. Ends the boot when there is too little. */
void boot_memory(const struct fdt *fdt, paddr_t dtb);

/* harts.c: numbers the harts, the boot hart first. */
void boot_find_harts(const struct fdt *fdt, u64 boot_hartid);
/* Starts all but the boot hart. => A thread; may sleep. */
void boot_start_harts(void);

/* main.c: the part of the boot that runs as a thread: devices, file systems, the first process. */
void kernel_late_init(const struct fdt *fdt);
