/*
 * Commit accounting: what has been promised to user space, in pages.
 *
 * Private writable mappings, shared anonymous memory and tmpfs pages are charged when they come
 * into being, whether touched or not. In strict mode the sum of the charges never exceeds what the
 * machine can provide: all frames given to the allocator, less those that the kernel holds for
 * itself now (page tables, slabs, stacks and other wired memory, but not block buffers, which it
 * gives back when asked), less a reserve for what it will
 * need to serve the promises (the reclaim levels, and a 32nd for tables and caches). Swap adds to
 * it. So a promise is kept without killing anybody, and a request that cannot be kept fails with
 * -ENOMEM at the call.
 *
 * Modes as in Linux (proc(5), vm.overcommit_memory): 0 refuses only what exceeds the whole machine,
 * 1 refuses nothing, 2 is strict and the default. In all of them the charges are counted. Strict
 * mode gives away vm.overcommit_ratio per cent of what there is.
 */
#include "core/errno.h"
#include "core/param.h"
#include "mm/aspace.h"
#include "mm/object.h"

#define RESERVE_DIVISOR 32

enum { OVERCOMMIT_HEURISTIC, OVERCOMMIT_ALWAYS, OVERCOMMIT_STRICT };

static int vm_overcommit = OVERCOMMIT_STRICT;
static const char *const modes[] = {"heuristic", "always", "strict", NULL};
PARAM_CHOICE(vm_overcommit, "vm.overcommit", modes, true,
             "memory promised beyond what there is: heuristic, always, strict");

static int vm_overcommit_ratio = 100;
PARAM_NUMBER(vm_overcommit_ratio, "vm.overcommit_ratio", 0, 1000, true,
             "per cent of the memory there is that strict mode promises");

static u64 used; /* atomic */

u64 commit_used(void)
{
    return READ_ONCE(used);
}

/* Never promised: the reclaim levels, and a part for tables and caches. */
static u64 reserve(void)
{
    return page_high_level() + page_total() / RESERVE_DIVISOR;
}

u64 commit_limit(void)
{
    u64 total = page_total();
    u64 kernel =
        page_state_count(PAGE_TABLE) + page_state_count(PAGE_SLAB) + page_state_count(PAGE_WIRED);
    kernel -= MIN(kernel, shrinkable_pages());
    u64 usable = total - MIN(kernel + reserve(), total);
    return usable * (u64)READ_ONCE(vm_overcommit_ratio) / 100;
}

bool commit_is_strict(void)
{
    return READ_ONCE(vm_overcommit) == OVERCOMMIT_STRICT;
}

static bool allowed(u64 pages, u64 now)
{
    switch (READ_ONCE(vm_overcommit)) {
    case OVERCOMMIT_ALWAYS:
        return true;
    case OVERCOMMIT_HEURISTIC:
        return pages <= page_total();
    default: {
        /* The kernel holds none of what is free: mostly that settles it, without a count. */
        if (READ_ONCE(vm_overcommit_ratio) >= 100 && pages <= page_total() &&
            now + pages + reserve() <= page_free_count())
            return true;
        u64 limit = commit_limit();
        return now <= limit && pages <= limit - now;
    }
    }
}

int commit_charge(u64 pages)
{
    u64 now = READ_ONCE(used);
    do {
        if (!allowed(pages, now))
            return -ENOMEM;
    } while (!atomic_cas(&used, &now, now + pages));
    return 0;
}

void commit_uncharge(u64 pages)
{
    debug_assert(READ_ONCE(used) >= pages);
    (void)atomic_sub(&used, pages);
}
