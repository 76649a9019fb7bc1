/*
 * Poll tables: one thread on many wait queues.
 *
 * Every queue gets an entry with a waiter whose wake function marks the table and wakes the thread;
 * it runs under the queue's lock, so after waitq_remove() no waker touches the entry any more. The
 * mark is what keeps a wakeup between looking and sleeping: the thread first enters the sleeping
 * state, then looks at the mark; the waker first sets the mark, then wakes. The first entries lie
 * in the table (usually on the caller's stack), further ones in chunks of a page, for which core
 * has no allocator of its own: the layer above hands one in at boot.
 */
#include "core/poll.h"

#include "core/errno.h"
#include "core/panic.h"

#include <linux/poll.h>

struct poll_chunk {
    struct poll_chunk *next;
    unsigned used;
    struct poll_entry entries[];
};

#define CHUNK_ENTRIES ((PAGE_SIZE - sizeof(struct poll_chunk)) / sizeof(struct poll_entry))

static void *(*chunk_alloc)(size_t size);
static void (*chunk_free)(void *chunk);

void poll_set_memory(void *(*alloc)(size_t size), void (*free)(void *chunk))
{
    chunk_alloc = alloc;
    chunk_free = free;
}

void poll_table_init(struct poll_table *table,
                     void (*queue)(struct poll_table *table, struct waitq *q))
{
    table->events = 0;
    table->error = 0;
    table->queue = queue;
    table->thread = thread_self();
    table->triggered = 0;
    table->inline_used = 0;
    table->chunks = NULL;
}

void poll_table_fini(struct poll_table *table)
{
    for (unsigned i = 0; i < table->inline_used; i++)
        waitq_remove(&table->inline_entries[i].waiter);
    while (table->chunks) {
        struct poll_chunk *chunk = table->chunks;
        table->chunks = chunk->next;
        for (unsigned i = 0; i < chunk->used; i++)
            waitq_remove(&chunk->entries[i].waiter);
        chunk_free(chunk);
    }
    table->inline_used = 0;
}

static void poll_wake(struct waiter *w, u32 key)
{
    struct poll_entry *e = container_of(w, struct poll_entry, waiter);
    if (key && e->events && !(key & e->events))
        return;
    store_release(&e->table->triggered, 1);
    thread_wake_interruptible(e->table->thread);
}

static struct poll_entry *entry_alloc(struct poll_table *table)
{
    if (table->inline_used < POLL_INLINE)
        return &table->inline_entries[table->inline_used++];
    struct poll_chunk *chunk = table->chunks;
    if (!chunk || chunk->used == CHUNK_ENTRIES) {
        assert(chunk_alloc);
        chunk = chunk_alloc(PAGE_SIZE);
        if (!chunk)
            return NULL;
        chunk->next = table->chunks;
        chunk->used = 0;
        table->chunks = chunk;
    }
    return &chunk->entries[chunk->used++];
}

void poll_wait(struct poll_table *table, struct waitq *q)
{
    if (!table)
        return;
    if (table->queue) {
        table->queue(table, q);
        return;
    }
    struct poll_entry *e = entry_alloc(table);
    if (!e) {
        table->error = -ENOMEM;
        return;
    }
    *e = (struct poll_entry){.waiter = {.thread = table->thread, .wake = poll_wake},
                             .table = table,
                             .events = table->events ? table->events | POLLERR | POLLHUP : 0};
    list_init(&e->waiter.link);
    waitq_add(q, &e->waiter);
}

int poll_table_sleep(struct poll_table *table, u64 deadline)
{
    /* A queue of our own that nobody wakes brings the thread into its sleeping state; the entries'
     * wakers wake the thread itself. */
    struct waitq own;
    waitq_init(&own);
    return wait_event_timeout(&own, atomic_swap(&table->triggered, 0), deadline);
}
