/*
 * The virtual file system: inodes, dentries, mounts, path walk, open files.
 *
 * Life cycle. A super is one mounted file system. An inode is found by (super, number) in a hash
 * and lives while referenced, then stays cached until the shrinker wants it; with nlink 0 the last
 * reference evicts it and its blocks. A dentry names an inode in a directory (or records that the
 * name does not exist: negative) and keeps its parent alive; the tree of dentries is what the path
 * walk follows. A mount hangs a super's root dentry over a directory dentry.
 *
 * Lock order: rename mutex of the super -> inode lock of a parent -> inode lock of a child (lower
 * inode address first between two that are neither) -> dcache bucket -> dentry lock.
 * inode->lock guards the directory's entries, or the file's size and block map against truncation.
 */
#pragma once

#include "core/mutex.h"
#include "core/errno.h"
#include "mm/object.h"
#include "mm/usercopy.h"

struct inode;
struct dentry;
struct file;
struct super;
struct mount;
struct poll_table;
struct block_device;
struct statfs;

/* Time as stored in inodes: seconds and nanoseconds since 1970. */
struct inode_time {
    s64 sec;
    u32 nsec;
};
struct inode_time inode_time_now(void);

#define ATTR_MODE  1u
#define ATTR_UID   2u
#define ATTR_GID   4u
#define ATTR_SIZE  8u
#define ATTR_ATIME 16u
#define ATTR_MTIME 32u
#define ATTR_CTIME 64u
/* Only for vfs_setattr(): the times given are "now", which needs write permission, not ownership.
 */
#define ATTR_TOUCH 128u
/* What inode_ops->setattr changes. */
struct inode_attr {
    unsigned valid; /* ATTR_* */
    u32 mode, uid, gid;
    u64 size;
    struct inode_time atime, mtime, ctime;
};

/* All directory operations run with the directory's lock held for writing, except lookup (reading
 * suffices). Names are not NUL-terminated strings but (pointer, length) inside the dentry. */
struct inode_ops {
    /* Finds @name; *@out is a referenced inode, or NULL when there is none (that is no error). */
    int (*lookup)(struct inode *dir, const char *name, size_t len, struct inode **out);
    int (*create)(struct inode *dir, const char *name, size_t len, u32 mode, struct inode **out);
    int (*mkdir)(struct inode *dir, const char *name, size_t len, u32 mode, struct inode **out);
    int (*mknod)(struct inode *dir, const char *name, size_t len, u32 mode, u64 rdev,
                 struct inode **out);
    int (*symlink)(struct inode *dir, const char *name, size_t len, const char *target,
                   struct inode **out);
    int (*link)(struct inode *dir, const char *name, size_t len, struct inode *target);
    int (*unlink)(struct inode *dir, const char *name, size_t len, struct inode *victim);
    int (*rmdir)(struct inode *dir, const char *name, size_t len, struct inode *victim);
    /* Moves; @victim (may be NULL) is replaced atomically. With @exchange the two swap places. The
     * VFS has checked types, emptiness stays with the file system. */
    int (*rename)(struct inode *old_dir, const char *old_name, size_t old_len, struct inode *moved,
                  struct inode *new_dir, const char *new_name, size_t new_len, struct inode *victim,
                  bool exchange);
    /* Copies the target (no NUL) into @buf, returns its length. */
    ssize_t (*readlink)(struct inode *inode, char *buf, size_t size);
    /* Optional: procfs's magic links go straight to an object. Returns a referenced path. */
    int (*follow)(struct inode *inode, struct mount **mnt, struct dentry **dentry);
    int (*setattr)(struct inode *inode, const struct inode_attr *attr);
    /* Optional: refreshes the inode's fields before they are reported (procfs). */
    int (*getattr)(struct inode *inode);
    /* Optional: own permission rule instead of the mode bits. @mask: MAY_*. */
    int (*permission)(struct inode *inode, unsigned mask);
    /* Optional: a cached dentry of this directory may be stale (procfs). false: look up again. */
    bool (*revalidate)(struct inode *dir, struct dentry *dentry);
};

