/*
 * The dentry cache.
 *
 * A dentry says that a name in a directory is a certain inode, or (negative) that there is no such
 * name. It holds a reference to its parent and, if positive, to its inode; a negative one may
 * become positive once, a positive one never negative: a deleted name is taken out of the hash
 * (DENTRY_UNHASHED) and lives on for those who have it.
 *
 * Finding. Hash chains are NULL-terminated and changed under the bucket's lock, but read without
 * it, in a read section (vfs_priv.h). An entry that leaves its chain keeps its own next pointer, so
 * a reader standing on it goes on; a miss proves nothing and is confirmed under the directory's
 * lock. Name, parent and hash of a dentry never change while it can be found: a rename unhashes it,
 * waits for the sections, changes it, hashes it again. Walks up the tree (path_name) see the change
 * through dcache_rename_seq.
 *
 * End. References 0 means cached, not dead. Every dentry is on the LRU list all its life: dropping
 * the last reference costs no lock; the shrinker goes through the list and gives the used ones
 * (DENTRY_USED) a second chance. An unhashed dentry dies with its last reference.
 *
 * Locks: bucket, dentry->lock (its list of children), LRU list: none is taken inside another.
 */
#include "vfs_priv.h"

#include "lib/string.h"
#include "mm/slab.h"

struct bucket {
    struct dentry *first;
    struct ticket lock;
};

static DEFINE_LOCK_CLASS(bucket_class, "dcache_bucket");
static DEFINE_LOCK_CLASS(dentry_class, "dentry");
static DEFINE_LOCK_CLASS(lru_class, "dcache_lru");
static DEFINE_LOCK_CLASS(rename_class, "dcache_rename");

struct fs_section fs_sections[MAX_CPUS];
static struct bucket *buckets;
static u32 bucket_mask;
static struct kmem_cache *dentry_cache;
static struct spinlock lru_lock = SPINLOCK_INIT(lru_class);
static struct list_node lru = LIST_INIT(lru); /* newest first */
static u64 dentry_total;                      /* lru_lock */
static struct spinlock rename_lock = SPINLOCK_INIT(rename_class);
u64 dcache_rename_seq; /* rename_lock */

void section_wait(void)
{
#ifdef QUIRE_DEBUG
    preempt_disable();
    assert(!(fs_sections[this_cpu()->id].count & 1)); /* or it would wait for itself */
    preempt_enable();
#endif
    memory_barrier();
    for (u32 i = 0; i < cpu_count; i++) {
        u64 seen = load_acquire(&fs_sections[i].count);
        while ((seen & 1) && load_acquire(&fs_sections[i].count) == seen)
            compiler_barrier();
    }
}

u32 name_hash(const struct dentry *parent, const char *name, size_t len)
{
    u32 hash = name_hash_start(parent);
    for (size_t i = 0; i < len; i++)
        hash = name_hash_step(hash, (u8)name[i]);
    return name_hash_end(hash);
}

static inline struct bucket *bucket_of(u32 hash)
{
    return &buckets[hash & bucket_mask];
}

struct dentry *dentry_find(struct dentry *parent, const char *name, size_t len, u32 hash)
{
    for (struct dentry *d = READ_ONCE(bucket_of(hash)->first); d; d = READ_ONCE(d->hash_next)) {
        if (d->hash == hash && d->parent == parent && d->name_len == len &&
            memcmp(d->name, name, len) == 0) {
            if (!(READ_ONCE(d->flags) & DENTRY_USED))
                atomic_or(&d->flags, DENTRY_USED);
            return d;
        }
    }
    return NULL;
}

struct dentry *dentry_find_get(struct dentry *parent, const char *name, size_t len, u32 hash)
{
    section_enter();
    struct dentry *d = dentry_find(parent, name, len, hash);
    if (d && !refs_tryget(&d->refs))
        d = NULL;
    section_exit();
    return d;
}

/* => The bucket's lock is held. */
static void bucket_insert(struct bucket *b, struct dentry *d)
{
    d->hash_next = b->first;
    d->hash_pprev = &b->first;
    if (b->first)
        b->first->hash_pprev = &d->hash_next;
    store_release(&b->first, d);
}

static void dentry_rehash(struct dentry *d)
{
    struct bucket *b = bucket_of(d->hash);
    ticket_lock(&b->lock, &bucket_class);
    bucket_insert(b, d);
    atomic_and(&d->flags, ~DENTRY_UNHASHED);
    ticket_unlock(&b->lock, &bucket_class);
}

