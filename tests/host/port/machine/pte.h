/*
 * Host port: the real port's page-table entries (they are plain C), except that the direct map is
 * wherever host_memory_create() put the simulated RAM.
 */
#pragma once

#include_next <machine/pte.h>

#undef KERNEL_DIRECT
#define KERNEL_DIRECT host_direct_base

extern u64 host_direct_base;
