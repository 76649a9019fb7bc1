/*
 * tmpfs: a file system in memory. Directories keep their entries in trees (dir.c), files their
 * pages in the page cache (file.c); nothing depends on the dentry or inode cache, which may forget
 * as they like: an inode is kept by its directory entries, and ends with the last of them and of
 * its users.
 *
 * Limits: pages (size=, half of memory by default) and inodes (nr_inodes=, as many by default).
 */
#include "fs/tmpfs.h"
#include "tmpfs_priv.h"

#include "lib/fmt.h"
#include "lib/string.h"
#include "mm/slab.h"

#include <asm/statfs.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/stat.h>

static DEFINE_LOCK_CLASS(tmpfs_class, "tmpfs");
static struct kmem_cache *inode_cache;

static struct inode *tmpfs_inode_alloc(struct super *sb)
{
    struct tmpfs_inode *ti = kmem_cache_alloc(inode_cache, PA_ZERO);
    return ti ? &ti->inode : NULL;
}

static void tmpfs_inode_free(struct inode *inode)
{
    struct tmpfs *fs = tmpfs_of(inode->super);
    struct tmpfs_inode *ti = tmpfs_i(inode);
    if (S_ISDIR(inode->mode))
        tmpfs_dir_fini(ti);
    kfree(ti->target);
    spin_lock(&fs->lock);
    fs->used_pages -= ti->accounted;
    fs->inodes--;
    spin_unlock(&fs->lock);
    kmem_cache_free(inode_cache, ti);
}

static void set_ops(struct inode *inode)
{
    switch (inode->mode & S_IFMT) {
    case S_IFDIR:
        inode->ops = &tmpfs_dir_ops;
        inode->file_ops = &tmpfs_dir_file_ops;
        tmpfs_dir_init(tmpfs_i(inode));
        break;
    case S_IFREG:
        inode->ops = &tmpfs_file_ops_inode;
        inode->file_ops = &tmpfs_file_ops;
        object_init(&inode->object, &tmpfs_object_ops, OBJECT_NO_WRITEBACK);
        inode->seals = INODE_SEALABLE | F_SEAL_SEAL;
        break;
    case S_IFLNK:
        inode->ops = &tmpfs_symlink_ops;
        break;
    default:
        inode->ops = &tmpfs_special_ops;
        break;
    }
}

int tmpfs_inode_new(struct super *sb, struct inode *dir, u32 mode, u64 rdev, struct inode **out)
{
    struct tmpfs *fs = tmpfs_of(sb);
    spin_lock(&fs->lock);
    bool full = fs->max_inodes && fs->inodes >= fs->max_inodes;
    if (!full)
        fs->inodes++;
    u64 ino = full ? 0 : fs->next_ino++;
    spin_unlock(&fs->lock);
    if (full)
        return -ENOSPC;
    struct inode *inode = inode_new(sb);
    if (!inode) {
        spin_lock(&fs->lock);
        fs->inodes--;
        spin_unlock(&fs->lock);
        return -ENOMEM;
    }
    inode->ino = ino;
    inode->rdev = rdev;
    inode->nlink = S_ISDIR(mode) ? 2 : 1;
    inode_init_owner(inode, dir, mode);
    set_ops(inode);
    *out = inode;
    return 0;
}

static int tmpfs_statfs(struct super *sb, struct statfs *out)
{
    struct tmpfs *fs = tmpfs_of(sb);
    struct inode *inode;
    u64 used = 0;
    spin_lock(&sb->inodes_lock);
    list_for_each_entry (inode, &sb->inodes, super_link)
        used += READ_ONCE(inode->object.nr_pages);
    spin_unlock(&sb->inodes_lock);
    out->f_type = TMPFS_MAGIC;
    out->f_bsize = PAGE_SIZE;
    if (fs->max_pages) {
        out->f_blocks = (long)fs->max_pages;
        out->f_bfree = out->f_bavail = (long)(fs->max_pages - MIN(used, fs->max_pages));
    }
    if (fs->max_inodes) {
        out->f_files = (long)fs->max_inodes;
        out->f_ffree = (long)(fs->max_inodes - MIN(fs->inodes, fs->max_inodes));
    }
    return 0;
}

static void tmpfs_unmount(struct super *sb)
{
    kfree(sb->private);
    sb->private = NULL;
}

static void tmpfs_show_options(struct super *sb, char *buf, size_t size)
{
    const struct tmpfs *fs = tmpfs_of(sb);
    snprintf(buf, size, ",size=%luk,nr_inodes=%lu",
             (unsigned long)(fs->max_pages * (PAGE_SIZE / 1024)), (unsigned long)fs->max_inodes);
}