void dentry_drop(struct dentry *d)
{
    struct bucket *b = bucket_of(d->hash);
    ticket_lock(&b->lock, &bucket_class);
    if (!(d->flags & DENTRY_UNHASHED)) {
        atomic_or(&d->flags, DENTRY_UNHASHED);
        WRITE_ONCE(*d->hash_pprev, d->hash_next);
        if (d->hash_next)
            d->hash_next->hash_pprev = d->hash_pprev;
    }
    ticket_unlock(&b->lock, &bucket_class);
}

void dentry_get(struct dentry *d)
{
    debug_assert(READ_ONCE(d->refs) >= 0);
    atomic_add_relaxed(&d->refs, 1);
}

/* Drops a reference; true when the caller must now free @d. */
static bool dentry_put_claim(struct dentry *d)
{
    section_enter(); /* or the shrinker might free it before we look at its flags */
    s32 left = atomic_sub(&d->refs, 1);
    debug_assert(left >= 0);
    bool claimed = left == 0 && (READ_ONCE(d->flags) & DENTRY_UNHASHED) && refs_claim(&d->refs);
    section_exit();
    return claimed;
}

/* Frees a claimed dentry, and its ancestors as far as they were waiting only for that. */
static void dentry_kill(struct dentry *d)
{
    while (d) {
        struct dentry *parent = d->parent;
        struct inode *inode = d->inode;
        dentry_drop(d);
        if (parent != d) {
            SPIN_GUARD(&parent->lock);
            list_remove(&d->sibling);
        }
        if (inode) {
            SPIN_GUARD(&inode->state_lock);
            list_remove(&d->alias_link);
        }
        spin_lock(&lru_lock);
        list_remove(&d->lru_link);
        dentry_total--;
        spin_unlock(&lru_lock);
        section_wait();
        if (inode)
            inode_put(inode);
        if (d->name != d->inline_name)
            kfree(d->name);
        kmem_cache_free(dentry_cache, d);
        d = parent != d && dentry_put_claim(parent) ? parent : NULL;
    }
}

void dentry_put(struct dentry *d)
{
    if (unlikely(dentry_put_claim(d)))
        dentry_kill(d);
}

/* A dentry with one reference, in no hash. */
static struct dentry *dentry_alloc(struct super *sb, struct dentry *parent, const char *name,
                                   size_t len, u32 hash)
{
    struct dentry *d = kmem_cache_alloc(dentry_cache, 0);
    if (!d)
        return NULL;
    d->name = d->inline_name;
    if (len >= sizeof(d->inline_name) && !(d->name = kmalloc(len + 1, 0))) {
        kmem_cache_free(dentry_cache, d);
        return NULL;
    }
    memcpy(d->name, name, len);
    d->name[len] = '\0';
    d->name_len = (u16)len;
    d->hash = hash;
    d->refs = 1;
    d->flags = DENTRY_UNHASHED;
    d->inode = NULL;
    d->super = sb;
    d->parent = parent ? parent : d;
    spin_init(&d->lock, &dentry_class);
    list_init(&d->alias_link);
    list_init(&d->children);
    list_init(&d->sibling);
    if (parent) {
        dentry_get(parent);
        SPIN_GUARD(&parent->lock);
        list_push_front(&parent->children, &d->sibling);
    }
    SPIN_GUARD(&lru_lock);
    list_push_front(&lru, &d->lru_link);
    dentry_total++;
    return d;
}

void dentry_instantiate(struct dentry *d, struct inode *inode)
{
    debug_assert(!d->inode);
    SPIN_GUARD(&inode->state_lock);
    list_push_back(&inode->dentries, &d->alias_link);
    store_release(&d->inode, inode);
}

struct dentry *dentry_root(struct super *sb, struct inode *inode, const char *name)
{
    struct dentry *d = dentry_alloc(sb, NULL, name, strlen(name), 0);
    if (d)
        dentry_instantiate(d, inode);
    return d;
}

