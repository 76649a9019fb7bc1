/*
 * The harts: dense CPU ids for those that the devicetree lists, and the start of all but the first.
 */
#include "boot_priv.h"

#include "arch/boot.h"
#include "arch/cpu.h"
#include "core/errno.h"
#include "core/log.h"
#include "core/sched.h"
#include "core/timer.h"
#include "dev/dev.h"
#include "lib/string.h"

/* How long a hart may take from the firmware's call to its idle loop. */
#define START_LIMIT (1000 * NSEC_PER_MSEC)

/* A hart that can run us: a cpu node, enabled, with an MMU. */
static bool hart_usable(const struct fdt *fdt, fdt_node node)
{
    const char *type = fdt_prop_string(fdt, node, "device_type");
    const char *mmu = fdt_prop_string(fdt, node, "mmu-type");
    return type && strcmp(type, "cpu") == 0 && fdt_is_enabled(fdt, node) && mmu &&
           strcmp(mmu, "riscv,none") != 0;
}

void boot_find_harts(const struct fdt *fdt, u64 boot_hartid)
{
    fdt_node list = fdt_find_path(fdt, "/cpus");
    fdt_node node = list < 0 ? list : fdt_first_child(fdt, list);
    unsigned left_out = 0;
    for (; node >= 0; node = fdt_next_sibling(fdt, node)) {
        struct fdt_reg reg;
        if (!hart_usable(fdt, node) || fdt_reg(fdt, node, 0, &reg) < 0 || reg.addr == boot_hartid)
            continue;
        if (cpu_count == MAX_CPUS) {
            left_out++;
            continue;
        }
        u32 id = cpu_count++;
        cpus[id].id = id;
        cpus[id].hartid = reg.addr;
    }
    if (left_out)
        log_warn("%u harts left unused: at most %u are supported", left_out, MAX_CPUS);
}

void secondary_main(void)
{
    struct cpu *cpu = this_cpu();
    arch_cpu_init();
    dev_init_cpu();
    cpu_set_online(cpu);
    sched_idle_loop();
}

/* Starts CPU @id and waits for it. Returns 0 or why not. */
static int start_hart(u32 id)
{
    int error = sched_init_cpu(&cpus[id]);
    if (error)
        return error;
    error = arch_cpu_start(id);
    if (error)
        return error;
    u64 deadline = time_ns() + START_LIMIT;
    while (!load_acquire(&cpus[id].online)) {
        if (time_ns() > deadline)
            return -ETIMEDOUT;
        sleep_until(time_ns() + NSEC_PER_MSEC);
    }
    return 0;
}

void boot_start_harts(void)
{
    for (u32 id = 1; id < cpu_count; id++) {
        int error = start_hart(id);
        if (error)
            log_err("hart %lu does not start: error %d", (unsigned long)cpus[id].hartid, -error);
    }
    if (cpu_count > 1)
        log_info("%d of %u harts online", __builtin_popcountl(cpu_online_mask), cpu_count);
}
