/*
 * Advisory locks: fcntl(2)'s record locks (owned by a process), its open-file-description locks,
 * and flock(2)'s (both owned by the struct file). flock's neither see nor block the other two.
 *
 * Each inode has a list of the locks held on it; ranges of one owner and kind are kept disjoint,
 * and adjacent ones of one type merged. One spinlock guards all lists and the table of who waits
 * for whom, which is searched for a cycle before a process waits for a record lock. Every release
 * wakes all waiters; they look again.
 */
#include "vfs_priv.h"

#include "mm/slab.h"

enum owner_kind { KIND_POSIX, KIND_OFD, KIND_FLOCK };

struct file_lock {
    struct list_node link; /* inode->locks */
    enum owner_kind kind;
    int type;          /* F_RDLCK, F_WRLCK; F_UNLCK in requests */
    loff_t start, end; /* both inclusive */
    const void *owner;
    s32 pid;
};

/* A process waiting for a record lock. */
struct lock_waiter {
    struct list_node link;
    const void *owner, *blocker;
};

#define LOCK_END INT64_MAX

static DEFINE_LOCK_CLASS(flock_class, "file_locks");
static struct spinlock flock_lock = SPINLOCK_INIT(flock_class);
static struct waitq flock_waitq = WAITQ_INIT(flock_waitq);
static struct list_node lock_waiters = LIST_INIT(lock_waiters);
static u64 releases; /* atomic */

static bool same_owner(const struct file_lock *a, const struct file_lock *b)
{
    return a->owner == b->owner && a->kind == b->kind;
}

/* The first lock that keeps @want from being granted. => flock_lock. */
static struct file_lock *find_conflict(struct inode *inode, const struct file_lock *want)
{
    struct file_lock *l;
    list_for_each_entry (l, &inode->locks, link) {
        if (same_owner(l, want) || (l->kind == KIND_FLOCK) != (want->kind == KIND_FLOCK))
            continue;
        if ((l->type == F_WRLCK || want->type == F_WRLCK) && l->start <= want->end &&
            want->start <= l->end)
            return l;
    }
    return NULL;
}

/* Would @owner, waiting for @blocker, wait for itself? => flock_lock. */
static bool would_deadlock(const void *owner, const void *blocker)
{
    struct lock_waiter *w;
    unsigned steps = 0;
again:
    if (blocker == owner)
        return true;
    list_for_each_entry (w, &lock_waiters, link) {
        if (w->owner == blocker) {
            blocker = w->blocker;
            if (++steps > 1000) /* a cycle among others */
                return false;
            goto again;
        }
    }
    return false;
}

static void locks_released(void)
{
    atomic_add(&releases, 1);
    waitq_wake_all(&flock_waitq);
}

/* By start, so that F_GETLK tells of the first conflict. */
static void insert_sorted(struct inode *inode, struct file_lock *new)
{
    struct list_node *at;
    list_for_each (at, &inode->locks) {
        if (list_entry(at, struct file_lock, link)->start > new->start)
            break;
    }
    list_push_back(at, &new->link);
}

/* Cuts [new->start, new->end] out of @l, which overlaps it. *@spare becomes the upper part when two
 * remain. True when @l is gone (it is then free to be reused, unlinked). => flock_lock. */
static bool cut(struct inode *inode, struct file_lock *l, const struct file_lock *new,
                struct file_lock **spare)
{
    bool below = l->start<new->start, above = l->end> new->end;
    if (below && above) {
        struct file_lock *upper = *spare;
        *spare = NULL;
        *upper = *l;
        upper->start = new->end + 1;
        insert_sorted(inode, upper);
    }
    if (below)
        l->end = new->start - 1;
    else if (above)
        l->start = new->end + 1;
    else
        list_remove(&l->link);
    return !below && !above;
}

static bool touches(const struct file_lock *a, const struct file_lock *b)
{
    return (a->end == LOCK_END || a->end + 1 >= b->start) &&
           (b->end == LOCK_END || b->end + 1 >= a->start);
}

/* Puts @want in force for its owner. @mem: two spare structs; taken ones become NULL, freed ones
 * are collected in @dead. => flock_lock; no conflict. */
static void apply(struct inode *inode, struct file_lock *want, struct file_lock **mem,
                  struct list_node *dead)
{
    struct file_lock *l, *tmp;
    bool released = want->type == F_UNLCK;
    list_for_each_entry_safe (l, tmp, &inode->locks, link) {
        if (!same_owner(l, want))
            continue;
        if (l->type == want->type && touches(l, want)) { /* swallow */
            want->start = MIN(want->start, l->start);
            want->end = MAX(want->end, l->end);
            list_remove(&l->link);
            list_push_back(dead, &l->link);
        } else if (l->start <= want->end && want->start <= l->end) {
            released |= l->type == F_WRLCK;
            if (cut(inode, l, want, &mem[1]))
                list_push_back(dead, &l->link);
        }
    }
    if (want->type != F_UNLCK) {
        struct file_lock *granted = mem[0];
        mem[0] = NULL;
        *granted = *want;
        insert_sorted(inode, granted);
    }
    if (released)
        locks_released();
}

static void free_locks(struct list_node *dead)
{
    struct file_lock *l, *tmp;
    list_for_each_entry_safe (l, tmp, dead, link)
        kfree(l);
}