#define MAY_EXEC  1u
#define MAY_WRITE 2u
#define MAY_READ  4u

/* Receives one directory entry; returns false when the buffer is full (the entry is not taken). */
struct dir_context {
    bool (*emit)(struct dir_context *ctx, const char *name, size_t len, u64 ino, unsigned d_type);
    loff_t pos; /* cookie of the next entry; the file system advances it past each emitted one */
};

struct file_ops {
    int (*open)(struct inode *inode, struct file *file); /* optional */
    void (*release)(struct file *file);                  /* optional; last reference */
    /* Transfer at *@pos, which advances by the bytes moved. Return bytes (0 at end) or -errno. */
    ssize_t (*read)(struct file *file, struct uio *uio, loff_t *pos);
    ssize_t (*write)(struct file *file, struct uio *uio, loff_t *pos);
    int (*readdir)(struct file *file, struct dir_context *ctx);
    loff_t (*seek)(struct file *file, loff_t offset, int whence); /* NULL: by size */
    int (*ioctl)(struct file *file, unsigned cmd, u64 arg);       /* NULL: -ENOTTY */
    /* Ready events (POLLIN ...) now; registers with @table when not NULL. NULL: always ready. */
    u32 (*poll)(struct file *file, struct poll_table *table);
    int (*fsync)(struct file *file, bool data_only);
    /* Object to map @size bytes of at mmap(2), with a reference; *@out NULL: plain anonymous
     * memory. NULL op: the inode's object for regular files, else -ENODEV. Called by file_mmap().
     */
    int (*mmap)(struct file *file, u64 size, bool shared, struct vm_object **out);
    int (*fallocate)(struct file *file, int mode, loff_t offset, loff_t len);
};

struct super_ops {
    struct inode *(*inode_alloc)(struct super *sb); /* zeroed container; NULL: out of memory */
    void (*inode_free)(struct inode *inode);
    /* Writes the inode's fields to its buffer (not necessarily to disk yet). */
    int (*inode_write)(struct inode *inode);
    /* nlink 0 and no reference: frees blocks and the inode number. */
    void (*inode_evict)(struct inode *inode);
    int (*statfs)(struct super *sb, struct statfs *out);
    int (*sync)(struct super *sb, bool wait);
    /* Optional: about to become read-only or writable (sb->read_only still has the old value; the
     * caller changes it when this returns 0). @data: mount options or NULL. */
    int (*remount)(struct super *sb, bool read_only, const char *data);
    void (*unmount)(struct super *sb); /* everything written; frees private data */
    void (*show_options)(struct super *sb, char *buf, size_t size); /* ",opt=..." */
};

struct fs_type {
    const char *name;
    bool needs_device;
    bool single;    /* one instance: mounting it again shows the same super (devtmpfs, sysfs) */
    bool permanent; /* with single: it stays when its last mount goes */
    /* Fills in @sb (root inode in sb->root_inode, referenced). @data: mount options or NULL. */
    int (*mount)(struct super *sb, const char *data);
    struct list_node link;
};
void fs_type_register(struct fs_type *type);
struct fs_type *fs_type_find(const char *name);
/* @fn gets every registered type (/proc/filesystems). */
void fs_type_for_each(void (*fn)(struct fs_type *type, void *arg), void *arg);

struct super {
    const struct super_ops *ops;
    struct fs_type *type;
    struct block_device *bdev; /* NULL for memory file systems */
    char source[64];           /* as given to mount(2) */
    u64 dev;                   /* st_dev */
    u32 block_size;
    u64 max_bytes; /* greatest file size */
    bool read_only;
    bool error; /* the file system found itself damaged: read-only from then on */
    bool nodev, noexec, nosuid;
    struct inode *root_inode; /* handed over by fs_type->mount */
    struct mutex rename_lock;
    struct spinlock inodes_lock;
    struct list_node inodes; /* all in memory; inodes_lock */
    struct list_node dirty;  /* those with INODE_DIRTY; inodes_lock */
    struct dentry *root;     /* of root_inode; one reference */
    s32 mounts;              /* mount lock */
    struct list_node link;   /* all supers; mount lock */
    void *private;
};

