/* Finding and starting the devices of the machine. */
#pragma once

#include "lib/fdt.h"
#include "lib/types.h"

/*
 * Boot, as early as possible: finds the console UART (/chosen stdout-path, else the first ns16550)
 * and makes it the log's sink, polled; needs nothing but the direct map. => One CPU, no locks
 * needed.
 */
void dev_early_console(const struct fdt *fdt);

/*
 * Starts every device in the devicetree that has a driver (interrupt controllers first), then
 * registers the devices without hardware. A device that does not start is logged and left out.
 * => Boot CPU, threads, memory, timers work; interrupts on. May sleep.
 */
void dev_init(const struct fdt *fdt);

/* Each secondary CPU, once, with interrupts off: lets external interrupts come here. */
void dev_init_cpu(void);

/* Before power-off: waits (bounded) until the console's output is out. => Any context. */
void dev_shutdown(void);
