/* Port contract: device registers. machine/io.h holds the inlines. */
#pragma once

#include "lib/types.h"

#include <machine/io.h>

/*
 * machine/io.h supplies, inline:
 *   u8 mmio_read8(const volatile void *reg), u32 mmio_read32(...): ordered before all later
 * accesses void mmio_write8(volatile void *reg, u8 v), mmio_write32(...): ordered behind all
 * earlier accesses, to memory too, so that a device told of a buffer finds its contents
 */
