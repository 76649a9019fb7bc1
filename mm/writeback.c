/*
 * Writing dirty pages out: fsync, sync, the writeback thread, and the brake on those who dirty.
 *
 * Writing a page. Locked, it moves from PG_DIRTY to PG_WRITEBACK under o->lock; then its mappings
 * are write-protected (rmap_clean()), so that a later store faults and marks it dirty again; then
 * it is unlocked and handed to the object's write_pages() in a run with its neighbours. In that
 * order no store is lost: one before the protection is in the page when the I/O begins. Pages under
 * writeback stay in the cache; nothing else holds them there. A thread never sleeps for a page lock
 * or for I/O while it has a run that it has not handed on yet.
 *
 * The thread. Objects with dirty pages are on a list in the order in which they became dirty. While
 * it is not empty the thread looks every few seconds for objects dirty for half a minute. It is
 * kicked when more than a tenth of memory is dirty and when reclaim meets dirty pages; then age
 * does not count. It never waits for a page lock.
 *
 * The brake. When dirty pages and pages under writeback are more than a fifth of memory, writers
 * wait in writeback_balance() for a limited time.
 *
 * Lifetime. The thread does not hold a reference to an object but a pin, taken under the list's
 * lock; object_fini() waits for the pins, so an object's owner is never kept alive by writeback.
 *
 * sync(2) must wait for all writes begun before it ends its pass. Writes are counted by epoch, 0 or
 * 1, remembered in the page. After its pass sync turns the epoch and waits until the old one has
 * drained; before turning it waits until the new one has, which may hold stragglers that had read
 * the epoch before the previous turn.
 */
#include "core/errno.h"
#include "core/log.h"
#include "core/waitq.h"
#include "mm/rmap.h"
#include "object_priv.h"
#include "reclaim_priv.h"
#include "writeback_priv.h"

#define WRITE_RUN          64 /* pages handed on at once, at most */
#define DIRTY_AGE          (30 * NSEC_PER_SEC)
#define LOOK_INTERVAL      (5 * NSEC_PER_SEC)
#define BRAKE_STEP         (100 * NSEC_PER_MSEC)
#define BRAKE_MAX          (5 * NSEC_PER_SEC)
#define BACKGROUND_DIVISOR 10
#define LIMIT_DIVISOR      5

/* Bits of kicked. */
#define KICK_BACKGROUND 1u
#define KICK_MEMORY     2u

DEFINE_LOCK_CLASS(dirty_list_lock_class, "dirty list");
DEFINE_LOCK_CLASS(writeback_pass_class, "writeback pass");

static struct spinlock dirty_lock = SPINLOCK_INIT(dirty_list_lock_class);
static struct list_node dirty_objects = LIST_INIT(dirty_objects); /* dirty_lock */
/* Held for a pass over the list, so that two passes do not skip what the other has in hand. */
static struct mutex pass_lock = MUTEX_INIT(pass_lock, writeback_pass_class);

static struct waitq thread_queue = WAITQ_INIT(thread_queue);
static struct waitq pin_queue = WAITQ_INIT(pin_queue);
static struct waitq brake_queue = WAITQ_INIT(brake_queue);
static struct waitq epoch_queue = WAITQ_INIT(epoch_queue);
static u32 kicked;         /* atomic: KICK_* */
static u32 braked;         /* atomic: threads in writeback_balance() */
static unsigned epoch;     /* pass_lock to change */
static u64 outstanding[2]; /* atomic: pages under writeback by epoch */

u64 writeback_pages(void)
{
    return READ_ONCE(outstanding[0]) + READ_ONCE(outstanding[1]);
}

/* --- pages out --- */

struct run {
    struct vm_object *object;
    unsigned count;
    int error; /* first one that the object's writer returned at once */
    struct page *page[WRITE_RUN];
};

