/*
 * ext2: the on-disk format and what the parts of the driver share.
 *
 *     block group 0          block group 1 ...
 *     | boot | super | group descriptors | reserved | block bitmap | inode bitmap | inodes | data |
 *
 * Everything on disk is little-endian, as is the machine. Layout: "The Second Extended File System"
 * (Poirier) and the ext4 disk layout documentation for what came later.
 *
 * Lock order: inode->lock (VFS) -> ext2_inode->map_lock -> ext2_fs->alloc_lock -> a buffer's lock.
 * A thread holds one buffer at a time, so that no damaged image (an indirect block that names a
 * bitmap, itself, or one of another file) can make two of them deadlock.
 */
#pragma once

#include "core/log.h"
#include "dev/block.h"
#include "fs/buf.h"
#include "fs/cred.h"
#include "fs/vfs.h"
#include "lib/bitmap.h"
#include "lib/string.h"
#include "mm/slab.h"
#include <linux/stat.h>

#define EXT2_MAGIC          0xef53
#define EXT2_SUPER_OFFSET   1024
#define EXT2_ROOT_INO       2
#define EXT2_GOOD_FIRST_INO 11
#define EXT2_LINK_MAX       32000
#define EXT2_NAME_MAX       255

#define EXT2_STATE_VALID 1u
#define EXT2_STATE_ERROR 2u

#define EXT2_COMPAT_HAS_JOURNAL  0x0004u
#define EXT2_COMPAT_EXT_ATTR     0x0008u
#define EXT2_COMPAT_RESIZE_INODE 0x0010u
#define EXT2_COMPAT_DIR_INDEX    0x0020u

#define EXT2_INCOMPAT_FILETYPE 0x0002u
#define EXT2_INCOMPAT_RECOVER  0x0004u
#define EXT2_INCOMPAT_KNOWN    EXT2_INCOMPAT_FILETYPE

#define EXT2_RO_SPARSE_SUPER 0x0001u
#define EXT2_RO_LARGE_FILE   0x0002u
#define EXT2_RO_EXTRA_ISIZE  0x0040u
#define EXT2_RO_KNOWN        (EXT2_RO_SPARSE_SUPER | EXT2_RO_LARGE_FILE | EXT2_RO_EXTRA_ISIZE)

struct ext2_super_block {
    u32 s_inodes_count;
    u32 s_blocks_count;
    u32 s_r_blocks_count; /* only for the super-user */
    u32 s_free_blocks_count;
    u32 s_free_inodes_count;
    u32 s_first_data_block;
    u32 s_log_block_size; /* 1024 << this */
    u32 s_log_frag_size;
    u32 s_blocks_per_group;
    u32 s_frags_per_group;
    u32 s_inodes_per_group;
    u32 s_mtime;
    u32 s_wtime;
    u16 s_mnt_count;
    s16 s_max_mnt_count;
    u16 s_magic;
    u16 s_state;
    u16 s_errors;
    u16 s_minor_rev_level;
    u32 s_lastcheck;
    u32 s_checkinterval;
    u32 s_creator_os;
    u32 s_rev_level;
    u16 s_def_resuid;
    u16 s_def_resgid;
    /* revision 1 */
    u32 s_first_ino;
    u16 s_inode_size;
    u16 s_block_group_nr;
    u32 s_feature_compat;
    u32 s_feature_incompat;
    u32 s_feature_ro_compat;
    u8 s_uuid[16];
    char s_volume_name[16];
    char s_last_mounted[64];
    u32 s_algorithm_usage_bitmap;
    u8 s_prealloc_blocks;
    u8 s_prealloc_dir_blocks;
    u16 s_reserved_gdt_blocks;
    u8 s_journal_uuid[16];
    u32 s_journal_inum;
    u32 s_journal_dev;
    u32 s_last_orphan;
    u32 s_hash_seed[4];
    u8 s_def_hash_version;
    u8 s_jnl_backup_type;
    u16 s_desc_size;
    u32 s_default_mount_opts;
    u32 s_first_meta_bg;
    u32 s_mkfs_time;
    u32 s_jnl_blocks[17];
    u32 s_blocks_count_hi;
    u32 s_r_blocks_count_hi;
    u32 s_free_blocks_hi;
    u16 s_min_extra_isize;
    u16 s_want_extra_isize;
    u32 s_flags;
    u32 s_reserved[167];
};
_Static_assert(sizeof(struct ext2_super_block) == 1024, "superblock layout");
_Static_assert(offsetof(struct ext2_super_block, s_min_extra_isize) == 0x15c, "superblock layout");

