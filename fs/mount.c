/*
 * The mount tree.
 *
 * A mount hangs the root dentry of a super (or, bound, some directory or file of it) over a dentry
 * of its parent mount, which is flagged DENTRY_MOUNTED. The walk finds it in a hash by (parent,
 * dentry) within a read section; the tree changes under mount_mutex only.
 *
 * References: one for being in the tree, one for every struct path (open file, cwd). Taken out of
 * the tree, a mount lives on until the last path lets go (that is MNT_DETACH; a plain umount
 * insists on there being none), then lets go of its super.
 */
#include "vfs_priv.h"

#include "dev/block.h"
#include "lib/string.h"
#include "mm/slab.h"

#include <linux/capability.h>
#include <linux/mount.h>

/* umount2(2)'s flags; they are in no user API header. */
#define MNT_FORCE_       1u
#define MNT_DETACH_      2u
#define UMOUNT_NOFOLLOW_ 8u

#define MOUNT_HASH 64
#define MOUNT_FLAGS                                                                            \
    (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | \
     MS_STRICTATIME)

static DEFINE_LOCK_CLASS(mount_class, "mounts");
static DEFINE_LOCK_CLASS(context_class, "fs_context");

struct mutex mount_mutex = MUTEX_INIT(mount_mutex, mount_class);
struct fs_context init_fs_context = {.refs = 2, .lock = SPINLOCK_INIT(context_class), .umask = 022};
static struct mount *table[MOUNT_HASH];
static struct list_node mounts = LIST_INIT(mounts); /* in the tree, oldest first */
static u32 next_id = 1;

static struct mount **hash_slot(const struct mount *parent, const struct dentry *d)
{
    return &table[hash_u64((uintptr_t)parent ^ (uintptr_t)d >> 3) % MOUNT_HASH];
}

struct mount *mount_at(const struct mount *m, const struct dentry *d)
{
    for (struct mount *at = READ_ONCE(*hash_slot(m, d)); at; at = READ_ONCE(at->hash_next))
        if (at->parent == m && at->mountpoint == d)
            return at;
    return NULL;
}

void path_get(const struct path *p)
{
    if (p->dentry) {
        dentry_get(p->dentry);
        atomic_add_relaxed(&p->mount->refs, 1);
    }
}

void path_put(const struct path *p)
{
    if (p->dentry) {
        dentry_put(p->dentry);
        mount_put(p->mount);
    }
}

static struct mount *mount_alloc(struct super *sb, struct dentry *root, const char *source,
                                 unsigned flags)
{
    struct mount *m = kzalloc(sizeof(*m), 0);
    if (!m)
        return NULL;
    m->super = sb;
    m->root = root;
    m->flags = flags & MOUNT_FLAGS;
    m->refs = 1;
    str_copy(m->source, source ? source : "none", sizeof(m->source));
    list_init(&m->link);
    list_init(&m->children);
    list_init(&m->child_link);
    dentry_get(root);
    return m;
}

/* The last reference went: the mount is in no tree and nobody can find it. */
static void mount_free(struct mount *m)
{
    section_wait();
    dentry_put(m->root);
    struct super *sb = m->super;
    kfree(m);
    MUTEX_GUARD(&mount_mutex);
    super_put(sb);
}

void mount_put(struct mount *m)
{
    if (unlikely(atomic_sub(&m->refs, 1) == 0))
        mount_free(m);
}

/* Hangs @m at @at. => mount_mutex. */
static void mount_attach(struct mount *m, const struct path *at)
{
    m->id = next_id++;
    if (at) {
        m->parent = at->mount;
        m->mountpoint = at->dentry;
        dentry_get(at->dentry);
        list_push_back(&at->mount->children, &m->child_link);
        struct mount **slot = hash_slot(at->mount, at->dentry);
        m->hash_next = *slot;
        store_release(slot, m);
        atomic_or(&at->dentry->flags, DENTRY_MOUNTED);
    }
    list_push_back(&mounts, &m->link);
}

/* True while any mount covers @d. => mount_mutex. */
static bool is_covered(const struct dentry *d)
{
    struct mount *m;
    list_for_each_entry (m, &mounts, link) {
        if (m->mountpoint == d)
            return true;
    }
    return false;
}

/* Makes @m impossible to find by a walk; mount_rehash() takes it back. => mount_mutex. */
static void mount_unhash(struct mount *m)
{
    struct mount **slot = hash_slot(m->parent, m->mountpoint);
    while (*slot != m)
        slot = &(*slot)->hash_next;
    WRITE_ONCE(*slot, m->hash_next);
    section_wait();
}

static void mount_rehash(struct mount *m)
{
    struct mount **slot = hash_slot(m->parent, m->mountpoint);
    m->hash_next = *slot;
    store_release(slot, m);
}

