/* tmpfs: structures shared by its files. */
#pragma once

#include "fs/vfs.h"
#include "lib/rbtree.h"

/* One mounted instance. */
struct tmpfs {
    struct spinlock lock;      /* used_pages, accounted of every inode, inodes, next_ino */
    u64 max_pages, max_inodes; /* 0: no limit but memory */
    u64 used_pages;            /* as of each file's last accounting */
    u64 inodes, next_ino;
};

struct tmpfs_inode {
    struct inode inode;
    u64 accounted; /* pages of it in used_pages */
    char *target;  /* symbolic link */
    /* Directory; inode.lock. Every entry is in both trees. */
    struct rb_root names;   /* by (hash, length, name) */
    struct rb_root cookies; /* by cookie, for readdir */
    u64 next_cookie;
};

/* A name in a directory; holds a reference to the inode. */
struct tmpfs_entry {
    struct rb_node by_name, by_cookie;
    struct inode *inode;
    u64 cookie;
    u32 hash;
    u16 len;
    char name[];
};

static inline struct tmpfs_inode *tmpfs_i(struct inode *inode)
{
    return container_of(inode, struct tmpfs_inode, inode);
}
static inline struct tmpfs *tmpfs_of(struct super *sb)
{
    return sb->private;
}

/* A new inode in @sb like one created in @dir (NULL: the root) with one reference. -ENOSPC,
 * -ENOMEM. */
int tmpfs_inode_new(struct super *sb, struct inode *dir, u32 mode, u64 rdev, struct inode **out);

/* dir.c */
extern const struct inode_ops tmpfs_dir_ops;
extern const struct file_ops tmpfs_dir_file_ops;
void tmpfs_dir_init(struct tmpfs_inode *ti);
/* Frees all entries of a directory that is going away with all below it. */
void tmpfs_dir_fini(struct tmpfs_inode *ti);

/* memfd.c */
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20 /* Linux 6.3 */
#endif
void memfd_init(struct fs_type *tmpfs);

/* file.c */
extern const struct inode_ops tmpfs_file_ops_inode;
extern const struct file_ops tmpfs_file_ops;
extern const struct vm_object_ops tmpfs_object_ops;
extern const struct inode_ops tmpfs_symlink_ops;
extern const struct inode_ops tmpfs_special_ops;
/* Brings used_pages up to date with the pages @inode has. */
void tmpfs_account(struct inode *inode);
