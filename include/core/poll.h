/*
 * Waiting for several wait queues at once: poll, select and epoll stand on it.
 *
 * Something that can be polled has an operation poll(object, struct poll_table *) which first calls
 * poll_wait() for each wait queue that announces its changes, then returns the mask of events
 * (POLLIN, POLLOUT, ...) that hold right now. Its wakers change the state, then call
 * waitq_wake_all_key() with the events (0: anything).
 *
 *     poll_table_init(&table, NULL);
 *     first round: table.events = interest of this fd; mask = poll(object, &table)  for each fd
 *     while nothing is ready: r = poll_table_sleep(&table, deadline);
 *                             look again: poll(object, NULL), which queues nothing
 *     poll_table_fini(&table);
 *
 * A wakeup between the look and the sleep is not lost: it marks the table triggered, and a
 * triggered table does not sleep (poll_table_sleep() takes the mark back, so look after it).
 */
#pragma once

#include "core/waitq.h"

struct poll_table;

/* One wait queue in one table. */
struct poll_entry {
    struct waiter waiter;
    struct poll_table *table;
    u32 events; /* wakeups with other keys are not for us; 0: all are */
};

#define POLL_INLINE 8 /* entries within the table itself: enough for most calls, no allocation */

struct poll_table {
    u32 events; /* set by the caller before each poll(): what it is interested in; 0: everything */
    int error;  /* -ENOMEM when a queue could not be added: the caller reports it */
    /* Set: called by poll_wait() instead of queueing an entry (epoll has entries of its own). */
    void (*queue)(struct poll_table *table, struct waitq *q);
    /* private to core/poll.c */
    struct thread *thread;
    u32 triggered; /* atomic; a word, because the machine has no byte atomics */
    unsigned inline_used;
    struct poll_chunk *chunks;
    struct poll_entry inline_entries[POLL_INLINE];
};

/* Prepares @table for the calling thread. */
void poll_table_init(struct poll_table *table,
                     void (*queue)(struct poll_table *table, struct waitq *q));
/* Leaves all wait queues and frees the memory. */
void poll_table_fini(struct poll_table *table);
/*
 * Sleeps until a queue in the table wakes, or @deadline (time_ns(), TIME_NEVER). Returns 0, -EINTR
 * (signal), -ETIMEDOUT. => May sleep.
 */
int poll_table_sleep(struct poll_table *table, u64 deadline);
/* Adds @q to @table; @table may be NULL (a mere look). => May sleep; no spinlock held. */
void poll_wait(struct poll_table *table, struct waitq *q);

/* Boot: where memory for tables with more than POLL_INLINE queues comes from. @alloc may sleep and
 * return NULL. */
void poll_set_memory(void *(*alloc)(size_t size), void (*free)(void *chunk));
