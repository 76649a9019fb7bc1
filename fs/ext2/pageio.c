/*
 * ext2: pages of files from and to the disk.
 *
 * A call brings a run of pages. The blocks below them are mapped run by run; neighbours on the disk
 * make one request, however many pages it spans:
 *
 *     file     | page 7              | page 8              |     blocks of 1024
 *     disk     | 100 101 102 103     | 104 105  ---  230   |     --- a hole
 *     requests   [--------- 7: 4096, 8: 2048 ---------]   [1024]
 *
 * All requests of a call share a struct ext2_io that counts them; whoever finishes the last one,
 * in interrupt context as a rule, finishes the pages. Holes and what lies behind the end of the
 * file are zeroed, no I/O. When there is no memory for a request, its pieces are transferred one
 * by one with the thread waiting.
 *
 * Writing finds its blocks allocated: reserve() did that before the page became dirty. Blocks
 * behind the end of the file may be in a page but were never reserved, so they are holes and are
 * skipped. One case is left: a mapping dirtied the page while the file ended within it, the file
 * grew since, and the mapping wrote on without a new fault; then a hole has contents and is filled
 * now.
 */
#include "fs/ext2/ext2_priv.h"

struct ext2_io {
    struct vm_object *object;
    u32 pending; /* atomic: requests under way, and the one who starts them */
    int error;   /* atomic: the first, writes */
    bool write;
    unsigned count;
    struct page *pages[];
};

struct ext2_bio {
    struct bio bio;
    struct ext2_io *io;
    unsigned capacity;
    struct bio_vec vec[];
};

/* The request being put together. */
struct builder {
    struct ext2_fs *fs;
    struct ext2_io *io;
    struct ext2_bio *current;
    u64 next_sector; /* where current ends */
};

static struct ext2_inode *inode_of(struct vm_object *o)
{
    return ext2_i(container_of(o, struct inode, object));
}

static void piece_failed(struct ext2_io *io, const struct bio_vec *v, int status)
{
    int none = 0;
    if (io->write)
        (void)atomic_cas(&io->error, &none, status);
    else
        page_flag_set(pfn_to_page((pfn_t){v->addr >> PAGE_SHIFT}), PG_ERROR);
}

/* Bytes of the page behind the end of the file are zero, whatever the disk has there. */
static void zero_behind_end(struct vm_object *o, struct page *page)
{
    u64 size = READ_ONCE(o->size), base = page->index << PAGE_SHIFT;
    if (size > base && size - base < PAGE_SIZE)
        memset((u8 *)page_to_virt(page) + (size - base), 0, PAGE_SIZE - (size - base));
}

/* One request is over; the last one finishes the pages. => Any context. */
static void io_put(struct ext2_io *io)
{
    if (atomic_sub(&io->pending, 1) != 0)
        return;
    struct vm_object *o = io->object;
    if (io->error)
        object_set_error(o, io->error);
    for (unsigned i = 0; i < io->count; i++) {
        struct page *page = io->pages[i];
        if (io->write) {
            page_end_writeback(page);
            continue;
        }
        if (!page_flag(page, PG_ERROR)) {
            zero_behind_end(o, page);
            page_flag_set(page, PG_UPTODATE);
        }
        page_unlock(page);
    }
    kfree(io);
}

static void bio_done(struct bio *bio)
{
    struct ext2_bio *eb = container_of(bio, struct ext2_bio, bio);
    struct ext2_io *io = eb->io;
    if (bio->status)
        for (unsigned i = 0; i < bio->vec_count; i++)
            piece_failed(io, &bio->vec[i], bio->status);
    kfree(eb);
    io_put(io);
}

static struct ext2_io *io_create(struct vm_object *o, struct page **pages, unsigned n, bool write)
{
    struct ext2_io *io = kmalloc(sizeof(*io) + n * sizeof(io->pages[0]), PA_RESERVE);
    if (!io)
        return NULL;
    *io = (struct ext2_io){.object = o, .pending = 1, .write = write, .count = n};
    memcpy(io->pages, pages, n * sizeof(io->pages[0]));
    return io;
}

static void submit_current(struct builder *bl)
{
    if (!bl->current)
        return;
    atomic_add_relaxed(&bl->io->pending, 1);
    block_submit(&bl->current->bio);
    bl->current = NULL;
}

