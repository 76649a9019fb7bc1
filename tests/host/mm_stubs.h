/* What the frame allocator calls of mm/ that a test of it does without. Include once per test. */
#pragma once

#include "mm/reclaim_priv.h"
#include "mm/writeback_priv.h"

void reclaim_wait(u64 deadline)
{
}

__attribute__((weak)) void writeback_page_done(unsigned epoch)
{
}
