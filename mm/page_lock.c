/*
 * PG_BUSY as a sleeping lock, and waiting for PG_WRITEBACK.
 *
 * The bits live in page->flags; the sleepers in a hashed table of wait queues. A sleeper sets
 * PG_WAITERS and then looks at the bit once more; whoever clears the bit takes PG_WAITERS away in
 * the same atomic operation and, if it was set, wakes the whole queue. Woken ones that must go on
 * sleeping set PG_WAITERS again. After the clearing operation the page may be freed at once, so
 * only its address is used for the wakeup.
 */
#include "core/errno.h"
#include "core/waitq.h"
#include "lib/string.h"
#include "mm/page.h"
#include "page_priv.h"
#include "writeback_priv.h"

#define PAGE_QUEUES 64

static struct waitq queues[PAGE_QUEUES];

void page_lock_init(void)
{
    for (unsigned i = 0; i < PAGE_QUEUES; i++)
        waitq_init(&queues[i]);
}

static struct waitq *queue_of(const struct page *p)
{
    return &queues[(hash_u64((u64)p) >> 8) % PAGE_QUEUES];
}

bool page_trylock(struct page *p)
{
    return !(atomic_or(&p->flags, PG_BUSY) & PG_BUSY);
}

/* Tries for the lock once more after announcing that someone sleeps for it. */
static bool lock_or_announce(struct page *p)
{
    if (page_trylock(p))
        return true;
    page_flag_set(p, PG_WAITERS);
    return page_trylock(p);
}

/* True when @flag is clear; announces a sleeper otherwise. */
static bool clear_or_announce(struct page *p, u32 flag)
{
    if (!page_flag(p, flag))
        return true;
    page_flag_set(p, PG_WAITERS);
    return !page_flag(p, flag);
}

static void clear_and_wake(struct page *p, u32 flags)
{
    struct waitq *q = queue_of(p);
    if (unlikely(atomic_and(&p->flags, ~(flags | PG_WAITERS)) & PG_WAITERS))
        waitq_wake_all(q);
}

void page_lock(struct page *p)
{
    debug_assert(p->refs > 0);
    if (likely(page_trylock(p)))
        return;
    wait_event(queue_of(p), lock_or_announce(p));
}

void page_unlock(struct page *p)
{
    debug_assert(page_flag(p, PG_BUSY));
    clear_and_wake(p, PG_BUSY);
}

void page_wait_unlocked(struct page *p)
{
    wait_event(queue_of(p), clear_or_announce(p, PG_BUSY));
}

void page_wait_writeback(struct page *p)
{
    wait_event(queue_of(p), clear_or_announce(p, PG_WRITEBACK));
}

void page_end_writeback(struct page *p)
{
    unsigned epoch = page_flag(p, PG_WB_EPOCH) ? 1 : 0;
    clear_and_wake(p, PG_WRITEBACK);
    writeback_page_done(epoch);
}
