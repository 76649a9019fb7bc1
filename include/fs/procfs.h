/*
 * /proc: text made when it is read.
 *
 * Whoever has something to show registers a struct proc_entry: a file with a show function, a
 * symbolic link, a directory. Entries form one fixed tree that only grows, at boot. Directories
 * whose contents come and go (processes, their threads and descriptors) have their names, which are
 * numbers, from a struct proc_numbers. What a process is only proc/ knows; it supplies a struct
 * proc_process_ops.
 *
 * A file's text is made as a whole and then read in pieces, so all pieces belong together. It is
 * made anew each time the beginning is read; the text of PROC_PRIVATE files is made by open(2),
 * with the opener's rights, and stays as it is.
 */
#pragma once

#include "fs/vfs.h"

/* Growing text. When memory runs out the text is dropped and reading gives -ENOMEM. */
struct seq;
void seq_printf(struct seq *s, const char *fmt, ...) __printf(2, 3);
void seq_puts(struct seq *s, const char *text);
void seq_putc(struct seq *s, char c);
void seq_write(struct seq *s, const void *data, size_t n);
/* @text with blanks, newlines and backslashes as \ooo, as fstab(5) wants names. */
void seq_escape(struct seq *s, const char *text);
/* Bytes so far. */
size_t seq_length(const struct seq *s);
/* Blanks until the text is @column bytes longer than @from, a former seq_length(). */
void seq_pad(struct seq *s, size_t from, size_t column);
/*
 * For writers that may not sleep. seq_atomic_begin() throws the text away and sets memory for
 * @bytes aside (0, -ENOMEM); what does not fit into it is only counted; seq_atomic_end() returns
 * how much that was: if not 0, begin again with so much more. => begin may sleep, end does not.
 */
int seq_atomic_begin(struct seq *s, size_t bytes);
size_t seq_atomic_end(struct seq *s);

struct proc_entry;

/* What one inode of /proc stands for. */
struct proc_node {
    const struct proc_entry *entry;
    s32 pid;    /* process it is about; 0: none */
    s32 tid;    /* thread of it; 0: the process as a whole */
    s32 number; /* descriptor or the like; -1: none */
    u32 mode;   /* permission bits instead of the entry's; 0: the entry's */
    u64 birth;  /* tells processes with the same number apart */
};

/* What the inode of an open file with ->file_ops stands for. */
const struct proc_node *procfs_node(const struct inode *inode);

/* The names of a directory that are numbers. Both => may sleep. */
struct proc_numbers {
    /* Fills in @child (which starts out as a copy of @dir). 0, -ENOENT. */
    int (*get)(const struct proc_node *dir, u32 number, struct proc_node *child);
    /* The smallest number >= @from: 0 and *@out, -ENOENT at the end. */
    int (*next)(const struct proc_node *dir, u32 from, u32 *out);
};

#define PROC_PRIVATE      1u /* only for who may inspect the process: -EACCES */
#define PROC_NOT_A_THREAD 2u /* not in /proc/PID/task/TID */

/*
 * Static, or allocated for good. All functions => may sleep; @n stays valid during the call.
 * Exactly one of show/file_ops (S_IFREG), readlink/follow (S_IFLNK); neither for S_IFDIR.
 */
struct proc_entry {
    const char *name;
    u32 mode; /* type and permissions */
    unsigned flags;
    int (*show)(struct seq *s, const struct proc_node *n); /* 0, -errno */
    /* One write(2): @text is terminated, white space at its end is gone. 0, -errno. */
    int (*write)(const struct proc_node *n, const char *text, size_t len);
    ssize_t (*readlink)(const struct proc_node *n, char *buf, size_t size); /* length, -errno */
    int (*follow)(const struct proc_node *n, struct path *out); /* 0 and references, -errno */
    const struct proc_numbers *numbers;
    const struct file_ops *file_ops; /* instead of show and write */
    const void *arg;                 /* the registrant's */

    /* fs/procfs: the tree */
    u32 id; /* unique */
    struct proc_entry *next, *children, *last_child;
    struct proc_entry *same_as; /* set by the registrant: shows that directory's entries */
};

#define PROC_FILE(name_, mode_, show_)                              \
    {                                                               \
        .name = (name_), .mode = S_IFREG | (mode_), .show = (show_) \
    }
#define PROC_DIR(name_)                          \
    {                                            \
        .name = (name_), .mode = S_IFDIR | 0555, \
    }

/* Directories to register in. */
extern struct proc_entry procfs_root;
struct proc_entry *procfs_sys_kernel(void);

/* Adds @count entries to @dir, shown in that order. => Boot, before the first mount. */
void procfs_add(struct proc_entry *dir, struct proc_entry *entries, unsigned count);
/* Gives @e, which a struct proc_numbers hands out, an id; @e is in no directory's list. => Boot. */
void procfs_number(struct proc_entry *e);

struct proc_process_ops {
    /* Owner of the process's files: 0, -ESRCH when @n's process (or thread) is gone. */
    int (*owner)(const struct proc_node *n, u32 *uid, u32 *gid);
    /* The calling thread may look into @n's process. */
    bool (*may_inspect)(const struct proc_node *n);
    struct proc_numbers numbers; /* of /proc itself: the processes */
};
/* => Boot, before the first mount. */
void procfs_set_process_ops(const struct proc_process_ops *ops);

/* Process @pid is gone: forgets the names cached about it. => May sleep, no locks. */
void procfs_forget(s32 pid);

/*
 * read(2) of a file that is an array of @count 64-bit words, as pagemap is: @fill stores words
 * [first, first + n) at @words. Bytes, 0 at the end, -EINVAL (offset or length is no multiple of a
 * word), -EFAULT, -ENOMEM. => May sleep.
 */
ssize_t procfs_read_words(struct uio *uio, loff_t *pos, u64 count,
                          void (*fill)(void *arg, u64 first, u64 n, u64 *words), void *arg);

/* /proc/PID/mounts and mountinfo: the mount table as the calling thread sees it. */
int procfs_show_mounts(struct seq *s, const struct proc_node *n);
int procfs_show_mountinfo(struct seq *s, const struct proc_node *n);

/* Boot: registers the type "proc" and the files about the machine, memory and devices. */
void procfs_init(void);
