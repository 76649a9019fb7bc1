/*
 * Inodes of /proc, links, and the file-system type.
 *
 * An inode holds a struct proc_node: numbers, no references. So a cached name keeps no process
 * alive; whoever uses the node looks the process up again, and is told -ESRCH when it is gone.
 * Inodes are never found by number, each dentry has its own.
 *
 * Permissions are the mode bits' with the owner the process has now: every path to its files goes
 * through a live directory, which refreshes the owner on the way (dir.c).
 */
#include "procfs_priv.h"

#include <asm/statfs.h>
#include <linux/limits.h>
#include <linux/magic.h>

static struct kmem_cache *inode_cache;

const struct proc_node *procfs_node(const struct inode *inode)
{
    return &proc_i(inode)->node;
}

int proc_check_private(const struct proc_node *n)
{
    return !(n->entry->flags & PROC_PRIVATE) || procfs_process_ops()->may_inspect(n) ? 0 : -EACCES;
}

int proc_refresh(struct inode *inode)
{
    const struct proc_node *n = &proc_i(inode)->node;
    u32 uid, gid;
    if (n->pid == 0)
        return 0;
    int r = procfs_process_ops()->owner(n, &uid, &gid);
    if (r < 0)
        return r;
    SPIN_GUARD(&inode->state_lock);
    inode->uid = uid;
    inode->gid = gid;
    return 0;
}

int proc_setattr(struct inode *inode, const struct inode_attr *attr)
{
    return -EPERM;
}

static int proc_follow(struct inode *inode, struct mount **mnt, struct dentry **dentry)
{
    const struct proc_node *n = &proc_i(inode)->node;
    struct path path;
    int r = proc_check_private(n);
    if (r == 0)
        r = n->entry->follow(n, &path);
    if (r == 0) {
        *mnt = path.mount;
        *dentry = path.dentry;
    }
    return r;
}

static ssize_t proc_readlink(struct inode *inode, char *buf, size_t size)
{
    const struct proc_node *n = &proc_i(inode)->node;
    int r = proc_check_private(n);
    if (r < 0)
        return r;
    return n->entry->readlink(n, buf, size);
}

/* Where a link that is followed rather than read leads, as a name. */
static ssize_t followed_name(struct inode *inode, char *buf, size_t size)
{
    struct path path;
    int r = proc_follow(inode, &path.mount, &path.dentry);
    if (r < 0)
        return r;
    char *room = kmalloc(PATH_MAX, 0);
    const char *name = room ? path_name(&path, room, PATH_MAX, &r) : NULL;
    ssize_t len = room ? r : -ENOMEM;
    if (name) {
        len = (ssize_t)MIN(strlen(name), size);
        memcpy(buf, name, (size_t)len);
    }
    kfree(room);
    path_put(&path);
    return len;
}

static const struct inode_ops text_ops = {.getattr = proc_refresh, .setattr = proc_setattr};
static const struct inode_ops link_ops = {
    .getattr = proc_refresh, .setattr = proc_setattr, .readlink = proc_readlink};
static const struct inode_ops magic_link_ops = {.getattr = proc_refresh,
                                                .setattr = proc_setattr,
                                                .readlink = followed_name,
                                                .follow = proc_follow};

int proc_inode_make(struct super *sb, const struct proc_node *node, struct inode **out)
{
    const struct proc_entry *e = node->entry;
    struct inode *inode = inode_new(sb);
    if (!inode)
        return -ENOMEM;
    proc_i(inode)->node = *node;
    inode->ino = proc_ino(node);
    inode->mode = node->mode ? (e->mode & S_IFMT) | node->mode : e->mode;
    inode->atime = inode->mtime = inode->ctime = inode_time_now();
    if (S_ISDIR(e->mode)) {
        inode->nlink = 2;
        inode->ops = node->pid || e->numbers ? &proc_live_dir_ops : &proc_static_dir_ops;
        inode->file_ops = &proc_dir_file_ops;
    } else if (S_ISLNK(e->mode)) {
        inode->ops = e->follow ? &magic_link_ops : &link_ops;
    } else {
        inode->ops = &text_ops;
        inode->file_ops = e->file_ops ? e->file_ops : &proc_text_file_ops;
    }
    int r = proc_refresh(inode);
    if (r < 0) {
        inode_put(inode);
        return r;
    }
    *out = inode;
    return 0;
}

static struct inode *proc_inode_alloc(struct super *sb)
{
    struct proc_inode *pi = kmem_cache_alloc(inode_cache, PA_ZERO);
    return pi ? &pi->vfs : NULL;
}

static void proc_inode_free(struct inode *inode)
{
    kmem_cache_free(inode_cache, proc_i(inode));
}

static int proc_statfs(struct super *sb, struct statfs *out)
{
    out->f_type = PROC_SUPER_MAGIC;
    out->f_bsize = out->f_frsize = PAGE_SIZE;
    out->f_namelen = NAME_MAX;
    return 0;
}

static const struct super_ops proc_super_ops = {
    .inode_alloc = proc_inode_alloc, .inode_free = proc_inode_free, .statfs = proc_statfs};

static int proc_mount(struct super *sb, const char *data)
{
    const struct proc_node root = {.entry = &procfs_root, .number = -1};
    if (data && *data && strcmp(data, "defaults") != 0)
        return -EINVAL;
    sb->ops = &proc_super_ops;
    return proc_inode_make(sb, &root, &sb->root_inode);
}

static struct fs_type proc_type = {
    .name = "proc", .single = true, .permanent = true, .mount = proc_mount};

void procfs_init(void)
{
    inode_cache = kmem_cache_create("proc_inode", sizeof(struct proc_inode), 0);
    procfs_system_init();
    procfs_memory_init();
    procfs_frames_init();
    procfs_device_init();
    procfs_sysctl_init();
    procfs_sysrq_init();
    fs_type_register(&proc_type);
}