/* Takes the unhashed @m out of the tree. The tree's reference goes to the caller. */
static void mount_detach(struct mount *m)
{
    struct dentry *mountpoint = m->mountpoint;
    list_remove(&m->child_link);
    list_remove(&m->link);
    WRITE_ONCE(m->parent, NULL);
    if (!is_covered(mountpoint))
        atomic_and(&mountpoint->flags, ~DENTRY_MOUNTED);
    section_wait(); /* someone may be on his way up through it */
    m->mountpoint = NULL;
    dentry_put(mountpoint);
}

static int mount_new(struct super *sb, struct dentry *root, const struct path *at,
                     const char *source, unsigned flags)
{
    struct mount *m = mount_alloc(sb, root, source, flags);
    if (!m)
        return -ENOMEM;
    mount_attach(m, at);
    return 0;
}

/* The block device that the file @source names. */
static int find_device(const char *source, struct block_device **out)
{
    struct path path;
    if (!source || !*source)
        return -EINVAL;
    int err = path_lookup(NULL, source, WALK_FOLLOW, &path);
    if (err)
        return err;
    struct inode *inode = path.dentry->inode;
    if (!S_ISTYPE(inode, S_IFBLK))
        err = -ENOTBLK;
    else if (path.mount->flags & MS_NODEV)
        err = -EACCES;
    else if (!(*out = block_find_dev((u32)inode->rdev)))
        err = -ENXIO;
    path_put(&path);
    return err;
}

int vfs_mount(const char *source, const struct path *at, const char *type, unsigned flags,
              const char *data)
{
    if (!capable(CAP_SYS_ADMIN))
        return -EPERM;
    struct fs_type *fs = type ? fs_type_find(type) : NULL;
    struct block_device *bdev = NULL;
    struct super *sb;
    if (!fs)
        return -ENODEV;
    if (!S_ISTYPE(at->dentry->inode, S_IFDIR))
        return -ENOTDIR;
    int err = fs->needs_device ? find_device(source, &bdev) : 0;
    if (err)
        return err;
    MUTEX_GUARD(&mount_mutex);
    if (at->dentry->flags & DENTRY_UNHASHED && at->dentry != at->mount->root)
        return -ENOENT;
    struct path on = *at;
    path_get(&on);
    walk_cross(&on); /* on top of what came there meanwhile */
    err = super_mount(fs, bdev, source, flags, data, &sb);
    if (!err) {
        /* The same file system once more on the same place would only hide itself. */
        if (on.mount->super == sb && on.dentry == on.mount->root)
            err = -EBUSY;
        else
            err = mount_new(sb, sb->root, &on, source, flags);
        if (err)
            super_put(sb);
    }
    dentry_put(on.dentry);
    atomic_sub(&on.mount->refs, 1); /* in the tree: cannot be the last; mount_free() would lock */
    return err;
}

int vfs_mount_root(const char *source, const char *type, unsigned flags)
{
    struct fs_type *fs = fs_type_find(type);
    struct block_device *bdev = NULL;
    struct super *sb;
    if (!fs)
        return -ENODEV;
    if (fs->needs_device) {
        bdev = block_find(str_starts(source, "/dev/") ? source + 5 : source);
        if (!bdev)
            return -ENXIO;
    }
    MUTEX_GUARD(&mount_mutex);
    if (init_fs_context.root.dentry)
        return -EBUSY;
    int err = super_mount(fs, bdev, source, flags, NULL, &sb);
    if (err)
        return err;
    err = mount_new(sb, sb->root, NULL, source, flags);
    if (err) {
        super_put(sb);
        return err;
    }
    struct path root = {list_first(&mounts, struct mount, link), sb->root};
    init_fs_context.root = init_fs_context.cwd = root;
    path_get(&root);
    path_get(&root);
    return 0;
}

/* Detaches @m with all that is mounted below; each one's tree reference is dropped later, through
 * @detached (chained by hash_next). */
static void detach_tree(struct mount *m, struct mount **detached)
{
    for (;;) {
        struct mount *leaf = m;
        while (!list_empty(&leaf->children))
            leaf = list_first(&leaf->children, struct mount, child_link);
        mount_unhash(leaf);
        mount_detach(leaf);
        leaf->hash_next = *detached;
        *detached = leaf;
        if (leaf == m)
            return;
    }
}

/* The caller of umount has one reference, the tree another: any more, and @m is busy. */
static int detach_idle(struct mount *m, struct mount **detached)
{
    if (!list_empty(&m->children) || READ_ONCE(m->refs) > 2)
        return -EBUSY;
    mount_unhash(m);
    if (READ_ONCE(m->refs) > 2) { /* someone walked in at the last moment */
        mount_rehash(m);
        return -EBUSY;
    }
    mount_detach(m);
    m->hash_next = NULL;
    *detached = m;
    return 0;
}

