/*
 * What the files of the VFS share among themselves: read sections, the dentry cache, the mount
 * table, the walk.
 *
 * Read sections. A path of cached names is walked without locks and without references: between
 * section_enter() and section_exit() preemption is off and nothing that could be found in the
 * dentry hash, the mount table or through their pointers is freed, because whoever frees such a
 * thing takes it out of the tables first and then waits in section_wait() until every section that
 * was open at that moment has ended. Sections are short, never nest, never sleep; each CPU has a
 * counter that is odd while it is in one. A section may take a spinlock only when no holder of that
 * lock calls section_wait().
 *
 * A reference count of DEAD_REFS or so (negative) marks an object whose end has begun: whoever
 * moved the count from 0 there owns it; xxx_tryget() fails.
 */
#pragma once

#include "core/cpu.h"
#include "core/panic.h"
#include "fs/cred.h"
#include "fs/vfs.h"

#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/stat.h>

#define DEAD_REFS (-(1 << 29))

struct fs_section {
    u64 count; /* odd: the CPU is in a section */
} __cacheline;
extern struct fs_section fs_sections[MAX_CPUS];

static inline void section_enter(void)
{
    preempt_disable();
    u64 *count = &fs_sections[this_cpu()->id].count;
    WRITE_ONCE(*count, *count + 1);
    memory_barrier();
}

static inline void section_exit(void)
{
    u64 *count = &fs_sections[this_cpu()->id].count;
    store_release(count, *count + 1);
    preempt_enable();
}

/* Waits (spinning, briefly) for the sections open now on other CPUs. => Not in a section. */
void section_wait(void);

/* Reference by count alone. False: dying. => In a section, or a reference is held anyway. */
static inline bool refs_tryget(s32 *refs)
{
    if (likely(atomic_add(refs, 1) > 0))
        return true;
    atomic_sub(refs, 1);
    return false;
}

/* Takes the dying object over. True for exactly one caller, and only when nobody has a reference.
 */
static inline bool refs_claim(s32 *refs)
{
    s32 none = 0;
    return atomic_cas(refs, &none, DEAD_REFS);
}

/* Dentry cache (fs/dcache.c). */

#define DENTRY_USED 4u /* found since the shrinker last looked */

static inline u32 name_hash_start(const struct dentry *parent)
{
    return (u32)((uintptr_t)parent >> 6);
}
static inline u32 name_hash_step(u32 hash, u8 c)
{
    return hash * 31 + c;
}
static inline u32 name_hash_end(u32 hash)
{
    hash *= 0x9e3779b1u;
    return hash ^ hash >> 15;
}
u32 name_hash(const struct dentry *parent, const char *name, size_t len);

/* The hashed child of that name, without a reference. => In a section. */
struct dentry *dentry_find(struct dentry *parent, const char *name, size_t len, u32 hash);
/* The same with a reference. => Not in a section. */
struct dentry *dentry_find_get(struct dentry *parent, const char *name, size_t len, u32 hash);
/* The child, asking the file system when the cache does not know; negative ones too. *@out has a
 * reference. 0, -ENOMEM, -ENOENT (@parent is deleted), -EIO. => The directory's inode->lock held
 * (reading suffices). */
int dentry_lookup(struct dentry *parent, const char *name, size_t len, struct dentry **out);
/* A root: no parent; takes over the reference to @inode. NULL: out of memory (@inode stays). */
struct dentry *dentry_root(struct super *sb, struct inode *inode, const char *name);
/* A negative dentry gets its inode (the reference is taken over). => Directory lock for writing. */
void dentry_instantiate(struct dentry *d, struct inode *inode);
/* Takes the name out of the hash: it was deleted or is stale. Idempotent. */
void dentry_drop(struct dentry *d);
/* Renames: @d takes the place of @target, which is dropped. @long_name: kmalloc()ed memory for a
 * name that does not fit inline, see dentry_long_name(). => rename lock or the one directory's. */
void dentry_move(struct dentry *d, struct dentry *target, char *long_name);
void dentry_exchange(struct dentry *a, struct dentry *b);
/* Memory dentry_move() needs for @target's name: 0 and *@out (maybe NULL), -ENOMEM. */
int dentry_long_name(const struct dentry *target, char **out);
/* Frees every unused dentry of @sb but its root. */
void dcache_prune_super(struct super *sb);
bool dentry_is_below(const struct dentry *d, const struct dentry *ancestor);
/* For readers of names and parents along a path: retry when the number changed or is odd. */
extern u64 dcache_rename_seq;
void dcache_init(void);