struct ext2_group_desc {
    u32 bg_block_bitmap;
    u32 bg_inode_bitmap;
    u32 bg_inode_table;
    u16 bg_free_blocks_count;
    u16 bg_free_inodes_count;
    u16 bg_used_dirs_count;
    u16 bg_flags;
    u32 bg_reserved[3];
};
_Static_assert(sizeof(struct ext2_group_desc) == 32, "group descriptor layout");

#define EXT2_NDIR_BLOCKS 12
#define EXT2_IND_BLOCK   12
#define EXT2_N_BLOCKS    15

#define EXT2_FL_IMMUTABLE 0x00000010u
#define EXT2_FL_APPEND    0x00000020u
#define EXT2_FL_INDEX     0x00001000u /* a hashed directory */
#define EXT2_FL_EXTENTS   0x00080000u
#define EXT2_FL_INLINE    0x10000000u
/* What a new inode inherits from its directory: secrm, unrm, compr, sync, nodump, noatime, notail
 */
#define EXT2_FL_INHERITED 0x000080cfu

struct ext2_disk_inode {
    u16 i_mode;
    u16 i_uid;
    u32 i_size;
    u32 i_atime;
    u32 i_ctime;
    u32 i_mtime;
    u32 i_dtime;
    u16 i_gid;
    u16 i_links_count;
    u32 i_blocks; /* of 512 bytes */
    u32 i_flags;
    u32 i_osd1;
    u32 i_block[EXT2_N_BLOCKS];
    u32 i_generation;
    u32 i_file_acl;  /* block of extended attributes */
    u32 i_size_high; /* regular files */
    u32 i_faddr;
    u8 i_frag;
    u8 i_fsize;
    u16 i_pad1;
    u16 i_uid_high;
    u16 i_gid_high;
    u32 i_reserved2;
    /* inodes of more than 128 bytes; valid as far as i_extra_isize says */
    u16 i_extra_isize;
    u16 i_checksum_hi;
    u32 i_ctime_extra; /* nanoseconds << 2 | two more bits of seconds */
    u32 i_mtime_extra;
    u32 i_atime_extra;
    u32 i_crtime;
    u32 i_crtime_extra;
    u32 i_version_hi;
    u32 i_projid;
};
_Static_assert(sizeof(struct ext2_disk_inode) == 160, "inode layout");
#define EXT2_OLD_INODE_SIZE 128

struct ext2_xattr_header {
    u32 h_magic;
    u32 h_refcount;
    u32 h_blocks;
    u32 h_hash;
};
#define EXT2_XATTR_MAGIC 0xea020000u

/*
 * A directory record. rec_len chains the records of one block without gaps:
 *
 *     | inode:4 | rec_len:2 | name_len:1 | file_type:1 | name ... padded to 4 | unused ... |
 *     |<------------------------------ rec_len ----------------------------------------->|
 */
struct ext2_dirent {
    u32 inode; /* 0: the whole record is unused */
    u16 rec_len;
    u8 name_len;
    u8 file_type; /* EXT2_FT_*; without the filetype feature the high byte of name_len */
    char name[];
};
#define EXT2_DIRENT_LEN(name_len) ALIGN_UP(8u + (unsigned)(name_len), 4u)

/* A mounted file system. Legend: c: constant while mounted; a: alloc_lock. */
struct ext2_fs {
    struct super *sb;
    struct block_device *bdev;
    u32 block_size, block_shift;            /* c */
    u32 addr_per_block, addr_shift;         /* c: pointers in an indirect block */
    u32 sectors_per_block;                  /* c */
    u32 blocks, inodes, groups;             /* c */
    u32 first_data_block, first_ino;        /* c */
    u32 blocks_per_group, inodes_per_group; /* c */
    u32 inode_size, table_blocks;           /* c: of a group's inode table */
    u32 desc_per_block, desc_blocks;        /* c */
    u32 want_extra;                         /* c: i_extra_isize of new inodes */
    u32 overhead;                           /* c: blocks that hold no data */
    bool filetype;                          /* c */
    bool was_clean;       /* state to write back at unmount; changes under sb_lock */
    bool marked;          /* the disk says "in use"; sb_lock */
    u32 error_logged;     /* atomic */
    struct mutex sb_lock; /* mount state changes */
    struct mutex alloc_lock;
    struct ext2_super_block disk;  /* a: the superblock as it will be written */
    struct ext2_group_desc *group; /* a: copies of the descriptors */
    u8 *bitmap_checked;            /* a: EXT2_CHECKED_* per group */
    u64 free_blocks, free_inodes;  /* a */
    u32 dirs;                      /* a: used_dirs over all groups */
    u32 next_generation;           /* atomic */
};
#define EXT2_CHECKED_BLOCKS 1u
#define EXT2_CHECKED_INODES 2u

