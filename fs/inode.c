/*
 * The inode cache: inodes by (super, number).
 *
 * An inode is born with one reference, by inode_get() (a number that exists on the device) or
 * inode_new() (being created). While INODE_NEW is set only its maker touches it; others who found
 * it by number sleep until inode_ready() or inode_failed(). With references 0 it stays in the hash
 * until the shrinker wants it, unless it was deleted (nlink 0), never hashed, or failed: then the
 * last inode_put() ends it. The end: claim the count (dentries as in vfs_priv.h), drop the cached
 * pages, let the file system free the blocks if nlink is 0, leave the hash, wait for read sections,
 * free. Whoever asks for the number meanwhile sleeps until the dying inode is out of the hash.
 *
 * Dirty inodes are on their super's dirty list and are not freed. The flusher thread writes them a
 * few seconds after the first got dirty.
 *
 * Locks: bucket -> super->inodes_lock; lru_lock; none is taken inside inode->state_lock.
 */
#include "vfs_priv.h"

#include "lib/string.h"
#include "mm/slab.h"

struct bucket {
    struct list_node inodes;
    struct ticket lock;
};

static DEFINE_LOCK_CLASS(bucket_class, "inode_bucket");
static DEFINE_LOCK_CLASS(lru_class, "inode_lru");
static DEFINE_LOCK_CLASS(inode_class, "inode");
static DEFINE_LOCK_CLASS(state_class, "inode_state");

static struct bucket *buckets;
static u32 bucket_mask;
static struct kmem_cache *inode_slab; /* of file systems without a container of their own */
static struct spinlock lru_lock = SPINLOCK_INIT(lru_class);
static struct list_node lru = LIST_INIT(lru);
static u64 inode_total; /* lru_lock */
static struct waitq inode_waitq = WAITQ_INIT(inode_waitq);
static u64 deaths; /* atomic: inodes that left the hash, to wait for the end of one */

static struct bucket *bucket_of(const struct super *sb, u64 ino)
{
    return &buckets[hash_u64(ino ^ (uintptr_t)sb) & bucket_mask];
}

bool inode_tryget(struct inode *inode)
{
    return refs_tryget(&inode->refs);
}

void inode_ref(struct inode *inode)
{
    atomic_add_relaxed(&inode->refs, 1);
}

struct inode *inode_new(struct super *sb)
{
    struct inode *inode =
        sb->ops->inode_alloc ? sb->ops->inode_alloc(sb) : kmem_cache_alloc(inode_slab, PA_ZERO);
    if (!inode)
        return NULL;
    inode->super = sb;
    inode->refs = 1;
    inode->nlink = 1;
    rwlock_init(&inode->lock, &inode_class);
    spin_init(&inode->state_lock, &state_class);
    object_init(&inode->object, NULL, 0);
    list_init(&inode->hash_link);
    list_init(&inode->dirty_link);
    list_init(&inode->dentries);
    list_init(&inode->locks);
    spin_lock(&sb->inodes_lock);
    list_push_back(&sb->inodes, &inode->super_link);
    spin_unlock(&sb->inodes_lock);
    SPIN_GUARD(&lru_lock);
    list_push_front(&lru, &inode->lru_link);
    inode_total++;
    return inode;
}

/* Takes @inode out of its lists, then frees it. => Claimed or never shown to anyone. */
static void inode_free(struct inode *inode)
{
    struct super *sb = inode->super;
    if (inode->state & INODE_HASHED) {
        struct bucket *b = bucket_of(sb, inode->ino);
        ticket_lock(&b->lock, &bucket_class);
        list_remove(&inode->hash_link);
        ticket_unlock(&b->lock, &bucket_class);
        atomic_add(&deaths, 1);
        waitq_wake_all(&inode_waitq);
    }
    spin_lock(&lru_lock);
    list_remove(&inode->lru_link);
    inode_total--;
    spin_unlock(&lru_lock);
    section_wait();
    spin_lock(&sb->inodes_lock);
    list_remove(&inode->dirty_link);
    list_remove(&inode->super_link); /* the last thing that keeps an unmount waiting */
    spin_unlock(&sb->inodes_lock);
    if (sb->ops->inode_free)
        sb->ops->inode_free(inode);
    else
        kmem_cache_free(inode_slab, inode);
}

