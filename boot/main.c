/*
 * From the first C instruction to the first process.
 *
 * kmain() runs once, on the boot hart, with interrupts off, on the early map. It brings up memory,
 * then everything that threads need, starts the thread "init" and becomes the hart's idle thread.
 * "init" may sleep: it starts devices, the other harts, file systems and the first process.
 */
#include "boot_priv.h"

#include "arch/boot.h"
#include "arch/cpu.h"
#include "arch/mmu.h"
#include "arch/vdso.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/param.h"
#include "core/sched.h"
#include "core/timer.h"
#include "dev/dev.h"
#include "fs/vfs.h"
#include "lib/fmt.h"
#include "mm/aspace.h"
#include "mm/kva.h"
#include "mm/object.h"
#include "mm/rmap.h"
#include "mm/slab.h"
#include "proc/init.h"

static struct fdt machine_fdt;

void boot_fail(const char *fmt, ...)
{
    char text[120];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    log_err("cannot boot: %s", text);
    dev_shutdown();
    machine_poweroff(1);
}

void kernel_late_init(const struct fdt *fdt)
{
    dev_init(fdt);
    boot_start_harts();
    writeback_init();
    fs_init();
    proc_init();
    start_init();
}

static void init_thread(void *arg)
{
    kernel_late_init(arg);
}

/* Ticks per second of the time CSR. */
static u64 timebase(const struct fdt *fdt)
{
    u32 hz = 0;
    fdt_node node = fdt_find_path(fdt, "/cpus");
    if (node < 0 || fdt_prop_u32(fdt, node, "timebase-frequency", 0, &hz) < 0 || hz == 0)
        boot_fail("the devicetree has no /cpus/timebase-frequency");
    return hz;
}

static void log_machine(const struct fdt *fdt)
{
    const char *model = fdt_prop_string(fdt, fdt_root(fdt), "model");
    log_info("Quire on %s, %u hart%s, command line: %s", model ? model : "an unnamed machine",
             cpu_count, cpu_count == 1 ? "" : "s", param_cmdline());
}

static void parse_command_line(const struct fdt *fdt)
{
    fdt_node chosen = fdt_find_path(fdt, "/chosen");
    const char *text = chosen < 0 ? NULL : fdt_prop_string(fdt, chosen, "bootargs");
    param_parse(text ? text : "");
}

/* The console, the parameters, the machine: what needs no memory but the image's. */
static void init_basics(u64 hartid, paddr_t dtb)
{
    struct fdt *fdt = &machine_fdt;
    struct thread *self = thread_self();
    self->stack_base = (vaddr_t)boot_stack_base;
    self->kernel_sp = (vaddr_t)boot_stack_top;
    cpus[0].hartid = hartid;
    if (arch_emergency_stack_init(&cpus[0]) < 0)
        panic("the boot hart's emergency stack is part of the image");
    arch_cpu_init();
    log_set_console(sbi_console_write);
    if (fdt_open(fdt, direct_map(dtb)) < 0)
        boot_fail("no valid devicetree at %#lx", (unsigned long)dtb);
    arch_machine_init(fdt);
    dev_early_console(fdt);
    parse_command_line(fdt);
    boot_find_harts(fdt, hartid);
    log_machine(fdt);
    arch_probe(fdt);
}

void kmain(u64 hartid, paddr_t dtb)
{
    struct fdt *fdt = &machine_fdt;
    init_basics(hartid, dtb);
    u64 hz = timebase(fdt);
    timer_init(hz);
    boot_memory(fdt, dtb);
    slab_init();
    kva_init();
    rmap_init();
    aspace_init();
    if (vdso_init(hz) < 0)
        panic("the embedded vDSO is damaged");
    sched_init();
    if (thread_spawn(NULL, "init", init_thread, fdt) < 0)
        boot_fail("no memory for the first thread");
    sched_idle_loop();
}
