/*
 * sync(2), the flusher, power-off.
 *
 * File data is written back by mm's thread. The flusher takes care of the rest: five seconds after
 * the first inode became dirty it hands dirty inodes to their file systems and lets those start
 * writing what they have.
 */
#include "vfs_priv.h"

#include "core/log.h"
#include "fs/ext2.h"

#define FLUSH_DELAY (5 * NSEC_PER_SEC)

static struct waitq flusher_waitq = WAITQ_INIT(flusher_waitq);
static bool flush_wanted; /* atomic */

void flusher_wake(void)
{
    if (!READ_ONCE(flush_wanted)) {
        WRITE_ONCE(flush_wanted, true);
        waitq_wake_all(&flusher_waitq);
    }
}

static int sync_one(struct super *sb, void *arg)
{
    bool wait = *(bool *)arg;
    int err = super_sync(sb, wait);
    if (err)
        log_err("%s on %s: sync failed, error %d", sb->type->name, sb->source, -err);
    return 0;
}

static void sync_supers(bool wait)
{
    MUTEX_GUARD(&mount_mutex);
    super_for_each(sync_one, &wait);
}

static void flusher_main(void *unused)
{
    for (;;) {
        wait_event(&flusher_waitq, READ_ONCE(flush_wanted));
        (void)sleep_until(time_ns() + FLUSH_DELAY);
        WRITE_ONCE(flush_wanted, false);
        memory_barrier(); /* what becomes dirty from here on wakes us again */
        sync_supers(false);
    }
}

int vfs_sync(bool wait)
{
    writeback_all(wait);
    sync_supers(wait);
    return 0;
}

static int mark_clean(struct super *sb, void *unused)
{
    if (sb->bdev && !sb->read_only && sb->ops->remount && sb->ops->remount(sb, true, NULL) == 0)
        sb->read_only = true;
    return 0;
}

void vfs_shutdown(void)
{
    (void)vfs_sync(true);
    MUTEX_GUARD(&mount_mutex);
    super_for_each(mark_clean, NULL);
}

void flusher_init(void)
{
    if (thread_spawn(NULL, "flusher", flusher_main, NULL))
        panic("no memory for the flusher thread");
}