/* The end of a claimed inode. */
static void inode_destroy(struct inode *inode)
{
    const struct super_ops *ops = inode->super->ops;
    debug_assert(list_empty(&inode->dentries) && list_empty(&inode->locks));
    object_fini(&inode->object);
    if (inode->nlink == 0 && !(inode->state & INODE_DEAD) && ops->inode_evict)
        ops->inode_evict(inode);
    inode_free(inode);
}

void inode_put(struct inode *inode)
{
    section_enter(); /* or the shrinker might free it before we look at its state */
    s32 left = atomic_sub(&inode->refs, 1);
    debug_assert(left >= 0);
    bool end = left == 0 &&
               (READ_ONCE(inode->nlink) == 0 ||
                (READ_ONCE(inode->state) & (INODE_HASHED | INODE_DEAD)) != INODE_HASHED) &&
               refs_claim(&inode->refs);
    section_exit();
    if (unlikely(end))
        inode_destroy(inode);
}

/* => The bucket's lock is held. */
static struct inode *bucket_find(struct bucket *b, const struct super *sb, u64 ino)
{
    struct inode *inode;
    list_for_each_entry (inode, &b->inodes, hash_link) {
        if (inode->ino == ino && inode->super == sb)
            return inode;
    }
    return NULL;
}

/* One look: finds (sb, ino), or puts @fresh there if given. *@out is NULL when neither. */
static int inode_find(struct super *sb, u64 ino, struct inode *fresh, struct inode **out)
{
    struct bucket *b = bucket_of(sb, ino);
    ticket_lock(&b->lock, &bucket_class);
    struct inode *inode = bucket_find(b, sb, ino);
    int err = inode && !inode_tryget(inode) ? -EAGAIN : 0;
    if (!inode && fresh) {
        list_push_front(&b->inodes, &fresh->hash_link);
        atomic_or(&fresh->state, INODE_HASHED);
        inode = fresh;
    }
    ticket_unlock(&b->lock, &bucket_class);
    *out = inode;
    return err;
}

int inode_get(struct super *sb, u64 ino, struct inode **out, bool *fresh)
{
    struct inode *spare = NULL, *inode;
    for (;;) {
        u64 deaths_seen = READ_ONCE(deaths);
        if (inode_find(sb, ino, spare, &inode) < 0) {
            wait_event(&inode_waitq, READ_ONCE(deaths) != deaths_seen);
            continue;
        }
        if (!inode) {
            spare = inode_new(sb);
            if (!spare)
                return -ENOMEM;
            spare->ino = ino;
            spare->state = INODE_NEW;
            continue;
        }
        if (inode == spare) {
            *fresh = true;
            break;
        }
        wait_event(&inode_waitq, !(load_acquire(&inode->state) & INODE_NEW));
        if (!(READ_ONCE(inode->state) & INODE_DEAD)) {
            *fresh = false;
            break;
        }
        inode_put(inode); /* its maker failed: perhaps we do better */
    }
    if (spare && inode != spare) {
        spare->state = INODE_DEAD;
        inode_put(spare);
    }
    *out = inode;
    return 0;
}

void inode_ready(struct inode *inode)
{
    atomic_and(&inode->state, ~INODE_NEW);
    waitq_wake_all(&inode_waitq);
}

void inode_failed(struct inode *inode)
{
    atomic_or(&inode->state, INODE_DEAD);
    inode_ready(inode);
    inode_put(inode);
}

int inode_hash(struct inode *inode)
{
    struct inode *found;
    for (;;) {
        u64 deaths_seen = READ_ONCE(deaths);
        if (inode_find(inode->super, inode->ino, inode, &found) == 0)
            break;
        wait_event(&inode_waitq, READ_ONCE(deaths) != deaths_seen);
    }
    if (found == inode)
        return 0;
    inode_put(found);
    return -EEXIST;
}

