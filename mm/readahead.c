/*
 * Readahead: how many pages to read when one is missing, by how the file has been read so far.
 *
 *      window: start .. start + size
 *     +--------------------+---------------------+
 *     |  read by the miss  |  async_size pages   |
 *     +--------------------+---------------------+
 *                           ^ PG_READAHEAD
 *
 * A reader that begins, or goes on sequentially, and misses gets a window, at first small. Its
 * touching the marked page starts the next window, twice as large up to READAHEAD_MAX, all of it
 * read ahead of the reader. A reader that jumps about gets single pages. Fields are changed without
 * a lock: threads that share an open file may spoil each other's windows, never more.
 */
#include "object_priv.h"

#define FIRST_WINDOW 16     /* pages */
#define NEVER_READ   (~0UL) /* ->prev_index of a reader's first page */

void readahead_init(struct readahead *ra)
{
    *ra = (struct readahead){.max = READAHEAD_MAX, .prev_index = NEVER_READ};
}

static u32 window_limit(const struct readahead *ra)
{
    return MIN(READ_ONCE(ra->max), READAHEAD_MAX);
}

static void plan_window(const struct readahead *ra, struct ra_plan *plan)
{
    plan->start = ra->start;
    plan->count = MIN(ra->size, READAHEAD_MAX);
    plan->marker = ra->start + ra->size - ra->async_size;
}

/* Reading from @index on looks sequential: the reader's first page, the file's first, or the one
 * behind the last. */
static bool begins_stream(const struct readahead *ra, u64 index)
{
    u64 last = ra->prev_index;
    return index == 0 || last == NEVER_READ || index == last || index == last + 1;
}

void readahead_miss(struct readahead *ra, u64 index, struct ra_plan *plan)
{
    *plan = (struct ra_plan){.start = index, .count = 1, .marker = NO_MARKER};
    if (!ra || window_limit(ra) < 2)
        return;
    bool continues = ra->size > 0 && index == ra->start + ra->size;
    if (!continues && !begins_stream(ra, index)) {
        ra->size = 0;
        return;
    }
    u32 size = continues ? 2 * ra->size : FIRST_WINDOW;
    ra->start = index;
    ra->size = MIN(size, window_limit(ra));
    ra->async_size = ra->size / 2;
    plan_window(ra, plan);
}

bool readahead_hit(struct readahead *ra, u64 index, struct ra_plan *plan)
{
    if (window_limit(ra) < 2)
        return false;
    bool ours = index >= ra->start && index < ra->start + ra->size;
    ra->start = ours ? ra->start + ra->size : index + 1;
    ra->size = MIN(ours ? 2 * ra->size : FIRST_WINDOW, window_limit(ra));
    ra->async_size = ra->size;
    plan_window(ra, plan);
    return true;
}
