/*
 * The hart: what it can do (from the devicetree), its timer, its trap vector.
 */
#include "arch/cpu.h"
#include "core/cpu.h"
#include "core/log.h"
#include "core/panic.h"
#include "lib/fdt.h"
#include "lib/string.h"

#include "arch_priv.h"

#include <machine/csr.h>

u64 boot_entry_ticks; /* written by start.S */

static const char *isa = "rv64imac";
static u64 hwcap;
static bool has_sstc;

const char *arch_isa_string(void)
{
    return isa;
}

u64 arch_boot_ticks(void)
{
    return boot_entry_ticks;
}

u64 arch_hwcap(void)
{
    return hwcap;
}

/* True when the ISA string @s ("rv64imac_zicsr_sstc") lists the multi-letter extension @name. */
static bool isa_has(const char *s, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = strchr(s, '_'); p; p = strchr(p + 1, '_'))
        if (strncmp(p + 1, name, n) == 0 && (p[1 + n] == '_' || p[1 + n] == '\0'))
            return true;
    return false;
}

/* The single letters that user programs look for in AT_HWCAP; G stands for IMAFD. */
static u64 isa_letters(const char *s)
{
    u64 all = 0;
    for (const char *p = s + 4; *p && *p != '_'; p++) {
        if (*p == 'g')
            all |= isa_letters("rv64imafd");
        else if (strchr("imafdc", *p))
            all |= 1UL << (*p - 'a');
    }
    return all;
}

/* Node of the hart that runs this, or an error. */
static fdt_node own_node(const struct fdt *fdt)
{
    fdt_node list = fdt_find_path(fdt, "/cpus");
    if (list < 0)
        return list;
    fdt_node node = fdt_first_child(fdt, list);
    for (; node >= 0; node = fdt_next_sibling(fdt, node)) {
        struct fdt_reg reg;
        if (fdt_prop(fdt, node, "riscv,isa", NULL) && fdt_reg(fdt, node, 0, &reg) == 0 &&
            reg.addr == this_cpu()->hartid)
            break;
    }
    return node;
}

void arch_probe(const struct fdt *fdt)
{
    sbi_probe();
    fdt_node node = own_node(fdt);
    const char *s = node < 0 ? NULL : fdt_prop_string(fdt, node, "riscv,isa");
    if (s && str_starts(s, "rv64"))
        isa = s;
    hwcap = isa_letters(isa);
    has_sstc = isa_has(isa, "sstc");
    log_info("hart %lu: %s, timer by %s", (unsigned long)this_cpu()->hartid, isa,
             has_sstc ? "Sstc" : "firmware");
}

void arch_timer_set(u64 ticks)
{
    if (has_sstc)
        csr_write(CSR_STIMECMP, ticks);
    else
        sbi_set_timer(ticks);
}

void arch_timer_stop(void)
{
    arch_timer_set(~0UL);
}

void arch_cpu_init(void)
{
    csr_write(sscratch, 0);
    csr_write(stvec, (vaddr_t)trap_entry);
    csr_write(scounteren, SCOUNTEREN_TM | SCOUNTEREN_IR);
    arch_timer_stop();
    csr_write(sie, SIE_SSIE | SIE_STIE | SIE_SEIE);
}

void arch_halt(void)
{
    arch_irq_disable();
    csr_write(sie, 0);
    for (;;)
        arch_wait_for_interrupt();
}