/* An inode in memory. Legend: m: map_lock; l: inode->lock. */
struct ext2_inode {
    struct inode vfs;
    struct mutex map_lock;
    u32 data[EXT2_N_BLOCKS]; /* m: block map, a fast symbolic link's text, or device number */
    u32 flags;               /* l: EXT2_FL_* */
    u32 file_acl;
    u32 dtime;
    struct inode_time crtime;
    bool fresh;       /* not on disk yet: the whole disk inode is initialised */
    u64 last_logical; /* m: the block allocated last, and where it went, for the next goal */
    u32 last_physical;
    u32 insert_hint; /* l: directories: block where the search for room starts */
    u32 lookup_hint; /* any value will do: block where the last name was found */
};

static inline struct ext2_fs *ext2_of(const struct super *sb)
{
    return sb->private;
}
static inline struct ext2_inode *ext2_i(struct inode *inode)
{
    return container_of(inode, struct ext2_inode, vfs);
}
static inline u32 ext2_group_first(const struct ext2_fs *fs, u32 g)
{
    return fs->first_data_block + g * fs->blocks_per_group;
}
/* Blocks of group @g: the last one may be short. */
static inline u32 ext2_group_blocks(const struct ext2_fs *fs, u32 g)
{
    return MIN(fs->blocks_per_group, fs->blocks - ext2_group_first(fs, g));
}
static inline bool ext2_block_in_range(const struct ext2_fs *fs, u32 block)
{
    return block > fs->first_data_block && block < fs->blocks;
}

/* super.c */
/* The file system contradicts itself or the device fails: logs the first time, marks the disk, and
 * makes it read-only. Returns -EUCLEAN, for "return ext2_error(...)". */
int ext2_error(struct ext2_fs *fs, const char *fmt, ...) __printf(2, 3);
/* Every change of metadata ends here, with the buffer locked: the journal's place. */
static inline void ext2_buf_dirty(struct ext2_fs *fs, struct buf *b)
{
    buf_mark_dirty(b);
}
static inline int ext2_buf_read(struct ext2_fs *fs, u32 block, struct buf **out)
{
    return buf_read(fs->bdev, block, fs->block_size, out);
}
/* A metadata block is about to be freed: no write of it may come later. */
static inline void ext2_buf_forget(struct ext2_fs *fs, u32 block)
{
    buf_forget(fs->bdev, block, fs->block_size);
}
/* The large_file feature must be set before a file of 2 GiB and more exists. */
void ext2_need_large_file(struct ext2_fs *fs);

/* check.c: pure checks of what was read from the disk. */
/* Checks @sb for a device of @dev_blocks_1k KiB. NULL, or what is wrong with it. */
const char *ext2_check_super(const struct ext2_super_block *sb, u64 device_bytes);
/* Derives the geometry. => @sb was checked. */
void ext2_geometry(struct ext2_fs *fs, const struct ext2_super_block *sb);
/* Checks the descriptor of group @g. NULL, or what is wrong with it. */
const char *ext2_check_group(const struct ext2_fs *fs, u32 g, const struct ext2_group_desc *d);
/* Does group @g hold a copy of superblock and descriptors? */
bool ext2_group_has_super(const struct ext2_fs *fs, u32 g);
/* First record at or behind @off in the directory block @data; NULL: damaged. */
struct ext2_dirent *ext2_check_record(const struct ext2_fs *fs, void *data, u32 off);

/* balloc.c */
/*
 * Allocates 1 to @want contiguous blocks, near @goal if that is a block. Returns 0 (*@first,
 * *@got), -ENOSPC, -EIO, -EUCLEAN, -ENOMEM.
 */
int ext2_alloc_blocks(struct ext2_fs *fs, u32 goal, u32 want, u32 *first, u32 *got);
/* Frees blocks [@first, @first + @count). What is no data block or is free already is damage. */
void ext2_free_blocks(struct ext2_fs *fs, u32 first, u32 count);
/* Writes the in-memory descriptor of group @g to its buffer. => alloc_lock. 0, -EIO, -ENOMEM. */
int ext2_group_store(struct ext2_fs *fs, u32 g);
/* Reads a bitmap of @g, checked (@which: EXT2_CHECKED_*); locked. => alloc_lock. */
int ext2_bitmap_read(struct ext2_fs *fs, u32 g, unsigned which, struct buf **out);

