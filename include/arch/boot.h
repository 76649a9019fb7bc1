/*
 * Port contract: what boot/ needs of a port before anything else works, and the entries that a port
 * calls in boot/.
 */
#pragma once

#include "lib/types.h"

struct cpu;
struct fdt;

/* Firmware's console, polled: works from the first instruction of kmain() on. */
void sbi_console_write(const char *s, size_t n);

/* Extent of the kernel image in memory, page aligned: code, data and bss. */
paddr_t arch_image_start(void), arch_image_end(void);

/* What power-off writes to, from the devicetree; before the first possible panic if it can be. */
void arch_machine_init(const struct fdt *fdt);

/* One stack for the case that @cpu's thread has overrun its own. Returns 0, -ENOMEM. */
int arch_emergency_stack_init(struct cpu *cpu);

/* The boot hart's first stack: from its top on like any kernel stack (mm/kva.h). */
extern char boot_stack_base[], boot_stack_top[];

/* boot/main.c: the boot hart, MMU on, early map. @dtb: physical address. */
void kmain(u64 hartid, paddr_t dtb) __noreturn;
/* boot/harts.c: each other hart, on its idle thread, final map. */
void secondary_main(void) __noreturn;