/* "64m", "50%", "4096". Bytes in *@out. */
static int parse_size(const char *text, u64 memory, u64 *out, const char **end)
{
    u64 value;
    int err = str_to_u64(text, 10, &value, end);
    if (err)
        return -EINVAL;
    unsigned shift = 0;
    switch (**end) {
    case '%':
        *out = memory / 100 * value;
        (*end)++;
        return value > 1000 ? -EINVAL : 0;
    case 'g':
    case 'G':
        shift = 30;
        break;
    case 'm':
    case 'M':
        shift = 20;
        break;
    case 'k':
    case 'K':
        shift = 10;
        break;
    default:
        *out = value;
        return 0;
    }
    (*end)++;
    *out = value << shift;
    return value >> (64 - shift) ? -EINVAL : 0;
}

struct tmpfs_options {
    u64 memory, size, inodes, mode, uid, gid;
};

/* One "name=value" at @p; *@end behind it. */
static int parse_option(const char *p, struct tmpfs_options *o, const char **end)
{
    if (str_starts(p, "size="))
        return parse_size(p + 5, o->memory, &o->size, end);
    if (str_starts(p, "nr_blocks=")) {
        int err = parse_size(p + 10, o->memory, &o->size, end);
        o->size *= PAGE_SIZE;
        return err;
    }
    if (str_starts(p, "nr_inodes="))
        return parse_size(p + 10, o->memory, &o->inodes, end);
    if (str_starts(p, "mode="))
        return str_to_u64(p + 5, 8, &o->mode, end);
    if (str_starts(p, "uid="))
        return str_to_u64(p + 4, 10, &o->uid, end);
    if (str_starts(p, "gid="))
        return str_to_u64(p + 4, 10, &o->gid, end);
    return -EINVAL;
}

static int parse_options(const char *data, struct tmpfs_options *o)
{
    const char *p = data ? data : "";
    while (*p) {
        const char *end = p;
        int err = parse_option(p, o, &end);
        if (err || (*end && *end != ','))
            return -EINVAL;
        p = *end ? end + 1 : end;
    }
    return o->mode & ~07777UL || o->uid > UINT32_MAX || o->gid > UINT32_MAX ? -EINVAL : 0;
}

/* New limits; refused when more is in use already. */
static int tmpfs_remount(struct super *sb, bool read_only, const char *data)
{
    struct tmpfs *fs = tmpfs_of(sb);
    struct page_stats stats;
    page_get_stats(&stats);
    struct tmpfs_options o = {.memory = stats.total * PAGE_SIZE,
                              .size = fs->max_pages * PAGE_SIZE,
                              .inodes = fs->max_inodes};
    int err = parse_options(data, &o);
    if (err)
        return err;
    SPIN_GUARD(&fs->lock);
    u64 pages = DIV_UP(o.size, PAGE_SIZE);
    if ((pages && pages < fs->used_pages) || (o.inodes && o.inodes < fs->inodes))
        return -EINVAL;
    fs->max_pages = pages;
    fs->max_inodes = o.inodes;
    return 0;
}

static const struct super_ops tmpfs_super_ops = {.inode_alloc = tmpfs_inode_alloc,
                                                 .inode_free = tmpfs_inode_free,
                                                 .statfs = tmpfs_statfs,
                                                 .remount = tmpfs_remount,
                                                 .unmount = tmpfs_unmount,
                                                 .show_options = tmpfs_show_options};

int tmpfs_mount(struct super *sb, const char *data)
{
    struct page_stats stats;
    page_get_stats(&stats);
    struct tmpfs_options o = {.memory = stats.total * PAGE_SIZE,
                              .size = stats.total / 2 * PAGE_SIZE,
                              .inodes = stats.total / 2,
                              .mode = 01777};
    int err = parse_options(data, &o);
    if (err)
        return err;
    struct tmpfs *fs = kzalloc(sizeof(*fs), 0);
    if (!fs)
        return -ENOMEM;
    spin_init(&fs->lock, &tmpfs_class);
    fs->max_pages = DIV_UP(o.size, PAGE_SIZE);
    fs->max_inodes = o.inodes;
    fs->next_ino = 1;
    sb->private = fs;
    sb->ops = &tmpfs_super_ops;
    sb->block_size = PAGE_SIZE;
    err = tmpfs_inode_new(sb, NULL, S_IFDIR | (u32)o.mode, 0, &sb->root_inode);
    if (err) {
        tmpfs_unmount(sb);
        return err;
    }
    sb->root_inode->uid = (u32)o.uid;
    sb->root_inode->gid = (u32)o.gid;
    return 0;
}

static struct fs_type tmpfs_type = {.name = "tmpfs", .mount = tmpfs_mount};

void tmpfs_init(void)
{
    inode_cache = kmem_cache_create("tmpfs_inode", sizeof(struct tmpfs_inode), 64);
    fs_type_register(&tmpfs_type);
    memfd_init(&tmpfs_type);
}
