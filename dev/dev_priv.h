/* What the drivers in this folder offer dev_init(). */
#pragma once

#include "lib/fdt.h"
#include "lib/types.h"

/* What a devicetree node says about a device. */
struct dev_resources {
    const struct fdt *fdt;
    fdt_node node;
    paddr_t addr;
    u64 size;
    u32 irq; /* 0: none */
};

/* A probe result: nothing is plugged in here (success without a device). */
#define DEV_EMPTY_SLOT 1

/* Probe functions: 0, DEV_EMPTY_SLOT, -errno. => May sleep. Each logs one line for its device. */
int plic_probe(const struct dev_resources *res);
int uart_probe(const struct dev_resources *res);
int virtio_mmio_probe(const struct dev_resources *res);
int rtc_probe(const struct dev_resources *res);

void plic_init_cpu(void);

/* Makes the UART with registers at @res the log's sink, polled. */
void uart_early(const struct dev_resources *res);
/* Sends everything that waits in the UART's queue, polled. */
void uart_drain(void);

/* Waits (bounded) until the host has taken what was written to /dev/vport*. */
void virtio_console_drain(void);

/* Seeds the pool from the firmware's /chosen/rng-seed and starts the generator. */
void random_init(const struct fdt *fdt);
/* A hardware generator: @request makes it deliver some random_add() soon. */
void random_set_source(void (*request)(void));
/* Adds the queue that announces random_ready() to @table. */
struct poll_table;
void random_poll_wait(struct poll_table *table);
void memdev_init(void);

/* Fills @res from @node: first register range and first interrupt. Returns 0, -ENOENT. */
int dev_node_resources(const struct fdt *fdt, fdt_node node, struct dev_resources *res);
