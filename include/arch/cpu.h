/* Port contract: interrupts, time, harts. machine/cpu.h holds the inlines. */
#pragma once

#include "lib/types.h"

#include <machine/cpu.h>

/*
 * machine/cpu.h supplies, inline:
 *   unsigned long arch_irq_save(void);  void arch_irq_restore(unsigned long);
 *   void arch_irq_enable(void), arch_irq_disable(void);  bool arch_irq_enabled(void);
 *   void arch_wait_for_interrupt(void);  void arch_relax(void);  (spin loops)
 *   u64 arch_time(void);  (ticks of the timebase)
 *   vaddr_t arch_frame_pointer(void);
 */

void arch_timer_set(u64 ticks); /* one-shot: interrupt when arch_time() >= ticks */
void arch_timer_stop(void);
void arch_ipi_send(u64 cpu_mask); /* by dense CPU ids */
int arch_cpu_start(u32 cpu);      /* starts a secondary hart; it calls secondary_main() */
void arch_cpu_init(void);         /* per hart: trap vector, enabled interrupts */
void arch_halt(void) __noreturn;
/* Instruction fetches of all harts see earlier stores. => Preemption off. */
void arch_icache_sync_all(void);
u64 arch_boot_ticks(void); /* arch_time() at the kernel's first instruction */
struct fdt;
void arch_probe(const struct fdt *fdt); /* ISA extensions, SBI extensions, firmware: one log line */
const char *arch_isa_string(void);      /* for /proc/cpuinfo */
u64 arch_hwcap(void);                   /* AT_HWCAP */
