/* Shared by panic.c and ipi.c. */
#pragma once

#include "lib/types.h"

/* This CPU is about to halt for a panic elsewhere: ipi_stop_others() stops waiting for it. */
void ipi_stopped(void);
bool ipi_is_stopped(u32 cpu);
