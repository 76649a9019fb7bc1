/*
 * RAM and what is used of it, from the devicetree: /memory, the memory reservation block,
 * /reserved-memory, and the tree itself. Everything from the start of the RAM that holds the kernel
 * up to the image belongs to the firmware.
 */
#include "boot_priv.h"

#include "arch/boot.h"
#include "arch/mmu.h"
#include "core/log.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/pmap.h"

/* Ranges that the page allocator is told about. Boards have a handful. */
#define MAX_REGIONS 64

/* RAM left over below which no process could run. */
#define MEMORY_MIN (4UL << 20)

struct region_list {
    struct memory_region at[MAX_REGIONS];
    unsigned count;
};

static struct region_list ram, reserved;

/* Adds [start, start + size), kept in order of addresses. */
static void region_add(struct region_list *list, paddr_t start, u64 size)
{
    if (size == 0 || start + size < start)
        return;
    if (list->count == MAX_REGIONS)
        boot_fail("more than %u ranges of memory", MAX_REGIONS);
    unsigned i = list->count++;
    for (; i > 0 && list->at[i - 1].start > start; i--)
        list->at[i] = list->at[i - 1];
    list->at[i] = (struct memory_region){start, start + size};
}

/* RAM in whole pages, as far as the direct map reaches. */
static void ram_add(paddr_t start, u64 size)
{
    paddr_t end = MIN(PAGE_DOWN(start + size), DIRECT_SIZE);
    start = PAGE_UP(start);
    if (start < end)
        region_add(&ram, start, end - start);
}

static void find_ram(const struct fdt *fdt)
{
    struct fdt_reg reg;
    for (fdt_node node = fdt_first_child(fdt, fdt_root(fdt)); node >= 0;
         node = fdt_next_sibling(fdt, node)) {
        const char *type = fdt_prop_string(fdt, node, "device_type");
        if (!type || strcmp(type, "memory") != 0 || !fdt_is_enabled(fdt, node))
            continue;
        for (unsigned i = 0; fdt_reg(fdt, node, i, &reg) == 0; i++)
            ram_add(reg.addr, reg.size);
    }
}

static void find_reserved(const struct fdt *fdt)
{
    struct fdt_reg reg;
    for (unsigned i = 0; fdt_reserved(fdt, i, &reg) == 0; i++)
        region_add(&reserved, reg.addr, reg.size);
    fdt_node parent = fdt_find_path(fdt, "/reserved-memory");
    fdt_node node = parent < 0 ? parent : fdt_first_child(fdt, parent);
    for (; node >= 0; node = fdt_next_sibling(fdt, node))
        if (fdt_is_enabled(fdt, node))
            for (unsigned i = 0; fdt_reg(fdt, node, i, &reg) == 0; i++)
                region_add(&reserved, reg.addr, reg.size);
}

/* Bytes of @r that lie in RAM and in no earlier reservation: they are sorted by start. */
static u64 reserved_bytes(const struct memory_region *r, paddr_t *done)
{
    u64 bytes = 0;
    for (unsigned i = 0; i < ram.count; i++) {
        paddr_t start = MAX(MAX(r->start, ram.at[i].start), *done);
        paddr_t end = MIN(r->end, ram.at[i].end);
        if (start < end)
            bytes += end - start;
    }
    *done = MAX(*done, r->end);
    return bytes;
}

/* Ends the boot unless enough is left. */
static void check_size(void)
{
    u64 total = 0, used = 0;
    paddr_t done = 0;
    for (unsigned i = 0; i < ram.count; i++)
        total += ram.at[i].end - ram.at[i].start;
    for (unsigned i = 0; i < reserved.count; i++)
        used += reserved_bytes(&reserved.at[i], &done);
    if (total < used + MEMORY_MIN)
        boot_fail("too little memory: %lu KiB of RAM, %lu KiB free, at least %lu KiB needed",
                  (unsigned long)total >> 10, (unsigned long)(total - used) >> 10,
                  MEMORY_MIN >> 10);
}

void boot_memory(const struct fdt *fdt, paddr_t dtb)
{
    paddr_t image = arch_image_start(), image_end = arch_image_end();
    find_ram(fdt);
    find_reserved(fdt);
    region_add(&reserved, dtb, fdt->size);
    for (unsigned i = 0; i < ram.count; i++)
        if (ram.at[i].start <= image && image < ram.at[i].end)
            region_add(&reserved, ram.at[i].start, image_end - ram.at[i].start);
    if (ram.count == 0)
        boot_fail("the devicetree lists no memory");
    check_size();
    page_init(ram.at, ram.count, reserved.at, reserved.count);
    pmap_kernel_init(arch_kernel_map(ram.at[0].start, ram.at[ram.count - 1].end, early_page_alloc));
}