/* Starts a request at @sector with room for @capacity segments. False: no memory. */
static bool begin_request(struct builder *bl, u64 sector, unsigned capacity)
{
    submit_current(bl);
    struct ext2_bio *eb = kmalloc(sizeof(*eb) + capacity * sizeof(eb->vec[0]), 0);
    if (!eb)
        return false;
    eb->bio = (struct bio){
        .bdev = bl->fs->bdev,
        .op = bl->io->write ? BIO_WRITE : BIO_READ,
        .sector = sector,
        .vec = eb->vec,
        .done = bio_done,
    };
    eb->io = bl->io;
    eb->capacity = capacity;
    bl->current = eb;
    bl->next_sector = sector;
    return true;
}

static void transfer_now(struct builder *bl, u64 sector, const struct bio_vec *v)
{
    struct bio bio = {
        .bdev = bl->fs->bdev,
        .op = bl->io->write ? BIO_WRITE : BIO_READ,
        .sector = sector,
        .vec = v,
        .vec_count = 1,
    };
    int status = block_submit_wait(&bio);
    if (status)
        piece_failed(bl->io, v, status);
}

/* Adds @len bytes at @addr, to lie at @sector; @pages_left bounds the segments still to come. */
static void add_piece(struct builder *bl, u64 sector, paddr_t addr, u32 len, unsigned pages_left)
{
    struct ext2_bio *eb = bl->current;
    if (!eb || bl->next_sector != sector || eb->bio.vec_count == eb->capacity) {
        if (!begin_request(bl, sector, pages_left)) {
            struct bio_vec one = {addr, len};
            transfer_now(bl, sector, &one);
            return;
        }
        eb = bl->current;
    }
    eb->vec[eb->bio.vec_count++] = (struct bio_vec){addr, len};
    bl->next_sector += len >> SECTOR_SHIFT;
}

/* Adds @count blocks of the file from @lblock on, which lie at @phys on the disk. */
static void add_blocks(struct builder *bl, u64 lblock, u32 phys, u32 count)
{
    struct ext2_io *io = bl->io;
    unsigned shift = PAGE_SHIFT - bl->fs->block_shift; /* blocks per page */
    u64 first = io->pages[0]->index << shift;
    u64 sector = (u64)phys * bl->fs->sectors_per_block;
    while (count) {
        unsigned at = (lblock - first) >> shift;
        u32 in_page = lblock & ((1u << shift) - 1);
        u32 n = MIN(count, (1u << shift) - in_page);
        paddr_t addr = page_to_phys(io->pages[at]) + ((u64)in_page << bl->fs->block_shift);
        add_piece(bl, sector, addr, n << bl->fs->block_shift, io->count - at);
        sector += (u64)n * bl->fs->sectors_per_block;
        lblock += n;
        count -= n;
    }
}

static u8 *block_data(const struct builder *bl, u64 lblock)
{
    struct ext2_io *io = bl->io;
    unsigned shift = PAGE_SHIFT - bl->fs->block_shift;
    u64 i = lblock - (io->pages[0]->index << shift);
    return (u8 *)page_to_virt(io->pages[i >> shift]) +
           ((i & ((1u << shift) - 1)) << bl->fs->block_shift);
}

/* The blocks from @lblock to @end cannot be had. */
static void blocks_failed(struct builder *bl, u64 lblock, u64 end, int status)
{
    for (; lblock < end; lblock++) {
        struct bio_vec v = {direct_to_phys(block_data(bl, lblock)), bl->fs->block_size};
        piece_failed(bl->io, &v, status);
    }
}

static int ext2_read_pages(struct vm_object *o, struct page **pages, unsigned n)
{
    struct ext2_inode *ei = inode_of(o);
    struct ext2_fs *fs = ext2_of(ei->vfs.super);
    unsigned shift = PAGE_SHIFT - fs->block_shift;
    struct builder bl = {.fs = fs, .io = io_create(o, pages, n, false)};
    if (!bl.io)
        return -ENOMEM;
    u64 lblock = pages[0]->index << shift, end = lblock + ((u64)n << shift);
    u64 inside = MIN(end, ext2_size_blocks(fs, READ_ONCE(o->size)));
    while (lblock < end) {
        u32 phys = 0, count = (lblock < inside ? inside : end) - lblock;
        int r = lblock < inside ? ext2_map(ei, lblock, &phys, &count) : 0;
        if (r) {
            blocks_failed(&bl, lblock, end, r);
            break;
        }
        if (phys)
            add_blocks(&bl, lblock, phys, count);
        else
            for (u32 i = 0; i < count; i++)
                memset(block_data(&bl, lblock + i), 0, fs->block_size);
        lblock += count;
    }
    submit_current(&bl);
    io_put(bl.io);
    return 0;
}