/* Legend: l: inode->lock; s: inode->state_lock (spin); a: atomic. */
struct inode {
    const struct inode_ops *ops;
    const struct file_ops *file_ops;
    struct super *super;
    u64 ino;
    u32 mode;                              /* type and permissions; s */
    u32 uid, gid;                          /* s */
    u32 nlink;                             /* s */
    u64 rdev;                              /* devices: major << 8-style Linux number */
    u64 blocks;                            /* of 512 bytes; s */
    struct inode_time atime, mtime, ctime; /* s */
    u32 generation;
    s32 refs;  /* a */
    u32 state; /* INODE_*; s */
    struct rwlock lock;
    struct spinlock state_lock;
    struct vm_object object; /* contents of a regular file; object.size is the file's size */
    struct list_node hash_link, super_link, lru_link, dirty_link;
    struct list_node dentries; /* names of it, through dentry->alias_link; s */
    struct list_node locks;    /* advisory locks (fs/flock.c) */
    void *pipe;                /* FIFO: the pipe while open */
    u32 seals;       /* F_SEAL_* of memory files, and INODE_SEALABLE; changes under lock */
    u32 exec_count;  /* s: > 0 being executed, writers get ETXTBSY; see inode_deny_write */
    s32 write_count; /* s: open for writing */
    void *private;
};
#define INODE_SEALABLE (1u << 31) /* in seals: it can have any */
#define INODE_DIRTY    1u         /* fields newer than the file system's copy */
#define INODE_NEW      2u         /* being read in; waiters sleep */
#define INODE_DEAD     4u         /* failed or evicted: never used again */
#define INODE_HASHED   8u         /* can be found by number */

#define S_ISTYPE(inode, type) (((inode)->mode & 0170000) == (type))

/* Inode cache. */
/* Finds or makes the inode (sb, ino). When it is new, *@fresh is true: the caller fills it in and
 * calls inode_ready() or inode_failed(). */
int inode_get(struct super *sb, u64 ino, struct inode **out, bool *fresh);
void inode_ready(struct inode *inode);
void inode_failed(struct inode *inode);
/* A new inode that is in no hash by number yet (pipes, memory file systems). */
struct inode *inode_new(struct super *sb);
/* Publishes a created inode under its number. 0, or -EEXIST: there is one with that number already,
 * so the file system's record of free numbers is damaged. */
int inode_hash(struct inode *inode);
void inode_ref(struct inode *inode);
void inode_put(struct inode *inode);
void inode_mark_dirty(struct inode *inode);
/* Owner and mode of an inode being created in @dir by this thread: fsuid, fsgid or, in a set-GID
 * directory, its group (and the bit itself for a directory); all times are now. */
void inode_init_owner(struct inode *inode, const struct inode *dir, u32 mode);
/* What setattr does in memory: copies the valid fields, object_set_size() for ATTR_SIZE, marks the
 * inode dirty. The op of file systems that need no more. => inode->lock held for writing. */
int inode_setattr(struct inode *inode, const struct inode_attr *attr);
/* Raises the size after a write beyond the end. => inode->lock held for writing. */
void inode_grow(struct inode *inode, u64 size);
/* A file system changed the contents of @inode (directories too): mtime and ctime are now. */
void inode_touch_mtime(struct inode *inode);
void inode_touch_ctime(struct inode *inode);
/* Read access: atime by the relatime rule, unless the mount or the file system says no. @mnt may
 * be NULL. */
void inode_touch_atime(struct inode *inode, const struct mount *mnt);
/* Link count, under its lock; marks the inode dirty. */
void inode_set_nlink(struct inode *inode, u32 nlink);
/* What stat(2) tells, taken in one go (getattr op included). */
struct inode_stat {
    u64 dev, ino, rdev, size, blocks;
    u32 mode, nlink, uid, gid, block_size;
    struct inode_time atime, mtime, ctime;
};
int inode_stat(struct inode *inode, struct inode_stat *out);
/* For a file system's vm_object_ops: get, put, name, ident of an object that is inode->object
 * (file_get() and file_put() serve as they are). */