/* Hashes the new dentry @d unless another lookup was first: then returns that one instead. */
static struct dentry *dentry_publish(struct dentry *d)
{
    struct bucket *b = bucket_of(d->hash);
    struct dentry *other = NULL;
    ticket_lock(&b->lock, &bucket_class);
    for (other = b->first; other; other = other->hash_next)
        if (other->hash == d->hash && other->parent == d->parent &&
            other->name_len == d->name_len && memcmp(other->name, d->name, d->name_len) == 0 &&
            refs_tryget(&other->refs))
            break;
    if (!other) {
        bucket_insert(b, d);
        atomic_and(&d->flags, ~DENTRY_UNHASHED);
    }
    ticket_unlock(&b->lock, &bucket_class);
    if (!other)
        return d;
    dentry_put(d);
    return other;
}

int dentry_lookup(struct dentry *parent, const char *name, size_t len, struct dentry **out)
{
    struct inode *dir = parent->inode, *inode = NULL;
    u32 hash = name_hash(parent, name, len);
    struct dentry *d = dentry_find_get(parent, name, len, hash);
    if (d && dir->ops->revalidate && !dir->ops->revalidate(dir, d)) {
        dentry_drop(d);
        dentry_put(d);
        d = NULL;
    }
    if (d) {
        *out = d;
        return 0;
    }
    if (dir->nlink == 0)
        return -ENOENT;
    d = dentry_alloc(parent->super, parent, name, len, hash);
    if (!d)
        return -ENOMEM;
    int err = dir->ops->lookup ? dir->ops->lookup(dir, name, len, &inode) : -ENOTDIR;
    if (err) {
        dentry_put(d);
        return err;
    }
    if (inode)
        dentry_instantiate(d, inode);
    *out = dentry_publish(d);
    return 0;
}

int dentry_long_name(const struct dentry *target, char **out)
{
    *out = NULL;
    if (target->name_len < sizeof(target->inline_name))
        return 0;
    *out = kmalloc(target->name_len + 1, 0);
    return *out ? 0 : -ENOMEM;
}

/* Moves @d to the children of @parent (another one than now). */
static void dentry_reparent(struct dentry *d, struct dentry *parent)
{
    spin_lock(&d->parent->lock);
    list_remove(&d->sibling);
    spin_unlock(&d->parent->lock);
    WRITE_ONCE(d->parent, parent);
    SPIN_GUARD(&parent->lock);
    list_push_front(&parent->children, &d->sibling);
}

static void rename_begin(void)
{
    spin_lock(&rename_lock);
    atomic_add(&dcache_rename_seq, 1);
    memory_barrier();
}

static void rename_end(void)
{
    memory_barrier();
    atomic_add(&dcache_rename_seq, 1);
    spin_unlock(&rename_lock);
}

void dentry_move(struct dentry *d, struct dentry *target, char *long_name)
{
    struct dentry *old_parent = d->parent, *new_parent = target->parent;
    char *old_name = d->name != d->inline_name ? d->name : NULL;
    dentry_drop(target);
    dentry_drop(d);
    section_wait();

    rename_begin();
    char *name = long_name ? long_name : d->inline_name;
    memcpy(name, target->name, target->name_len + 1);
    d->name = name;
    d->name_len = target->name_len;
    d->hash = target->hash;
    rename_end();
    if (old_parent != new_parent) {
        dentry_get(new_parent);
        dentry_reparent(d, new_parent);
    }
    dentry_rehash(d);

    if (old_name) {
        section_wait();
        kfree(old_name);
    }
    if (old_parent != new_parent)
        dentry_put(old_parent);
}

void dentry_exchange(struct dentry *a, struct dentry *b)
{
    struct dentry *parent_a = a->parent, *parent_b = b->parent;
    char inline_a[sizeof(a->inline_name)];
    char *name_a = a->name != a->inline_name ? a->name : NULL;
    char *name_b = b->name != b->inline_name ? b->name : NULL;
    u32 hash_a = a->hash;
    u16 len_a = a->name_len;
    dentry_drop(a);
    dentry_drop(b);
    section_wait();

    rename_begin();
    memcpy(inline_a, a->inline_name, sizeof(inline_a));
    memcpy(a->inline_name, b->inline_name, sizeof(inline_a));
    memcpy(b->inline_name, inline_a, sizeof(inline_a));
    a->name = name_b ? name_b : a->inline_name;
    b->name = name_a ? name_a : b->inline_name;
    a->name_len = b->name_len;
    b->name_len = len_a;
    a->hash = b->hash;
    b->hash = hash_a;
    rename_end();
    if (parent_a != parent_b) { /* each one's reference to its parent goes to the other */
        dentry_reparent(a, parent_b);
        dentry_reparent(b, parent_a);
    }
    dentry_rehash(a);
    dentry_rehash(b);
}