static bool is_zero(const u8 *data, u32 n)
{
    const u64 *p = (const u64 *)data;
    for (u32 i = 0; i < n / sizeof(*p); i++)
        if (p[i])
            return false;
    return true;
}

/* Writes the block of a hole if it has contents that belong to the file. */
static void write_hole(struct builder *bl, struct ext2_inode *ei, u64 lblock)
{
    u32 phys, count = 1;
    if (lblock >= ext2_size_blocks(bl->fs, inode_size(&ei->vfs)) ||
        is_zero(block_data(bl, lblock), bl->fs->block_size))
        return;
    int r = ext2_map_alloc(ei, lblock, &phys, &count, NULL);
    if (r)
        blocks_failed(bl, lblock, lblock + 1, r);
    else
        add_blocks(bl, lblock, phys, 1);
}

static int ext2_write_pages(struct vm_object *o, struct page **pages, unsigned n)
{
    struct ext2_inode *ei = inode_of(o);
    struct ext2_fs *fs = ext2_of(ei->vfs.super);
    unsigned shift = PAGE_SHIFT - fs->block_shift;
    struct builder bl = {.fs = fs, .io = io_create(o, pages, n, true)};
    if (!bl.io)
        return -ENOMEM;
    u64 lblock = pages[0]->index << shift, end = lblock + ((u64)n << shift);
    while (lblock < end) {
        u32 phys, count = end - lblock;
        int r = ext2_map(ei, lblock, &phys, &count);
        if (r) {
            blocks_failed(&bl, lblock, end, r);
            break;
        }
        if (phys)
            add_blocks(&bl, lblock, phys, count);
        else
            for (u32 i = 0; i < count; i++)
                write_hole(&bl, ei, lblock + i);
        lblock += count;
    }
    submit_current(&bl);
    io_put(bl.io);
    return 0;
}

static int ext2_reserve(struct vm_object *o, u64 index, unsigned from, unsigned to)
{
    struct ext2_inode *ei = inode_of(o);
    struct ext2_fs *fs = ext2_of(ei->vfs.super);
    u64 lblock = ((index << PAGE_SHIFT) + from) >> fs->block_shift;
    u64 end = ext2_size_blocks(fs, (index << PAGE_SHIFT) + to);
    if (unlikely(ei->vfs.super->error))
        return -EROFS;
    while (lblock < end) {
        u32 phys, count = end - lblock;
        int r = ext2_map_alloc(ei, lblock, &phys, &count, NULL);
        if (r)
            return r;
        lblock += count;
    }
    return 0;
}

static void ext2_object_get(struct vm_object *o)
{
    inode_ref(&inode_of(o)->vfs);
}

static void ext2_object_put(struct vm_object *o)
{
    inode_put(&inode_of(o)->vfs);
}

static void ext2_object_ident(struct vm_object *o, u64 *dev, u64 *ino)
{
    *dev = inode_of(o)->vfs.super->dev;
    *ino = inode_of(o)->vfs.ino;
}

static void ext2_object_name(struct vm_object *o, struct file *f, char *buf, size_t size)
{
    int err = -ENOENT;
    const char *name = f ? path_name(&f->path, buf, size, &err) : NULL;
    if (name)
        memmove(buf, name, strlen(name) + 1);
    else if (size)
        buf[0] = '\0';
}

const struct vm_object_ops ext2_object_ops = {
    .read_pages = ext2_read_pages,
    .write_pages = ext2_write_pages,
    .reserve = ext2_reserve,
    .get = ext2_object_get,
    .put = ext2_object_put,
    .file_get = file_get,
    .file_put = file_put,
    .name = ext2_object_name,
    .ident = ext2_object_ident,
};
