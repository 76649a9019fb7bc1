/* Shared by time.c and timer.c. */
#pragma once

#include "lib/types.h"

void time_init(u64 timebase_hz);
u64 time_to_ticks(u64 ns);