int vfs_umount(const struct path *at, unsigned flags)
{
    struct mount *m = at->mount, *detached = NULL;
    int err = 0;
    if (!capable(CAP_SYS_ADMIN))
        return -EPERM;
    if (flags & ~(MNT_FORCE_ | MNT_DETACH_ | UMOUNT_NOFOLLOW_))
        return -EINVAL;
    mutex_lock(&mount_mutex);
    if (at->dentry != m->root || !m->parent)
        err = !m->parent && at->dentry == m->root ? -EBUSY : -EINVAL; /* the root stays */
    else if (flags & MNT_DETACH_)
        detach_tree(m, &detached);
    else
        err = detach_idle(m, &detached);
    mutex_unlock(&mount_mutex);
    while (detached) {
        struct mount *next = detached->hash_next;
        mount_put(detached);
        detached = next;
    }
    return err;
}

int vfs_bind_mount(const struct path *from, const struct path *at)
{
    if (!capable(CAP_SYS_ADMIN))
        return -EPERM;
    if (S_ISTYPE(from->dentry->inode, S_IFDIR) != S_ISTYPE(at->dentry->inode, S_IFDIR))
        return -ENOTDIR;
    MUTEX_GUARD(&mount_mutex);
    if (list_empty(&from->mount->link) || list_empty(&at->mount->link))
        return -EINVAL; /* a hidden or detached one */
    from->mount->super->mounts++;
    int err =
        mount_new(from->mount->super, from->dentry, at, from->mount->source, from->mount->flags);
    if (err)
        from->mount->super->mounts--;
    return err;
}

/* True when a regular file of @sb is open for writing. */
static bool super_has_writers(struct super *sb)
{
    struct inode *inode;
    SPIN_GUARD(&sb->inodes_lock);
    list_for_each_entry (inode, &sb->inodes, super_link) {
        if (inode->write_count > 0 || (inode->nlink == 0 && inode->refs > 0))
            return true;
    }
    return false;
}

int vfs_remount(const struct path *at, unsigned flags, const char *data)
{
    struct mount *m = at->mount;
    struct super *sb = m->super;
    if (!capable(CAP_SYS_ADMIN))
        return -EPERM;
    MUTEX_GUARD(&mount_mutex);
    if (at->dentry != m->root)
        return -EINVAL;
    bool read_only = flags & MS_RDONLY;
    if (!(flags & MS_BIND)) {
        if (!read_only && ((sb->bdev && sb->bdev->read_only) || sb->error))
            return -EROFS;
        if (read_only && !sb->read_only) {
            if (super_has_writers(sb))
                return -EBUSY;
            int err = sb->bdev ? super_sync_data(sb) : 0;
            if (!err)
                err = super_sync(sb, true);
            if (err)
                return err;
        }
        int err = sb->ops->remount ? sb->ops->remount(sb, read_only, data) : 0;
        if (err)
            return err;
        sb->read_only = read_only;
    }
    m->flags = flags & MOUNT_FLAGS;
    return 0;
}

void mount_for_each(int (*fn)(struct mount *m, void *arg), void *arg)
{
    struct mount *m;
    MUTEX_GUARD(&mount_mutex);
    list_for_each_entry (m, &mounts, link) {
        if (fn(m, arg))
            return;
    }
}

static const struct super_ops pseudo_super_ops = {};
static const struct inode_ops pseudo_inode_ops = {};

struct mount *mount_hidden(struct fs_type *type, const char *data)
{
    MUTEX_GUARD(&mount_mutex);
    struct super *sb = super_create(type, NULL, type->name);
    struct mount *m = NULL;
    if (sb && type->mount(sb, data) == 0 && (sb->root = dentry_root(sb, sb->root_inode, "")))
        m = mount_alloc(sb, sb->root, type->name, 0);
    if (!m)
        panic("no memory for the hidden mount of %s", type->name); /* boot */
    sb->mounts = 1;
    return m;
}

static int pseudo_mount(struct super *sb, const char *data)
{
    sb->ops = &pseudo_super_ops;
    struct inode *root = sb->root_inode = inode_new(sb);
    if (!root)
        return -ENOMEM;
    root->ops = &pseudo_inode_ops;
    root->mode = S_IFDIR | 0555;
    return 0;
}

struct mount *mount_pseudo(const char *name)
{
    struct fs_type *type = kzalloc(sizeof(*type), 0);
    if (!type)
        return NULL;
    type->name = name;
    type->mount = pseudo_mount;
    struct mount *m = mount_hidden(type, NULL);
    m->super->private = m; /* file_path() wants it */
    return m;
}

struct inode *inode_pseudo(struct mount *m, u32 mode)
{
    static u64 next_ino = 1;
    struct inode *inode = inode_new(m->super);
    if (!inode)
        return NULL;
    inode->ops = &pseudo_inode_ops;
    inode->ino = atomic_add_relaxed(&next_ino, 1);
    inode_init_owner(inode, NULL, mode);
    return inode;
}
