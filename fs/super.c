/*
 * Supers: mounted file systems as such, wherever and however often they are mounted. A device holds
 * at most one; mounting it again shows the same. All under mount_mutex.
 */
#include "vfs_priv.h"

#include "dev/block.h"
#include "fs/buf.h"
#include "lib/string.h"
#include "mm/slab.h"

#include <linux/mount.h>

static DEFINE_LOCK_CLASS(inodes_class, "super_inodes");
static DEFINE_LOCK_CLASS(rename_class, "super_rename");
static DEFINE_LOCK_CLASS(types_class, "fs_types");

static struct spinlock types_lock = SPINLOCK_INIT(types_class);
static struct list_node types = LIST_INIT(types);
static struct list_node supers = LIST_INIT(supers);
static u32 next_anon_minor = 1; /* st_dev of file systems without a device: major 0 */

void fs_type_register(struct fs_type *type)
{
    SPIN_GUARD(&types_lock);
    list_push_back(&types, &type->link);
}

struct fs_type *fs_type_find(const char *name)
{
    struct fs_type *type;
    SPIN_GUARD(&types_lock);
    list_for_each_entry (type, &types, link) {
        if (strcmp(type->name, name) == 0)
            return type;
    }
    return NULL;
}

void fs_type_for_each(void (*fn)(struct fs_type *type, void *arg), void *arg)
{
    /* Types are never removed: no lock while @fn runs. */
    struct fs_type *type;
    list_for_each_entry (type, &types, link)
        fn(type, arg);
}

struct super *super_create(struct fs_type *type, struct block_device *bdev, const char *source)
{
    struct super *sb = kzalloc(sizeof(*sb), 0);
    if (!sb)
        return NULL;
    sb->type = type;
    sb->bdev = bdev;
    sb->dev = bdev ? bdev->dev : devno_make(0, next_anon_minor++);
    sb->block_size = PAGE_SIZE;
    sb->max_bytes = INT64_MAX;
    str_copy(sb->source, source ? source : "none", sizeof(sb->source));
    mutex_init(&sb->rename_lock, &rename_class);
    spin_init(&sb->inodes_lock, &inodes_class);
    list_init(&sb->inodes);
    list_init(&sb->dirty);
    list_init(&sb->link);
    return sb;
}

static struct super *super_find(struct fs_type *type, struct block_device *bdev)
{
    struct super *sb;
    list_for_each_entry (sb, &supers, link) {
        if (bdev ? sb->bdev == bdev : type->single && sb->type == type)
            return sb;
    }
    return NULL;
}

/* Everything in memory of @sb goes; its file system has been told or has nothing to be told. */
static void super_free(struct super *sb)
{
    if (sb->root) {
        dcache_prune_super(sb);
        dentry_drop(sb->root);
        dentry_put(sb->root);
    } else if (sb->root_inode) {
        inode_put(sb->root_inode);
    }
    if (sb->ops)
        inode_evict_super(sb);
}

int super_mount(struct fs_type *type, struct block_device *bdev, const char *source, unsigned flags,
                const char *data, struct super **out)
{
    struct super *sb = super_find(type, bdev);
    bool read_only = (flags & MS_RDONLY) || (bdev && bdev->read_only);
    if (sb) {
        if (sb->type != type || (bdev && sb->read_only != read_only))
            return -EBUSY;
        sb->mounts++;
        *out = sb;
        return 0;
    }
    sb = super_create(type, bdev, source);
    if (!sb)
        return -ENOMEM;
    sb->read_only = read_only;
    int err = type->mount(sb, data);
    if (!err && !(sb->root = dentry_root(sb, sb->root_inode, "/"))) {
        super_free(sb);
        if (sb->ops->unmount)
            sb->ops->unmount(sb);
        err = -ENOMEM;
    }
    if (err) {
        if (!list_empty(&sb->inodes)) /* what a failed mount left in the cache */
            inode_evict_super(sb);
        kfree(sb);
        return err;
    }
    sb->mounts = 1;
    list_push_back(&supers, &sb->link);
    *out = sb;
    return 0;
}

/* Writes the data of every file, for an unmount. */
int super_sync_data(struct super *sb)
{
    struct inode *inode, *previous = NULL;
    int first_error = 0;
    for (;;) {
        bool found = false;
        spin_lock(&sb->inodes_lock);
        list_for_each_entry (inode, &sb->inodes, super_link) {
            if (inode->object.nr_dirty > 0 && inode != previous && inode_tryget(inode)) {
                found = true;
                break;
            }
        }
        spin_unlock(&sb->inodes_lock);
        if (previous)
            inode_put(previous);
        if (!found)
            return first_error;
        int err = object_sync(&inode->object, 0, ~0UL, true);
        if (err && !first_error)
            first_error = err;
        previous = inode; /* one that cannot be written is not tried for ever */
    }
}

int super_sync(struct super *sb, bool wait)
{
    if (sb->read_only)
        return 0;
    int err = super_sync_inodes(sb);
    int err2 = sb->ops->sync ? sb->ops->sync(sb, wait) : 0;
    return err ? err : err2;
}

void super_put(struct super *sb)
{
    if (--sb->mounts > 0 || sb->type->permanent)
        return;
    if (sb->bdev && !sb->read_only)
        super_sync_data(sb);
    super_sync(sb, true);
    list_remove(&sb->link);
    super_free(sb);
    if (sb->ops->unmount)
        sb->ops->unmount(sb);
    if (sb->bdev)
        buf_invalidate(sb->bdev);
    kfree(sb);
}

void super_for_each(int (*fn)(struct super *sb, void *arg), void *arg)
{
    struct super *sb;
    list_for_each_entry (sb, &supers, link) {
        if (fn(sb, arg))
            return;
    }
}
