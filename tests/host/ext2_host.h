/*
 * A disk in memory, images on it, mounts of them, and what ext2 calls of the rest of the kernel.
 * For test_ext2.c.
 */
#pragma once

#include "test.h"

#include <unistd.h>

#include "core/errno.h"
#include "fs/ext2.h"
#include "fs/ext2/ext2_priv.h"
#include "fs/vfs_priv.h"
#include "host.h"
#include "mm/object_priv.h"
#include "mm/page_priv.h"
#include "mm/rmap.h"
#include "mm_stubs.h"

#define RAM_BYTES (256UL << 20) /* nothing is reclaimed */
#define STALE     0xee

static const struct memory_region ram[] = {{HOST_RAM_BASE, HOST_RAM_BASE + RAM_BYTES}};

/* --- the disk --- */

static u8 *disk;
static u64 disk_bytes;
static struct block_device bdev = {.name = "vdt"};
static char image_path[64];
static u64 fail_in; /* requests until one fails; 0: never */

void block_submit(struct bio *bio)
{
    u64 at = bio->sector << SECTOR_SHIFT;
    int status = fail_in && --fail_in == 0 ? -EIO : 0;
    for (unsigned i = 0; i < bio->vec_count && !status; i++) {
        u32 len = bio->vec[i].len;
        void *mem = direct_map(bio->vec[i].addr);
        assert_true(len % SECTOR_SIZE == 0 && len > 0);
        if (at + len > disk_bytes)
            status = -EIO;
        else if (bio->op == BIO_READ)
            memcpy(mem, disk + at, len);
        else
            memcpy(disk + at, mem, len);
        at += len;
    }
    bio->status = status;
    bio->done(bio);
}

static void nothing(struct bio *bio)
{
}

int block_submit_wait(struct bio *bio)
{
    bio->done = nothing;
    block_submit(bio);
    return bio->status;
}

int block_rw(struct block_device *b, enum bio_op op, u64 sector, void *buf, size_t len)
{
    struct bio_vec v = {direct_to_phys(buf), len};
    struct bio bio = {.bdev = b, .op = op, .sector = sector, .vec = &v, .vec_count = 1};
    return block_submit_wait(&bio);
}

int block_flush(struct block_device *b)
{
    return 0;
}

/* --- what else is called --- */

struct fs_section fs_sections[MAX_CPUS];
static struct fs_type *type;

void section_wait(void)
{
}
void flusher_wake(void)
{
}
void fs_type_register(struct fs_type *t)
{
    type = t;
}
void shrinker_register(struct shrinker *s)
{
}
void thread_yield(void)
{
    fail_msg("an inode is still referenced");
}
u64 time_wall_ns(void)
{
    return 1763679600UL * NSEC_PER_SEC + time_ns() % NSEC_PER_SEC;
}
bool cred_capable(const struct cred *c, unsigned cap)
{
    return true;
}
bool cred_in_group(const struct cred *c, u32 gid)
{
    return true;
}
u32 mode_without_suid(u32 mode)
{
    return mode;
}
int file_check_limit(u64 pos, size_t *count)
{
    return 0;
}
void file_put(struct file *f)
{
}
char *path_name(const struct path *p, char *buf, size_t size, int *err)
{
    return NULL;
}
void lru_add(struct page *page)
{
}
void lru_remove(struct page *page)
{
}
bool rmap_clean(struct page *page)
{
    return false;
}
unsigned rmap_unmap_all(struct page *page)
{
    return 0;
}
void aspace_unmap_object(struct vm_object *o, u64 first, u64 last)
{
}
int commit_charge(u64 pages)
{
    return 0;
}
void commit_uncharge(u64 pages)
{
}
void pagedaemon_start(void)
{
}
int thread_spawn(struct thread **out, const char *name, void (*fn)(void *), void *arg)
{
    return 0;
}
int uio_fault_in(struct uio *u, size_t n, bool write)
{
    return 0;
}
size_t uio_read_nofault(struct uio *u, void *dst, size_t n)
{
    memcpy(dst, (void *)u->vec->base, n);
    u->vec->base += n;
    u->resid -= n;
    return n;
}
size_t uio_write(struct uio *u, const void *src, size_t n)
{
    memcpy((void *)u->vec->base, src, n);
    u->vec->base += n;
    u->resid -= n;
    return n;
}
size_t uio_zero(struct uio *u, size_t n)
{
    fail();
    return 0;
}

/* --- images and mounts --- */

static struct super *sb;

static void save_image(void)
{
    FILE *f = fopen(image_path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(disk, 1, disk_bytes, f), disk_bytes);
    fclose(f);
}

static void load_image(void)
{
    FILE *f = fopen(image_path, "r");
    assert_non_null(f);
    assert_int_equal(fread(disk, 1, disk_bytes, f), disk_bytes);
    fclose(f);
}

static void make_image(const char *options, u64 kib)
{
    char command[256];
    disk_bytes = kib << 10;
    disk = malloc(disk_bytes);
    memset(disk, STALE, disk_bytes);
    save_image();
    snprintf(command, sizeof(command), "mke2fs -q -F -E nodiscard -t ext2 %s %s >&2", options,
             image_path);
    assert_int_equal(system(command), 0);
    load_image();
    bdev.sectors = disk_bytes >> SECTOR_SHIFT;
}

static void fsck(void)
{
    char command[256];
    save_image();
    snprintf(command, sizeof(command), "e2fsck -fn %s >%s.log 2>&1 || { cat %s.log >&2; exit 1; }",
             image_path, image_path, image_path);
    assert_int_equal(system(command), 0);
}

static DEFINE_LOCK_CLASS(inodes_class, "test inodes");

static int try_mount(bool read_only)
{
    sb = kzalloc(sizeof(*sb), 0);
    sb->type = type;
    sb->bdev = &bdev;
    sb->read_only = read_only;
    spin_init(&sb->inodes_lock, &inodes_class);
    list_init(&sb->inodes);
    list_init(&sb->dirty);
    int r = type->mount(sb, NULL);
    if (r) {
        if (sb->ops)
            inode_evict_super(sb);
        kfree(sb);
    }
    return r;
}

static void sync_files(void)
{
    struct inode *inode;
    list_for_each_entry (inode, &sb->inodes, super_link)
        (void)object_sync(&inode->object, 0, ~0UL, true);
}

static void unmount(void)
{
    sync_files();
    (void)super_sync_inodes(sb);
    if (!sb->read_only)
        (void)sb->ops->sync(sb, true);
    inode_put(sb->root_inode);
    inode_evict_super(sb);
    sb->ops->unmount(sb);
    kfree(sb);
}