void inode_object_get(struct vm_object *o);
void inode_object_put(struct vm_object *o);
void inode_object_name(struct vm_object *o, struct file *f, char *buf, size_t size);
void inode_object_ident(struct vm_object *o, u64 *dev, u64 *ino);
int super_sync_inodes(struct super *sb); /* inode_write for each dirty one */
/* Size as seen by readers; changes through object_set_size() or inode_grow(). */
static inline u64 inode_size(const struct inode *inode)
{
    return READ_ONCE(inode->object.size);
}
/* exec: forbids writers. 0 or -ETXTBSY. inode_allow_write() undoes. */
int inode_deny_write(struct inode *inode);
void inode_allow_write(struct inode *inode);
/* The other side: counts a writer, or -ETXTBSY. */
int inode_get_write(struct inode *inode);
void inode_put_write(struct inode *inode);
int inode_permission(struct inode *inode, unsigned mask); /* 0, -EACCES, -EROFS */
bool inode_owner_or_capable(struct inode *inode);

struct dentry {
    struct dentry *parent; /* itself at a root; changes under rename, by dentry lock */
    struct inode *inode;   /* NULL: negative */
    struct super *super;
    s32 refs;  /* atomic; 0 means cached on the LRU */
    u32 flags; /* DENTRY_* */
    struct spinlock lock;
    struct dentry *hash_next, **hash_pprev; /* bucket's lock; read without, see fs/dcache.c */
    struct list_node alias_link, lru_link, children, sibling;
    u32 hash;
    u16 name_len;
    char *name; /* NUL-terminated; points at inline_name when short */
    char inline_name[40];
};
#define DENTRY_MOUNTED  1u /* something is mounted here: look in the mount table */
#define DENTRY_UNHASHED 2u /* deleted: not found by name any more */

/* Its name was removed. (A root has no name and is in no hash either.) */
static inline bool dentry_is_deleted(const struct dentry *d)
{
    return (READ_ONCE(d->flags) & DENTRY_UNHASHED) && d->parent != d;
}

struct mount {
    struct super *super;
    struct dentry *root;
    struct mount *parent;      /* NULL for the root mount */
    struct dentry *mountpoint; /* in the parent */
    unsigned flags;            /* MS_RDONLY, MS_NOSUID, ... */
    s32 refs;
    u32 id;
    struct list_node link; /* all mounts, in order */
    struct list_node children, child_link;
    struct mount *hash_next; /* table by (parent, mountpoint) */
    char source[64];         /* as given to mount(2), for /proc/mounts */
};

struct path {
    struct mount *mount;
    struct dentry *dentry;
};
void path_get(const struct path *p);
void path_put(const struct path *p); /* a path of NULLs is allowed */

/* Per-process root, cwd and umask; shared with CLONE_FS. */
struct fs_context {
    s32 refs;
    struct spinlock lock;
    struct path root, cwd;
    u32 umask;
};
struct fs_context *fs_context_copy(struct fs_context *from); /* NULL: out of memory */
void fs_context_put(struct fs_context *ctx);
/* References to root and cwd; the setters take over none of @path's references. @ctx may be NULL:
 * the kernel's own context. */
void fs_context_get_root(struct fs_context *ctx, struct path *out);
void fs_context_get_cwd(struct fs_context *ctx, struct path *out);
void fs_context_set_root(struct fs_context *ctx, const struct path *path);
void fs_context_set_cwd(struct fs_context *ctx, const struct path *path);

/* References to dentries alone. dentry_put() may free, and sleep. */
void dentry_get(struct dentry *d);
void dentry_put(struct dentry *d);
/* Forgets the cached names in the directory @d that nobody uses. => The caller has a reference. */
void dentry_prune(struct dentry *d);
/* The child @name of @parent is gone for good: its name, and those cached below it that nobody
 * uses. For shallow trees (it recurses). => The caller has a reference to @parent; may sleep. */
