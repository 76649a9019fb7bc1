/* What the files of procfs share among themselves. */
#pragma once

#include "core/panic.h"
#include "fs/procfs.h"
#include "lib/string.h"
#include "mm/slab.h"

#include <linux/stat.h>

/* Clock ticks user space counts CPU time in (AT_CLKTCK). */
#define USER_HZ     100
#define NS_PER_TICK (NSEC_PER_SEC / USER_HZ)

/*
 * Text in pages. Legend: all fields belong to whoever has the seq (the open file's lock).
 */
#define SEQ_INLINE_PAGES 4
struct seq {
    char **pages;   /* the first @page_count are there */
    u32 page_count; /* pages allocated */
    u32 page_slots; /* room in ->pages */
    size_t length;  /* bytes of text */
    size_t lost;    /* atomic section: bytes that found no room */
    bool atomic;    /* in an atomic section */
    int error;      /* -ENOMEM: text is missing */
    char *first[SEQ_INLINE_PAGES];
};
void seq_init(struct seq *s);
void seq_fini(struct seq *s);
void seq_reset(struct seq *s); /* no text; keeps the memory of small ones */
/* Copies text from *@pos on to @uio. Bytes (0 at the end), -EFAULT. */
ssize_t seq_read(const struct seq *s, struct uio *uio, loff_t *pos);

struct proc_inode {
    struct inode vfs;
    struct proc_node node; /* constant but for ->mode */
};
static inline struct proc_inode *proc_i(const struct inode *inode)
{
    return container_of((struct inode *)inode, struct proc_inode, vfs);
}

/* tree.c */
const struct proc_process_ops *procfs_process_ops(void);
/* The child of that name, or NULL. */
struct proc_entry *proc_child(const struct proc_node *dir, const char *name, size_t len);
/* The @i-th child, NULL behind the last. */
struct proc_entry *proc_child_at(const struct proc_node *dir, unsigned i);
/* The number names under @dir; NULL when it has none. */
const struct proc_numbers *proc_numbers_of(const struct proc_node *dir);
/* Inode number: unique among the nodes alive at one time. */
u64 proc_ino(const struct proc_node *n);

/* inode.c */
/* A new inode for @node with one reference. 0, -ENOMEM, -ESRCH. */
int proc_inode_make(struct super *sb, const struct proc_node *node, struct inode **out);
/* 0 or -EACCES: PROC_PRIVATE. */
int proc_check_private(const struct proc_node *n);

/* Brings the owner up to date. 0, -ESRCH: what the inode stood for is gone. */
int proc_refresh(struct inode *inode);
/* Nothing in /proc can be changed by chmod(2) and the like: -EPERM. */
int proc_setattr(struct inode *inode, const struct inode_attr *attr);

/* dir.c, file.c */
extern const struct inode_ops proc_static_dir_ops, proc_live_dir_ops;
extern const struct file_ops proc_dir_file_ops, proc_text_file_ops;

/* The files by subject. */
void procfs_memory_init(void);
void procfs_frames_init(void);
void procfs_system_init(void);
void procfs_device_init(void);
void procfs_sysctl_init(void);
void procfs_sysrq_init(void);
