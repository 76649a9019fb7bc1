/*
 * Power-off and reboot. The finisher of QEMU's test device can hand a status to the outside; the
 * firmware's system reset cannot, so it comes second.
 */
#include "arch/boot.h"
#include "arch/cpu.h"
#include "arch/io.h"
#include "arch/mmu.h"
#include "core/panic.h"
#include "lib/fdt.h"

#include "arch_priv.h"

/* Words of the finisher ("sifive,test0"). */
#define FINISHER_PASS  0x5555
#define FINISHER_FAIL  0x3333 /* status in the upper half */
#define FINISHER_RESET 0x7777

static volatile u32 *finisher;

void arch_machine_init(const struct fdt *fdt)
{
    fdt_node node = fdt_find_compatible(fdt, -1, "sifive,test0");
    struct fdt_reg reg;
    if (node >= 0 && fdt_is_enabled(fdt, node) && fdt_reg(fdt, node, 0, &reg) == 0 &&
        reg.size >= sizeof(u32) && reg.addr < DIRECT_SIZE)
        finisher = direct_map(reg.addr);
}

void machine_poweroff(int status)
{
    arch_irq_disable();
    if (finisher)
        mmio_write32(finisher,
                     status == 0 ? FINISHER_PASS : (u32)(status & 0xff) << 16 | FINISHER_FAIL);
    sbi_shutdown();
    arch_halt();
}

void machine_reboot(void)
{
    arch_irq_disable();
    sbi_reboot();
    if (finisher)
        mmio_write32(finisher, FINISHER_RESET);
    arch_halt();
}