static void run_submit(struct run *run)
{
    struct vm_object *o = run->object;
    unsigned n = run->count;
    run->count = 0;
    int r = n > 0 ? o->ops->write_pages(o, run->page, n) : 0;
    if (r == 0)
        return;
    if (run->error == 0)
        run->error = r;
    if (r != -ENOMEM)
        object_set_error(o, r);
    for (unsigned i = 0; i < n; i++) {
        if (r == -ENOMEM)
            object_mark_dirty(o, run->page[i]);
        page_end_writeback(run->page[i]);
    }
}

/* Moves locked @page to writeback and adds it to the run. */
static void run_append(struct run *run, struct page *page)
{
    if (run->count == WRITE_RUN ||
        (run->count > 0 && run->page[run->count - 1]->index + 1 != page->index))
        run_submit(run);
    unsigned e = READ_ONCE(epoch);
    atomic_add(&outstanding[e], 1);
    if (!object_begin_writeback(run->object, page, e ? PG_WB_EPOCH : 0)) {
        writeback_page_done(e);
        return;
    }
    if (READ_ONCE(page->mapped) > 0)
        (void)rmap_clean(page);
    run->page[run->count++] = page;
}

/* Writes @page if it is dirty; with @block waits for its lock and its previous write. */
static void write_page(struct run *run, struct page *page, bool block)
{
    if (!page_trylock(page)) {
        if (!block)
            return;
        run_submit(run);
        page_lock(page);
    }
    if (page->object == run->object && page_flag(page, PG_DIRTY)) {
        if (page_flag(page, PG_WRITEBACK) && block) {
            run_submit(run);
            page_wait_writeback(page);
        }
        if (!page_flag(page, PG_WRITEBACK))
            run_append(run, page);
    }
    page_unlock(page);
}

/* Starts writing the dirty pages [first, last]. Returns 0 or the first immediate error. */
static int write_dirty(struct vm_object *o, u64 first, u64 last, bool block)
{
    struct run run = {.object = o};
    struct page *page;
    for (u64 index = first; (page = object_next_tagged(o, &index, last, OBJECT_TAG_DIRTY));
         index++) {
        write_page(&run, page, block);
        page_put(page);
        if (index == last)
            break;
    }
    run_submit(&run);
    return run.error;
}

static void wait_written(struct vm_object *o, u64 first, u64 last)
{
    struct page *page;
    for (u64 index = first; (page = object_next_tagged(o, &index, last, OBJECT_TAG_WRITEBACK));
         index++) {
        page_wait_writeback(page);
        object_forget_writeback(o, page);
        page_put(page);
        if (index == last)
            break;
    }
}

int object_sync(struct vm_object *o, u64 start, u64 end, bool wait)
{
    if (o->flags & OBJECT_NO_WRITEBACK || start >= end)
        return 0;
    u64 first = start >> PAGE_SHIFT, last = (end - 1) >> PAGE_SHIFT;
    int r = write_dirty(o, first, last, wait);
    if (!wait)
        return 0;
    wait_written(o, first, last);
    int error = atomic_swap(&o->error, 0);
    return error ? error : r;
}

/* --- objects --- */

void writeback_object_dirty(struct vm_object *o)
{
    bool first;
    {
        SPIN_GUARD(&dirty_lock);
        first = list_empty(&dirty_objects);
        list_push_back(&dirty_objects, &o->dirty_link);
    }
    if (first)
        waitq_wake_all(&thread_queue);
}

void writeback_object_clean(struct vm_object *o)
{
    SPIN_GUARD(&dirty_lock);
    list_remove(&o->dirty_link);
}

void writeback_forget(struct vm_object *o)
{
    wait_event(&pin_queue, load_acquire(&o->pins) == 0);
}

