/* Device registers; contract in arch/io.h. Devices are little-endian, as the hart is. */
#pragma once

#include "lib/types.h"

static inline u8 mmio_read8(const volatile void *reg)
{
    u8 v = *(const volatile u8 *)reg;
    __asm__ volatile("fence i, iorw" ::: "memory");
    return v;
}

static inline u32 mmio_read32(const volatile void *reg)
{
    u32 v = *(const volatile u32 *)reg;
    __asm__ volatile("fence i, iorw" ::: "memory");
    return v;
}

static inline void mmio_write8(volatile void *reg, u8 v)
{
    __asm__ volatile("fence iorw, o" ::: "memory");
    *(volatile u8 *)reg = v;
}

static inline void mmio_write32(volatile void *reg, u32 v)
{
    __asm__ volatile("fence iorw, o" ::: "memory");
    *(volatile u32 *)reg = v;
}