/* ialloc.c */
/* A new inode number for a file of @mode in @dir. 0, -ENOSPC, -EIO, -EUCLEAN, -ENOMEM. */
int ext2_alloc_ino(struct ext2_fs *fs, struct inode *dir, u32 mode, u32 *ino);
void ext2_free_ino(struct ext2_fs *fs, u32 ino, bool directory);
/* Goal for the first block of an inode: its group, spread within. */
u32 ext2_ino_goal(const struct ext2_fs *fs, u64 ino);

/* map.c */
/*
 * Where block @lblock of the file lies: *@phys (0: a hole), and *@count (in: most wanted; out:
 * how many from there on are contiguous, or holes). 0, -EIO, -EUCLEAN, -ENOMEM, -EFBIG.
 */
int ext2_map(struct ext2_inode *ei, u64 lblock, u32 *phys, u32 *count);
/* The same, but holes are filled: allocates what is missing. Also -ENOSPC. *@fresh (may be NULL)
 * tells whether the blocks are new (their contents on disk are garbage). */
int ext2_map_alloc(struct ext2_inode *ei, u64 lblock, u32 *phys, u32 *count, bool *fresh);
/* Frees every block at and behind @lblock. => Nothing beyond is in use. */
void ext2_map_truncate(struct ext2_inode *ei, u64 lblock);
/* Greatest size of a file. */
u64 ext2_max_bytes(const struct ext2_fs *fs);

/* inode.c */
/* The inode @ino, referenced. 0, -EIO, -EUCLEAN (bad or free inode), -ENOMEM. */
int ext2_iget(struct super *sb, u32 ino, struct inode **out);
/* A new inode for @dir with number, owner, mode, times, in memory and on disk; nlink is 1 (2 for a
 * directory). Give up with ext2_inode_abandon(). */
int ext2_inode_create(struct inode *dir, u32 mode, u64 rdev, struct inode **out);
void ext2_inode_abandon(struct inode *inode);
int ext2_inode_write(struct inode *inode);
void ext2_inode_evict(struct inode *inode);
int ext2_setattr(struct inode *inode, const struct inode_attr *attr);
/* Is this symbolic link's text in the inode itself? */
bool ext2_is_fast_symlink(const struct ext2_inode *ei);
/* A directory's or slow symbolic link's block count follows from its size. */
static inline u64 ext2_size_blocks(const struct ext2_fs *fs, u64 size)
{
    return (size + fs->block_size - 1) >> fs->block_shift;
}

/* dir.c */
/* Place of a directory entry. */
struct ext2_place {
    u32 lblock, offset; /* of the record */
    u32 ino;
    u8 file_type;
};
int ext2_dir_find(struct inode *dir, const char *name, size_t len, struct ext2_place *out);
/* Adds an entry; the caller knows that the name is not there. -ENOSPC, -EIO, ... */
int ext2_dir_insert(struct inode *dir, const char *name, size_t len, u32 ino, u32 mode);
/* Removes the entry, or points it at another inode. */
int ext2_dir_remove(struct inode *dir, const struct ext2_place *at);
int ext2_dir_replace(struct inode *dir, const struct ext2_place *at, u32 ino, u32 mode);
/* Writes "." and ".." into a new directory's first block. */
int ext2_dir_init(struct inode *dir, u32 parent);
/* 0, -ENOTEMPTY, -EIO, ... */
int ext2_dir_empty(struct inode *dir);
/* Directory entries changed: times, the hash index is void. Stores the inode. */
void ext2_dir_touched(struct inode *dir);
extern const struct file_ops ext2_dir_file_ops;

/* namei.c */
extern const struct inode_ops ext2_dir_ops;

/* file.c */
extern const struct file_ops ext2_file_ops;
extern const struct inode_ops ext2_file_inode_ops, ext2_special_ops;
int ext2_sync_inode(struct inode *inode); /* fsync of a directory or file's metadata */

/* pageio.c */
extern const struct vm_object_ops ext2_object_ops;

/* symlink.c */
extern const struct inode_ops ext2_symlink_ops;
/* Stores @target in the new inode. */
int ext2_symlink_write(struct inode *inode, const char *target, size_t len);
