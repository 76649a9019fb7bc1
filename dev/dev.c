/* Finding the devices: a walk over the devicetree with a table of drivers. */
#include "dev/dev.h"

#include "core/errno.h"
#include "core/log.h"
#include "core/poll.h"
#include "core/thread.h"
#include "dev/tty.h"
#include "dev_priv.h"
#include "lib/string.h"
#include "mm/slab.h"

/* In the order of starting: the interrupt controller serves those behind it. */
static const struct {
    const char *compatible;
    int (*probe)(const struct dev_resources *res);
    bool by_address; /* lowest address first, whatever the tree's order: names stay predictable */
} drivers[] = {
    {"sifive,plic-1.0.0", plic_probe, false},  {"riscv,plic0", plic_probe, false},
    {"ns16550a", uart_probe, false},           {"ns16550", uart_probe, false},
    {"google,goldfish-rtc", rtc_probe, false}, {"virtio,mmio", virtio_mmio_probe, true},
};

int dev_node_resources(const struct fdt *fdt, fdt_node node, struct dev_resources *res)
{
    struct fdt_reg reg;
    int r = fdt_reg(fdt, node, 0, &reg);
    if (r < 0)
        return r;
    *res = (struct dev_resources){.fdt = fdt, .node = node, .addr = reg.addr, .size = reg.size};
    if (fdt_prop_u32(fdt, node, "interrupts", 0, &res->irq) < 0)
        res->irq = 0;
    return 0;
}

static void probe_one(unsigned driver, const struct dev_resources *res)
{
    int r = drivers[driver].probe(res);
    if (r < 0)
        log_warn("%s at %lx: not started, error %d\n", drivers[driver].compatible, res->addr, -r);
}

/* Next enabled node of the driver at an address above @above; lowest first. False: none left. */
static bool next_by_address(const struct fdt *fdt, const char *compatible, s64 above,
                            struct dev_resources *best)
{
    bool found = false;
    struct dev_resources res;
    fdt_node node = -1;
    while ((node = fdt_find_compatible(fdt, node, compatible)) >= 0) {
        if (!fdt_is_enabled(fdt, node) || dev_node_resources(fdt, node, &res) < 0)
            continue;
        if ((s64)res.addr > above && (!found || res.addr < best->addr)) {
            *best = res;
            found = true;
        }
    }
    return found;
}

static void probe_driver(const struct fdt *fdt, unsigned driver)
{
    const char *compatible = drivers[driver].compatible;
    struct dev_resources res;
    if (drivers[driver].by_address) {
        for (s64 above = -1; next_by_address(fdt, compatible, above, &res); above = res.addr)
            probe_one(driver, &res);
        return;
    }
    fdt_node node = -1;
    while ((node = fdt_find_compatible(fdt, node, compatible)) >= 0) {
        /* A node that names several of our strings is started once, by the first. */
        bool earlier = false;
        for (unsigned i = 0; i < driver; i++)
            earlier |= fdt_is_compatible(fdt, node, drivers[i].compatible);
        if (!earlier && fdt_is_enabled(fdt, node) && dev_node_resources(fdt, node, &res) == 0)
            probe_one(driver, &res);
    }
}

/* /chosen's stdout-path, without options behind a colon. Aliases are names without a slash. */
static fdt_node stdout_node(const struct fdt *fdt)
{
    char path[128];
    fdt_node chosen = fdt_find_path(fdt, "/chosen");
    const char *s = chosen < 0 ? NULL : fdt_prop_string(fdt, chosen, "stdout-path");
    if (!s || str_copy(path, s, sizeof(path)) >= sizeof(path))
        return -ENOENT;
    char *colon = strchr(path, ':');
    if (colon)
        *colon = '\0';
    if (path[0] == '/')
        return fdt_find_path(fdt, path);
    fdt_node aliases = fdt_find_path(fdt, "/aliases");
    s = aliases < 0 ? NULL : fdt_prop_string(fdt, aliases, path);
    return s ? fdt_find_path(fdt, s) : -ENOENT;
}

void dev_early_console(const struct fdt *fdt)
{
    fdt_node node = stdout_node(fdt);
    struct dev_resources res;
    if (node < 0 ||
        !(fdt_is_compatible(fdt, node, "ns16550a") || fdt_is_compatible(fdt, node, "ns16550")))
        node = fdt_find_compatible(fdt, -1, "ns16550a");
    if (node < 0)
        node = fdt_find_compatible(fdt, -1, "ns16550");
    if (node >= 0 && dev_node_resources(fdt, node, &res) == 0)
        uart_early(&res);
}

static void *poll_memory(size_t size)
{
    return kmalloc(size, 0);
}

void dev_init(const struct fdt *fdt)
{
    poll_set_memory(poll_memory, kfree);
    random_init(fdt);
    tty_init();
    memdev_init();
    for (unsigned i = 0; i < ARRAY_SIZE(drivers); i++)
        probe_driver(fdt, i);
}

void dev_init_cpu(void)
{
    plic_init_cpu();
}

void dev_shutdown(void)
{
    virtio_console_drain();
    uart_drain();
}