/* The object that has been dirty for longest, if since @cutoff or before; pinned. */
static struct vm_object *next_dirty(u64 cutoff)
{
    SPIN_GUARD(&dirty_lock);
    if (list_empty(&dirty_objects))
        return NULL;
    struct vm_object *o = list_first(&dirty_objects, struct vm_object, dirty_link);
    if (o->dirtied_when > cutoff)
        return NULL;
    o->dirtied_when = MAX(time_ns(), cutoff + 1); /* what stays dirty comes up again later */
    list_remove(&o->dirty_link);
    list_push_back(&dirty_objects, &o->dirty_link);
    atomic_add_relaxed(&o->pins, 1);
    return o;
}

/* Writes objects dirty since @cutoff or before, until at most @enough pages are dirty. */
static void write_objects(u64 cutoff, u64 enough, bool block)
{
    struct vm_object *o;
    while (READ_ONCE(object_totals.dirty) > enough && (o = next_dirty(cutoff))) {
        (void)write_dirty(o, 0, ~0UL, block);
        if (atomic_sub(&o->pins, 1) == 0)
            waitq_wake_all(&pin_queue);
    }
}

void writeback_page_done(unsigned e)
{
    if (atomic_sub(&outstanding[e], 1) == 0)
        waitq_wake_all(&epoch_queue);
    if (unlikely(READ_ONCE(braked)))
        waitq_wake_all(&brake_queue);
}

void writeback_all(bool wait)
{
    MUTEX_GUARD(&pass_lock);
    write_objects(time_ns(), 0, wait);
    if (!wait)
        return;
    unsigned old = epoch;
    wait_event(&epoch_queue, READ_ONCE(outstanding[!old]) == 0);
    WRITE_ONCE(epoch, !old);
    memory_barrier();
    wait_event(&epoch_queue, READ_ONCE(outstanding[old]) == 0);
}

/* --- the brake --- */

static u64 background_level(void)
{
    return page_total() / BACKGROUND_DIVISOR;
}

static bool over_limit(void)
{
    return READ_ONCE(object_totals.dirty) + writeback_pages() > page_total() / LIMIT_DIVISOR;
}

static void kick(u32 why)
{
    if ((READ_ONCE(kicked) & why) || (atomic_or(&kicked, why) & why))
        return;
    waitq_wake_all(&thread_queue);
}

void writeback_kick(void)
{
    if (READ_ONCE(object_totals.dirty) > 0)
        kick(KICK_MEMORY);
}

void writeback_page_dirtied(void)
{
    if (unlikely(READ_ONCE(object_totals.dirty) > background_level()))
        kick(KICK_BACKGROUND);
}

void writeback_balance(void)
{
    if (likely(!over_limit()) || thread_self()->in_reclaim)
        return;
    u64 now = time_ns(), end = now + BRAKE_MAX;
    atomic_add(&braked, 1);
    while (over_limit() && now < end && !signal_pending()) {
        kick(KICK_BACKGROUND);
        (void)wait_event_timeout(&brake_queue, !over_limit(), now + BRAKE_STEP);
        now = time_ns();
    }
    atomic_sub(&braked, 1);
}

/* --- the thread --- */

static bool anything_dirty(void)
{
    return !list_empty(&dirty_objects);
}

static void writeback_thread(void *arg)
{
    thread_self()->in_reclaim = true;
    for (;;) {
        wait_event(&thread_queue, anything_dirty() || READ_ONCE(kicked));
        (void)wait_event_timeout(&thread_queue, READ_ONCE(kicked), time_ns() + LOOK_INTERVAL);
        u32 why = atomic_swap(&kicked, 0);
        u64 now = time_ns();
        MUTEX_GUARD(&pass_lock);
        if (why & KICK_MEMORY)
            write_objects(now, 0, false);
        else if (why & KICK_BACKGROUND)
            write_objects(now, background_level() / 2, false);
        write_objects(now > DIRTY_AGE ? now - DIRTY_AGE : 0, 0, false);
    }
}

void writeback_init(void)
{
    if (thread_spawn(NULL, "writeback", writeback_thread, NULL))
        panic("no memory for the writeback thread");
    pagedaemon_start();
}