void inode_mark_dirty(struct inode *inode)
{
    struct super *sb = inode->super;
    if (!sb->ops->inode_write)
        return;
    memory_barrier(); /* the change, then the look: pairs with the clearing in inode_flush() */
    if (READ_ONCE(inode->state) & INODE_DIRTY)
        return;
    spin_lock(&sb->inodes_lock);
    if (!(atomic_or(&inode->state, INODE_DIRTY) & INODE_DIRTY))
        list_push_back(&sb->dirty, &inode->dirty_link);
    spin_unlock(&sb->inodes_lock);
    flusher_wake();
}

/* Takes the first inode of @list, clean from now on, with a reference; NULL at the end. */
static struct inode *next_dirty(struct super *sb, struct list_node *list)
{
    SPIN_GUARD(&sb->inodes_lock);
    while (!list_empty(list)) {
        struct inode *inode = list_first(list, struct inode, dirty_link);
        list_remove(&inode->dirty_link);
        atomic_and(&inode->state, ~INODE_DIRTY);
        if (inode_tryget(inode))
            return inode;
    }
    return NULL;
}

int super_sync_inodes(struct super *sb)
{
    struct list_node batch = LIST_INIT(batch);
    struct inode *inode;
    int first_error = 0;
    if (!sb->ops->inode_write)
        return 0;
    spin_lock(&sb->inodes_lock);
    list_splice_back(&batch, &sb->dirty);
    spin_unlock(&sb->inodes_lock);
    while ((inode = next_dirty(sb, &batch)) != NULL) {
        memory_barrier();
        int err = inode->nlink || inode->refs > 1 ? sb->ops->inode_write(inode) : 0;
        if (err && !first_error)
            first_error = err;
        inode_put(inode);
    }
    return first_error;
}

void inode_evict_super(struct super *sb)
{
    for (;;) {
        struct inode *inode, *found = NULL;
        bool any = false;
        spin_lock(&sb->inodes_lock);
        list_for_each_entry (inode, &sb->inodes, super_link) {
            any = true;
            if (refs_claim(&inode->refs)) {
                found = inode;
                break;
            }
        }
        spin_unlock(&sb->inodes_lock);
        if (!any)
            return;
        if (found)
            inode_destroy(found);
        else
            thread_yield(); /* the shrinker or writeback is about to drop the rest */
    }
}

static u64 inode_count(void)
{
    return READ_ONCE(inode_total);
}

/* One unused, clean inode without pages from the old end of the list, claimed; or NULL. */
static struct inode *lru_claim(u64 *scan)
{
    SPIN_GUARD(&lru_lock);
    while (*scan > 0 && !list_empty(&lru)) {
        struct inode *inode = list_last(&lru, struct inode, lru_link);
        (*scan)--;
        list_remove(&inode->lru_link);
        list_push_front(&lru, &inode->lru_link);
        if (READ_ONCE(inode->refs) == 0 && !(READ_ONCE(inode->state) & INODE_DIRTY) &&
            READ_ONCE(inode->nlink) != 0 && READ_ONCE(inode->object.nr_pages) == 0 &&
            refs_claim(&inode->refs))
            return inode;
    }
    return NULL;
}

static u64 inode_shrink(u64 want)
{
    u64 scan = MIN(READ_ONCE(inode_total), want * 4), freed = 0;
    struct inode *inode;
    while (freed < want && (inode = lru_claim(&scan)) != NULL) {
        /* Dirtied between the look and the claim (nobody can since): it must stay. */
        if (inode->state & INODE_DIRTY) {
            atomic_sub(&inode->refs, DEAD_REFS);
            continue;
        }
        inode_destroy(inode);
        freed++;
    }
    return freed;
}

static struct shrinker inode_shrinker = {
    .name = "inode", .count = inode_count, .shrink = inode_shrink};

void inode_cache_init(void)
{
    struct page_stats stats;
    page_get_stats(&stats);
    u32 count = 128;
    while (count < 32768 && count < stats.total / 16)
        count *= 2;
    buckets = kzalloc(count * sizeof(*buckets), 0);
    if (!buckets)
        panic("no memory for the inode hash");
    for (u32 i = 0; i < count; i++)
        list_init(&buckets[i].inodes);
    bucket_mask = count - 1;
    inode_slab = kmem_cache_create("inode", sizeof(struct inode), 64);
    shrinker_register(&inode_shrinker);
}
