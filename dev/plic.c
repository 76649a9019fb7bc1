/*
 * The platform-level interrupt controller (RISC-V PLIC specification 1.0).
 *
 * A source has a priority (0: never); a context (a hart in a privilege mode) has an enable bit per
 * source, a threshold, and a claim register. Which contexts are the harts' S modes stands in the
 * devicetree's interrupts-extended: one (hart's interrupt controller, line) pair per context. All
 * sources go to the boot hart: devices here are few, and a second hart would only race for the
 * claim.
 */
#include "arch/io.h"
#include "arch/mmu.h"
#include "core/cpu.h"
#include "core/errno.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/spinlock.h"
#include "dev_priv.h"

#define PLIC_PRIORITY(irq)  (4UL * (irq))
#define PLIC_ENABLE(ctx)    (0x2000UL + 0x80UL * (ctx))
#define PLIC_THRESHOLD(ctx) (0x200000UL + 0x1000UL * (ctx))
#define PLIC_CLAIM(ctx)     (PLIC_THRESHOLD(ctx) + 4)
#define LINE_S_EXTERNAL     9 /* interrupt cause of the S-mode external line */
#define NO_CONTEXT          (~0u)

static struct {
    volatile u8 *regs;
    u32 sources;           /* highest number */
    u32 context[MAX_CPUS]; /* each CPU's S mode */
    struct spinlock lock;  /* enable words */
} plic;

static DEFINE_LOCK_CLASS(plic_class, "plic");

static void enable_bit(u32 irq, bool on)
{
    SPIN_GUARD_IRQ(&plic.lock);
    volatile u8 *word = plic.regs + PLIC_ENABLE(plic.context[0]) + irq / 32 * 4;
    u32 bit = 1u << irq % 32, v = mmio_read32(word);
    mmio_write32(word, on ? v | bit : v & ~bit);
}

static void plic_enable(u32 irq)
{
    if (irq == 0 || irq > plic.sources)
        return;
    mmio_write32(plic.regs + PLIC_PRIORITY(irq), 1);
    enable_bit(irq, true);
}

static void plic_disable(u32 irq)
{
    if (irq != 0 && irq <= plic.sources)
        enable_bit(irq, false);
}

static void plic_handle(void)
{
    u32 ctx = plic.context[this_cpu()->id], irq;
    if (ctx == NO_CONTEXT)
        return;
    volatile u8 *claim = plic.regs + PLIC_CLAIM(ctx);
    while ((irq = mmio_read32(claim)) != 0) {
        irq_dispatch(irq);
        mmio_write32(claim, irq);
    }
}

static const struct irq_chip plic_chip = {
    .enable = plic_enable, .disable = plic_disable, .handle = plic_handle};

/* Nothing enabled in this CPU's context that nobody asked for, every priority let through. */
static void reset_context(u32 cpu)
{
    u32 ctx = plic.context[cpu];
    if (ctx == NO_CONTEXT)
        return;
    for (u32 word = 0; word <= plic.sources / 32; word++)
        mmio_write32(plic.regs + PLIC_ENABLE(ctx) + word * 4, 0);
    mmio_write32(plic.regs + PLIC_THRESHOLD(ctx), 0);
}

void plic_init_cpu(void)
{
    if (plic.regs)
        reset_context(this_cpu()->id);
}

/* CPU whose own interrupt controller has @phandle; -1 when it is none of ours. */
static int cpu_of_intc(const struct fdt *fdt, u32 phandle)
{
    fdt_node intc = fdt_find_phandle(fdt, phandle);
    struct fdt_reg reg;
    if (intc < 0 || fdt_reg(fdt, fdt_parent(fdt, intc), 0, &reg) < 0)
        return -1;
    for (u32 i = 0; i < cpu_count; i++)
        if (cpus[i].hartid == reg.addr)
            return i;
    return -1;
}

static void find_contexts(const struct fdt *fdt, fdt_node node, u64 size)
{
    u32 phandle, line;
    for (u32 ctx = 0; PLIC_CLAIM(ctx) + 4 <= size; ctx++) {
        if (fdt_prop_u32(fdt, node, "interrupts-extended", ctx * 2, &phandle) < 0 ||
            fdt_prop_u32(fdt, node, "interrupts-extended", ctx * 2 + 1, &line) < 0)
            return;
        int cpu = line == LINE_S_EXTERNAL ? cpu_of_intc(fdt, phandle) : -1;
        if (cpu >= 0)
            plic.context[cpu] = ctx;
    }
}

int plic_probe(const struct dev_resources *res)
{
    if (plic.regs)
        return -EBUSY;
    u32 sources;
    if (fdt_prop_u32(res->fdt, res->node, "riscv,ndev", 0, &sources) < 0)
        return -EINVAL;
    for (unsigned i = 0; i < MAX_CPUS; i++)
        plic.context[i] = NO_CONTEXT;
    find_contexts(res->fdt, res->node, res->size);
    if (plic.context[0] == NO_CONTEXT)
        return -ENODEV;
    spin_init(&plic.lock, &plic_class);
    plic.sources = MIN(sources, (u32)IRQ_MAX - 1);
    plic.regs = direct_map(res->addr);
    for (u32 cpu = 0; cpu < cpu_count; cpu++)
        reset_context(cpu);
    irq_set_chip(&plic_chip);
    log_info("plic: at %lx, %u sources, boot hart is context %u\n", res->addr, sources,
             plic.context[0]);
    return 0;
}