void dentry_forget(struct dentry *parent, const char *name, size_t len);

/* Path walk. Names come from the kernel (already copied in). */
#define WALK_FOLLOW      1u /* follow a symbolic link in the last component */
#define WALK_DIRECTORY   2u /* the result must be a directory */
#define WALK_PARENT      4u /* stop at the parent; last component in ->last */
#define WALK_NO_SYMLINKS 8u
struct walk_result {
    struct path path;
    const char *last; /* WALK_PARENT: points into the name */
    size_t last_len;
    bool last_slash;   /* the name ended in '/' */
    bool last_special; /* ".", ".." or "/" */
};
/* @base: starting directory for a relative name; NULL: the cwd. 0, -ENOENT, -ENOTDIR, -ELOOP,
 * -EACCES, -ENAMETOOLONG. The caller puts result->path. */
int path_walk(const struct path *base, const char *name, unsigned flags, struct walk_result *out);
int path_lookup(const struct path *base, const char *name, unsigned flags, struct path *out);
/* Absolute name of @p as seen from the thread's root into @buf; returns where it starts in @buf
 * (it is built from the end), or ERR: NULL with *err = -ENAMETOOLONG. Deleted ones get
 * " (deleted)". */
char *path_name(const struct path *p, char *buf, size_t size, int *err);
/* The path a file was opened by; one without a name (pipe) gets an unlinked dentry called
 * "pipe:[7]" in a hidden mount, so that /proc/PID/fd can lead to it. 0, -ENOMEM. */
int file_path(struct file *f, struct path *out);

/* Open files. */
struct file {
    const struct file_ops *ops;
    struct inode *inode;
    struct path path; /* NULLs for pipes and the like */
    s32 refs;         /* atomic */
    unsigned flags;   /* O_*; F_SETFL changes some; atomic */
    loff_t pos;
    struct mutex pos_lock; /* held across read and write with the shared offset */
    bool has_pos;          /* reads and writes move pos; else it is a stream (-ESPIPE) */
    bool writer;           /* counted in inode->write_count */
    struct readahead readahead;
    s32 owner_pid; /* F_SETOWN */
    void *private;
};
#define FILE_READABLE(f) (((f)->flags & 3) != 1)
#define FILE_WRITABLE(f) (((f)->flags & 3) != 0)

/* open(2) in all its forms. @mode is already masked by the caller's umask for the new file. */
int file_open(const struct path *base, const char *name, unsigned flags, u32 mode,
              struct file **out);
/* Open by path, for exec and fd re-open through /proc/self/fd. */
int file_open_path(const struct path *path, unsigned flags, struct file **out);
/* A file without a name over @inode (takes the inode's reference). */
int file_new(struct inode *inode, const struct file_ops *ops, unsigned flags, struct file **out);
/* The same, with an offset, called @name in the hidden mount @m: what /proc shows. */
int file_new_named(struct mount *m, struct inode *inode, const char *name, unsigned flags,
                   struct file **out);
static inline void file_get(struct file *f)
{
    atomic_add_relaxed(&f->refs, 1);
}
void file_put(struct file *f); /* => May sleep. */
/* At *@pos; with @pos NULL (or &f->pos) at the file's own offset, under its lock. Bytes, 0 at the
 * end, or -errno: -EBADF, -EISDIR, -ESPIPE (@pos of a stream), -EINVAL, ... */
ssize_t file_read(struct file *f, struct uio *uio, loff_t *pos);
ssize_t file_write(struct file *f, struct uio *uio, loff_t *pos);
loff_t file_seek(struct file *f, loff_t offset, int whence);
int file_truncate(struct file *f, u64 size);
/* getdents: entries from the offset on. -ENOTDIR, -ENOENT (deleted directory). The directory's
 * lock is held around emit(), which must not touch user memory. */