bool dentry_is_below(const struct dentry *d, const struct dentry *ancestor)
{
    for (; d != ancestor; d = d->parent)
        if (d->parent == d)
            return false;
    return true;
}

/* One child of @d that could be claimed, or NULL. */
static struct dentry *claim_child(struct dentry *d)
{
    struct dentry *child;
    SPIN_GUARD(&d->lock);
    list_for_each_entry (child, &d->children, sibling)
        if (refs_claim(&child->refs))
            return child;
    return NULL;
}

void dentry_prune(struct dentry *d)
{
    struct dentry *child;
    while ((child = claim_child(d)) != NULL)
        dentry_kill(child);
}

/* The first child behind @previous (NULL: of all) that is in use, with a reference; or NULL. */
static struct dentry *next_used_child(struct dentry *d, const struct dentry *previous)
{
    SPIN_GUARD(&d->lock);
    const struct list_node *pos = previous ? previous->sibling.next : d->children.next;
    for (; pos != &d->children; pos = pos->next) {
        struct dentry *child = list_entry(pos, struct dentry, sibling);
        if (READ_ONCE(child->refs) > 0 && refs_tryget(&child->refs))
            return child;
    }
    return NULL;
}

/* Frees all below @d that nobody uses: children that are in use may be so only by their own. */
static void prune_tree(struct dentry *d)
{
    struct dentry *child = NULL, *next;
    for (; (next = next_used_child(d, child)) != NULL; child = next) {
        if (child)
            dentry_put(child);
        prune_tree(next);
    }
    if (child)
        dentry_put(child);
    dentry_prune(d);
}

void dentry_forget(struct dentry *parent, const char *name, size_t len)
{
    struct dentry *d = dentry_find_get(parent, name, len, name_hash(parent, name, len));
    if (!d)
        return;
    dentry_drop(d);
    prune_tree(d);
    dentry_put(d);
}

#define PRUNE_BATCH 32

/*
 * Claims up to PRUNE_BATCH unused dentries from the old end of the LRU list (@sb: only that one's,
 * used or not), looking at no more than *@scan. Their lru_link chains them in @batch.
 */
static unsigned lru_claim(struct super *sb, u64 *scan, struct dentry **batch)
{
    unsigned n = 0;
    SPIN_GUARD(&lru_lock);
    while (n<PRUNE_BATCH && * scan> 0 && !list_empty(&lru)) {
        struct dentry *d = list_last(&lru, struct dentry, lru_link);
        (*scan)--;
        list_remove(&d->lru_link);
        list_push_front(&lru, &d->lru_link);
        if (sb ? d->super != sb || d->parent == d
               : (atomic_and(&d->flags, ~DENTRY_USED) & DENTRY_USED) != 0)
            continue;
        if (READ_ONCE(d->refs) == 0 && refs_claim(&d->refs))
            batch[n++] = d;
    }
    return n;
}

static u64 dcache_free(struct super *sb, u64 want, u64 scan)
{
    struct dentry *batch[PRUNE_BATCH];
    u64 freed = 0;
    while (freed < want && scan > 0) {
        unsigned n = lru_claim(sb, &scan, batch);
        for (unsigned i = 0; i < n; i++)
            dentry_kill(batch[i]);
        freed += n;
    }
    return freed;
}

void dcache_prune_super(struct super *sb)
{
    while (dcache_free(sb, ~0UL, READ_ONCE(dentry_total)) > 0)
        ; /* parents become unused as their children go */
}

static u64 dcache_count(void)
{
    return READ_ONCE(dentry_total);
}

static u64 dcache_shrink(u64 want)
{
    return dcache_free(NULL, want, MIN(READ_ONCE(dentry_total), want * 4));
}

static struct shrinker dcache_shrinker = {
    .name = "dentry", .count = dcache_count, .shrink = dcache_shrink};

void dcache_init(void)
{
    struct page_stats stats;
    page_get_stats(&stats);
    u32 count = 256;
    while (count < 65536 && count < stats.total / 8)
        count *= 2;
    buckets = kzalloc(count * sizeof(*buckets), 0);
    if (!buckets)
        panic("no memory for the dentry hash");
    bucket_mask = count - 1;
    dentry_cache = kmem_cache_create("dentry", sizeof(struct dentry), 64);
    shrinker_register(&dcache_shrinker);
}
