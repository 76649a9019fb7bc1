/* What a hart finds when the firmware starts it. */
#pragma once

#include "lib/types.h"

/* Read by start.S with the MMU off, at its physical address. */
struct hart_start {
    u64 satp;       /* the kernel's root table */
    vaddr_t thread; /* becomes tp */
    vaddr_t sp;
    vaddr_t entry; /* called, does not return */
};

/* Word for a hart that the firmware sent to the wrong entry, see stray_start in start.S. */
extern u64 hart_starting_id, hart_starting_arg;