int file_readdir(struct file *f, struct dir_context *ctx);
int file_fsync(struct file *f, bool data_only); /* -EINVAL when it cannot be synced */
u32 file_poll(struct file *f, struct poll_table *table);
int file_ioctl(struct file *f, unsigned cmd, u64 arg); /* with FIONREAD of regular files */
int file_fallocate(struct file *f, int mode, loff_t offset, loff_t len);
/* What mmap(2) maps; see file_ops->mmap. Checks nothing but that it can be mapped. */
int file_mmap(struct file *f, u64 size, bool shared, struct vm_object **out);
/* What RLIMIT_FSIZE means is proc/'s business: the limit in bytes, and what happens when a write
 * or truncation (not one by the kernel) would go beyond it (SIGXFSZ) before it gets -EFBIG. */
struct file_limit_ops {
    u64 (*size_limit)(void);
    void (*exceeded)(void);
};
void file_set_limit_ops(const struct file_limit_ops *ops);
/* Reads into kernel memory: exec. Bytes read or -errno. */
ssize_t file_read_kernel(struct file *f, void *buf, size_t n, loff_t pos);

/* Generic operations for regular files over the page cache. */
ssize_t generic_read(struct file *f, struct uio *uio, loff_t *pos);
ssize_t generic_write(struct file *f, struct uio *uio, loff_t *pos);
/* The same over any object, such as a block device's. cached_write() stays within @limit bytes of
 * object; the caller updates sizes and times. */
ssize_t cached_read(struct vm_object *o, struct readahead *ra, struct uio *uio, loff_t *pos);
ssize_t cached_write(struct vm_object *o, struct uio *uio, loff_t *pos, u64 limit);

/* Name-space calls (each checks permissions and does everything the system call promises). */
int vfs_mkdir(const struct path *base, const char *name, u32 mode);
int vfs_mknod(const struct path *base, const char *name, u32 mode, u64 rdev);
int vfs_symlink(const char *target, const struct path *base, const char *name);
int vfs_link(const struct path *old_base, const char *old_name, const struct path *new_base,
             const char *new_name, bool follow);
int vfs_unlink(const struct path *base, const char *name, bool directory);
int vfs_rename(const struct path *old_base, const char *old_name, const struct path *new_base,
               const char *new_name, unsigned flags);
ssize_t vfs_readlink(const struct path *path, char *buf, size_t size);
int vfs_setattr(const struct path *path, struct inode_attr *attr);
int vfs_truncate(const struct path *path, u64 size);
int vfs_access(const struct path *path, unsigned mask);
int vfs_statfs(const struct path *path, struct statfs *out);
/* Mounts. @source may be NULL. 0, -ENODEV (no such type), -ENOTBLK, -EBUSY, -EINVAL, ... */
int vfs_mount(const char *source, const struct path *at, const char *type, unsigned flags,
              const char *data);
int vfs_mount_root(const char *source, const char *type, unsigned flags);
int vfs_umount(const struct path *at, unsigned flags);
int vfs_bind_mount(const struct path *from, const struct path *at);
int vfs_remount(const struct path *at, unsigned flags, const char *data);
void mount_for_each(int (*fn)(struct mount *m, void *arg), void *arg);
int vfs_sync(bool wait); /* sync(2) */
void vfs_shutdown(void); /* power-off: everything written, file systems marked clean */

/* Boot: a super of @type in no folder, with mount options @data, and its mount. Lives for ever. */
struct mount *mount_hidden(struct fs_type *type, const char *data);
/* A hidden super with @name as type, for inodes without a file system (pipes, sockets), and its
 * mount. Lives for ever. NULL: out of memory. */
struct mount *mount_pseudo(const char *name);
/* An inode of it with one reference, mode and owner set; NULL: out of memory. */
struct inode *inode_pseudo(struct mount *m, u32 mode);

/* Pipes; see include/fs/pipe.h for the rest. */
int pipe_create(unsigned flags, struct file **read_end, struct file **write_end);

/* Advisory locks (fcntl and flock), fs/flock.c. */
struct flock;
int flock_fcntl(struct file *f, int cmd, struct flock *fl, const void *owner, s32 pid);
int flock_flock(struct file *f, int operation);
void flock_release_owner(struct file *f, const void *owner);

void fs_init(void); /* registers the types, shrinkers; no mounts yet */