/* Inodes. */
/* Lock subclass (core/lockdep.h) of an inode locked while the directory it is in is: 0 is the first
 * directory, 1 the second; two objects of a rename take this and the next. */
#define INODE_LOCK_OBJECT 2
void inode_cache_init(void);
bool inode_tryget(struct inode *inode);
/* Unmount: evicts all inodes of @sb, everything having been written. */
void inode_evict_super(struct super *sb);
/* True once an inode got dirty since the last call; the flusher's alarm. */
void flusher_wake(void);
void flusher_init(void);

/* Permission to pass through a directory, as far as it can be decided without sleeping. */
static inline bool inode_search_free(const struct inode *dir)
{
    return (READ_ONCE(dir->mode) & 0111) == 0111 && !dir->ops->permission;
}
/* The mode-bit rule for the current thread; no read-only check. Does not sleep. */
int inode_permission_generic(const struct inode *inode, unsigned mask);
/* May this thread create in @dir, or delete @victim (directory: rmdir) from it? => @dir locked. */
int may_create(struct inode *dir);
int may_delete(struct inode *dir, struct inode *victim, bool directory);

/* Mount table (fs/mount.c). */
extern struct mutex mount_mutex; /* the mount tree and the list of supers */
/* What is mounted on (@m, @d), or NULL; no reference. => In a section, or mount_mutex. */
struct mount *mount_at(const struct mount *m, const struct dentry *d);
void mount_put(struct mount *m);
/* 0 or -EROFS */
static inline int mount_want_write(const struct mount *m)
{
    return (m->flags & 1u /* MS_RDONLY */) || m->super->read_only ? -EROFS : 0;
}
extern struct fs_context init_fs_context; /* root and cwd of kernel threads */
static inline struct fs_context *fs_current(void)
{
    struct fs_context *fs = thread_self()->fs;
    return fs ? fs : &init_fs_context;
}

/* Supers (fs/super.c). => mount_mutex */
struct super *super_create(struct fs_type *type, struct block_device *bdev, const char *source);
int super_mount(struct fs_type *type, struct block_device *bdev, const char *source, unsigned flags,
                const char *data, struct super **out);
void super_put(struct super *sb); /* one mount less; the last unmounts it */
int super_sync(struct super *sb, bool wait);
int super_sync_data(struct super *sb); /* the pages of its files */
void super_for_each(int (*fn)(struct super *sb, void *arg), void *arg);

/* Walk with its state kept, for open and the name-space calls (fs/walk.c). */
struct walk {
    struct path cur;   /* protected by the section or equal to ->held */
    struct path held;  /* references */
    struct path start; /* borrowed: where a relative name starts; NULLs: the cwd */
    const char *name;  /* as given; NULL: results point into ->buf */
    const char *rest;  /* not yet consumed */
    char *buf;         /* rest lies in here when a link was followed */
    unsigned links;
    bool in_section;
};
/* The parent of the last component; @out->path is borrowed from @w. walk_end() in any case. */
int walk_parent(const struct path *base, const char *name, struct walk *w, struct walk_result *out);
/* After walk_parent(): the last component was found to be the symbolic link @link; goes on to the
 * parent of where it leads (or, last_len being 0, to the goal itself). @out->path is replaced.
 * -ESTALE: someone interfered, start again. */
int walk_follow_last(struct walk *w, struct dentry *link, struct walk_result *out);
void walk_end(struct walk *w);
/* From (@mnt, @d) (references taken over) down through what is mounted on it. */
void walk_cross(struct path *p);

/* Files. */
int file_open_inode(const struct path *path, unsigned flags, struct file **out);
struct file *file_alloc(void);
void file_free(struct file *f); /* one that was never opened */
void file_init(void);
int file_check_limit(u64 pos, size_t *count); /* RLIMIT_FSIZE: clips @count; 0, -EFBIG */
extern const struct file_ops path_file_ops;   /* O_PATH */
/* Device special files and FIFOs: chosen by the inode's type at open. -ENXIO. */
int devnode_open(struct inode *inode, struct file *f);
int block_file_open(struct inode *inode, struct file *f);
void flock_file_closed(struct file *f);
void flock_init(void);
/* Strips set-id bits after a change by someone without the power to keep them. */
u32 mode_without_suid(u32 mode);
/* Zeroes what lies behind the end in the last page, before the size grows over it. 0, -ENOSPC,
 * -EIO, -ENOMEM. => inode->lock held for writing. */
int inode_clear_tail(struct inode *inode);