/* One attempt. 0, -EDEADLK, or -EAGAIN: then @w (may be NULL) is registered as waiting. */
static int try_lock(struct inode *inode, struct file_lock *want, struct file_lock **mem,
                    struct list_node *dead, struct lock_waiter *w)
{
    SPIN_GUARD(&flock_lock);
    struct file_lock *conflict = want->type == F_UNLCK ? NULL : find_conflict(inode, want);
    if (!conflict) {
        apply(inode, want, mem, dead);
        return 0;
    }
    if (w && want->kind == KIND_POSIX) {
        if (would_deadlock(want->owner, conflict->owner))
            return -EDEADLK;
        w->owner = want->owner;
        w->blocker = conflict->kind == KIND_POSIX ? conflict->owner : NULL;
        list_push_back(&lock_waiters, &w->link);
    }
    return -EAGAIN;
}

static int set_lock(struct inode *inode, struct file_lock *want, bool wait)
{
    struct list_node dead = LIST_INIT(dead);
    struct file_lock *mem[2] = {kmalloc(sizeof(*want), 0), kmalloc(sizeof(*want), 0)};
    struct lock_waiter w;
    int err = mem[0] && mem[1] ? 0 : -ENOLCK;
    list_init(&w.link);
    while (!err) {
        u64 seen = READ_ONCE(releases);
        memory_barrier();
        err = try_lock(inode, want, mem, &dead, wait ? &w : NULL);
        if (err != -EAGAIN || !wait)
            break;
        err = wait_event_intr(&flock_waitq, READ_ONCE(releases) != seen) ? -ERESTARTSYS : 0;
        SPIN_GUARD(&flock_lock);
        list_remove(&w.link);
    }
    kfree(mem[0]);
    kfree(mem[1]);
    free_locks(&dead);
    return err;
}

/* The range of @fl as first and last byte. */
static int range_of(struct file *f, const struct flock *fl, struct file_lock *l)
{
    loff_t base = 0, start;
    if (fl->l_whence == 1)
        base = READ_ONCE(f->pos);
    else if (fl->l_whence == 2)
        base = (loff_t)inode_size(f->inode);
    else if (fl->l_whence != 0)
        return -EINVAL;
    if (__builtin_add_overflow(base, fl->l_start, &start))
        return -EOVERFLOW;
    if (start < 0)
        return -EINVAL;
    l->start = start;
    l->end = LOCK_END;
    if (fl->l_len > 0) {
        if (__builtin_add_overflow(start, fl->l_len - 1, &l->end))
            return -EOVERFLOW;
    } else if (fl->l_len < 0) { /* the bytes before start */
        if (start + fl->l_len < 0)
            return -EINVAL;
        l->end = start - 1;
        l->start = start + fl->l_len;
    }
    return 0;
}

static void get_lock(struct inode *inode, struct file_lock *want, struct flock *fl)
{
    SPIN_GUARD(&flock_lock);
    struct file_lock *conflict = find_conflict(inode, want);
    fl->l_type = F_UNLCK;
    if (!conflict)
        return;
    fl->l_type = (short)conflict->type;
    fl->l_whence = 0;
    fl->l_start = conflict->start;
    fl->l_len = conflict->end == LOCK_END ? 0 : conflict->end - conflict->start + 1;
    fl->l_pid = conflict->kind == KIND_POSIX ? conflict->pid : -1;
}

int flock_fcntl(struct file *f, int cmd, struct flock *fl, const void *owner, s32 pid)
{
    bool ofd = cmd == F_OFD_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW;
    bool get = cmd == F_GETLK || cmd == F_OFD_GETLK;
    struct file_lock want = {.kind = ofd ? KIND_OFD : KIND_POSIX,
                             .type = fl->l_type,
                             .owner = ofd ? (const void *)f : owner,
                             .pid = pid};
    if (f->ops == &path_file_ops)
        return -EBADF;
    if (ofd && fl->l_pid != 0)
        return -EINVAL;
    if (fl->l_type != F_RDLCK && fl->l_type != F_WRLCK && (get || fl->l_type != F_UNLCK))
        return -EINVAL;
    int err = range_of(f, fl, &want);
    if (err)
        return err;
    if (get) {
        get_lock(f->inode, &want, fl);
        return 0;
    }
    if ((want.type == F_RDLCK && !FILE_READABLE(f)) || (want.type == F_WRLCK && !FILE_WRITABLE(f)))
        return -EBADF;
    return set_lock(f->inode, &want, cmd == F_SETLKW || cmd == F_OFD_SETLKW);
}

int flock_flock(struct file *f, int operation)
{
    struct file_lock want = {.kind = KIND_FLOCK, .end = LOCK_END, .owner = f};
    if (f->ops == &path_file_ops)
        return -EBADF;
    switch (operation & ~LOCK_NB) {
    case LOCK_SH:
        want.type = F_RDLCK;
        break;
    case LOCK_EX:
        want.type = F_WRLCK;
        break;
    case LOCK_UN:
        want.type = F_UNLCK;
        break;
    default:
        return -EINVAL;
    }
    return set_lock(f->inode, &want, !(operation & LOCK_NB));
}

/* Takes all locks of @owner (of @kind, or of both kinds that files own) off @inode. */
static void release_all(struct inode *inode, const void *owner, bool of_file)
{
    struct list_node dead = LIST_INIT(dead);
    struct file_lock *l, *tmp;
    spin_lock(&flock_lock);
    list_for_each_entry_safe (l, tmp, &inode->locks, link) {
        if (l->owner == owner && (l->kind != KIND_POSIX) == of_file) {
            list_remove(&l->link);
            list_push_back(&dead, &l->link);
        }
    }
    if (!list_empty(&dead))
        locks_released();
    spin_unlock(&flock_lock);
    free_locks(&dead);
}

void flock_release_owner(struct file *f, const void *owner)
{
    if (!list_empty(&f->inode->locks))
        release_all(f->inode, owner, false);
}

void flock_file_closed(struct file *f)
{
    release_all(f->inode, f, true);
}
