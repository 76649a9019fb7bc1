/*
 * ext2: from a file's block number to the disk's.
 *
 *     data[0..11]   direct blocks
 *     data[12]  --> | pointers |                                  single indirect
 *     data[13]  --> | pointers | --> | pointers |                 double
 *     data[14]  --> | pointers | --> | pointers | --> | pointers | triple
 *
 * A pointer of 0 is a hole, of one block or of all that hangs below it. Under map_lock the tree of
 * an inode does not change. Indirect blocks are looked at one at a time: the pointer is copied out
 * before the next one is read.
 *
 * Filling a hole allocates everything it needs first - missing indirect blocks and data - then
 * fills the new indirect blocks from the leaf upwards and hangs them into the tree with one store.
 * Until that store nothing is visible, and a failure gives the blocks back.
 */
#include "fs/ext2/ext2_priv.h"

#define MAX_DEPTH 4

/* The way to a block: which pointer in the inode, then in each indirect block. */
struct route {
    unsigned depth; /* pointers on the way: 1 is direct */
    u32 index[MAX_DEPTH];
};

/* Where a walk along a route ended. */
struct end {
    unsigned level; /* of the last pointer looked at: depth - 1 unless a level is missing */
    u32 parent;     /* block that holds it; 0: the inode */
    u32 phys;       /* its value, 0: hole from this level down */
    u32 run;        /* blocks from there on that are contiguous, or holes */
};

static struct ext2_fs *fs_of(struct ext2_inode *ei)
{
    return ext2_of(ei->vfs.super);
}

static int route_to(const struct ext2_fs *fs, u64 lblock, struct route *r)
{
    u32 shift = fs->addr_shift, mask = fs->addr_per_block - 1;
    if (lblock < EXT2_NDIR_BLOCKS) {
        r->depth = 1;
        r->index[0] = lblock;
        return 0;
    }
    lblock -= EXT2_NDIR_BLOCKS;
    for (unsigned level = 1; level < MAX_DEPTH; level++) {
        u64 span = 1UL << (shift * level);
        if (lblock < span) {
            r->depth = level + 1;
            r->index[0] = EXT2_IND_BLOCK + level - 1;
            for (unsigned i = 1; i <= level; i++)
                r->index[i] = lblock >> (shift * (level - i)) & mask;
            return 0;
        }
        lblock -= span;
    }
    return -EFBIG;
}

u64 ext2_max_bytes(const struct ext2_fs *fs)
{
    u64 apb = fs->addr_per_block;
    u64 reach = EXT2_NDIR_BLOCKS + apb + apb * apb + apb * apb * apb;
    /* i_blocks has 32 bits and counts 512-byte units, indirect blocks included. */
    u64 units = 0xffffffffUL / fs->sectors_per_block;
    u64 meta = 3 + units / apb + units / (apb * apb) + 2;
    return MIN(reach, units - meta) << fs->block_shift;
}

/* Length of the run at the head of @p: contiguous blocks, or holes. */
static u32 run_length(const u32 *p, u32 max)
{
    u32 n = 1;
    if (p[0] == 0)
        while (n < max && p[n] == 0)
            n++;
    else
        while (n < max && p[n] == p[0] + n)
            n++;
    return n;
}

static int bad_pointer(struct ext2_inode *ei, u32 block)
{
    return ext2_error(fs_of(ei), "inode %lu names block %u, which does not exist", ei->vfs.ino,
                      block);
}

/* Blocks from the route's end to the end of the subtree that is missing below @level. */
static u64 hole_span(const struct ext2_fs *fs, const struct route *r, unsigned level)
{
    u64 left = 0;
    for (unsigned i = level + 1; i < r->depth; i++)
        left = left << fs->addr_shift | (fs->addr_per_block - 1 - r->index[i]);
    return left + 1;
}

/* Follows @r as far as there are blocks. => map_lock. */
static int walk(struct ext2_inode *ei, const struct route *r, u32 want, struct end *e)
{
    struct ext2_fs *fs = fs_of(ei);
    const u32 *p = &ei->data[r->index[0]];
    struct buf *b = NULL;
    e->parent = 0;
    for (e->level = 0;; e->level++) {
        bool leaf = e->level == r->depth - 1;
        u32 room = r->depth == 1 ? EXT2_NDIR_BLOCKS - r->index[0]
                                 : fs->addr_per_block - r->index[e->level];
        e->phys = *p;
        e->run = leaf ? run_length(p, MIN(want, room)) : 1;
        if (b)
            buf_release(b);
        if (e->phys == 0 && !leaf)
            e->run = MIN((u64)want, hole_span(fs, r, e->level));
        if (e->phys == 0)
            return 0;
        if (!ext2_block_in_range(fs, e->phys) || e->run > fs->blocks - e->phys)
            return bad_pointer(ei, e->phys);
        if (leaf)
            return 0;
        int err = ext2_buf_read(fs, e->phys, &b);
        if (err)
            return err;
        p = (u32 *)b->data + r->index[e->level + 1];
        e->parent = e->phys;
    }
}

int ext2_map(struct ext2_inode *ei, u64 lblock, u32 *phys, u32 *count)
{
    struct route r;
    struct end e;
    int err = route_to(fs_of(ei), lblock, &r);
    if (err)
        return err;
    MUTEX_GUARD(&ei->map_lock);
    err = walk(ei, &r, *count, &e);
    if (err)
        return err;
    *phys = e.phys;
    *count = e.run;
    return 0;
}

/* Filling holes. */

/* Where the next block should go: behind the last one, else near the inode. */
static u32 find_goal(struct ext2_inode *ei, u64 lblock, const struct route *r, const struct end *e)
{
    if (ei->last_physical && ei->last_logical + 1 == lblock)
        return ei->last_physical + 1;
    if (r->depth == 1)
        for (u32 i = r->index[0]; i-- > 0;)
            if (ei->data[i])
                return ei->data[i] + 1;
    if (e->parent)
        return e->parent + 1;
    return ext2_ino_goal(fs_of(ei), ei->vfs.ino);
}

/* What a hole is filled with. */
struct filling {
    unsigned missing;   /* indirect blocks */
    u32 ind[MAX_DEPTH]; /* outermost first */
    u32 first, count;   /* data */
};

static void filling_free(struct ext2_fs *fs, const struct filling *f, unsigned missing)
{
    for (unsigned i = 0; i < missing; i++) {
        ext2_buf_forget(fs, f->ind[i]);
        ext2_free_blocks(fs, f->ind[i], 1);
    }
    if (f->count)
        ext2_free_blocks(fs, f->first, f->count);
}

static int filling_alloc(struct ext2_fs *fs, u32 goal, u32 want, struct filling *f)
{
    u32 got;
    f->count = 0;
    for (unsigned i = 0; i < f->missing; i++) {
        int r = ext2_alloc_blocks(fs, goal, 1, &f->ind[i], &got);
        if (r) {
            filling_free(fs, f, i);
            return r;
        }
        goal = f->ind[i] + 1;
    }
    int r = ext2_alloc_blocks(fs, goal, want, &f->first, &f->count);
    if (r) {
        f->count = 0;
        filling_free(fs, f, f->missing);
    }
    return r;
}

static void put_pointers(u32 *p, u32 first, u32 count)
{
    for (u32 i = 0; i < count; i++)
        p[i] = first + i;
}

/* Fills the new indirect blocks; nothing leads to them yet. */
static int fill_indirect(struct ext2_fs *fs, const struct route *r, const struct filling *f)
{
    for (unsigned i = f->missing; i-- > 0;) {
        struct buf *b;
        int err = buf_get(fs->bdev, f->ind[i], fs->block_size, &b);
        if (err)
            return err;
        u32 *p = (u32 *)b->data + r->index[r->depth - f->missing + i];
        if (i == f->missing - 1)
            put_pointers(p, f->first, f->count);
        else
            *p = f->ind[i + 1];
        ext2_buf_dirty(fs, b);
        buf_release(b);
    }
    return 0;
}

/* The one store that makes the filling part of the file. */
static int hang_in(struct ext2_inode *ei, const struct route *r, const struct end *e,
                   const struct filling *f)
{
    u32 first = f->missing ? f->ind[0] : f->first;
    u32 count = f->missing ? 1 : f->count;
    if (e->level == 0) {
        put_pointers(&ei->data[r->index[0]], first, count);
        return 0;
    }
    struct ext2_fs *fs = fs_of(ei);
    struct buf *b;
    int err = ext2_buf_read(fs, e->parent, &b);
    if (err)
        return err;
    put_pointers((u32 *)b->data + r->index[e->level], first, count);
    ext2_buf_dirty(fs, b);
    buf_release(b);
    return 0;
}

static int fill_hole(struct ext2_inode *ei, u64 lblock, const struct route *r, const struct end *e,
                     struct filling *f)
{
    struct ext2_fs *fs = fs_of(ei);
    u32 leaf_room = r->depth == 1 ? EXT2_NDIR_BLOCKS - r->index[0]
                                  : fs->addr_per_block - r->index[r->depth - 1];
    f->missing = r->depth - 1 - e->level;
    int err = filling_alloc(fs, find_goal(ei, lblock, r, e), MIN(e->run, leaf_room), f);
    if (err)
        return err;
    err = fill_indirect(fs, r, f);
    if (err == 0)
        err = hang_in(ei, r, e, f);
    if (err) {
        filling_free(fs, f, f->missing);
        return err;
    }
    ei->last_logical = lblock + f->count - 1;
    ei->last_physical = f->first + f->count - 1;
    atomic_add(&ei->vfs.blocks, (u64)(f->missing + f->count) * fs->sectors_per_block);
    inode_mark_dirty(&ei->vfs);
    return 0;
}

int ext2_map_alloc(struct ext2_inode *ei, u64 lblock, u32 *phys, u32 *count, bool *fresh)
{
    struct route r;
    struct end e;
    struct filling f;
    int err = route_to(fs_of(ei), lblock, &r);
    if (err)
        return err;
    MUTEX_GUARD(&ei->map_lock);
    err = walk(ei, &r, *count, &e);
    if (err)
        return err;
    if (fresh)
        *fresh = e.phys == 0;
    if (e.phys) {
        *phys = e.phys;
        *count = e.run;
        return 0;
    }
    err = fill_hole(ei, lblock, &r, &e, &f);
    if (err)
        return err;
    *phys = f.first;
    *count = f.count;
    return 0;
}

/* Truncation. */

/* Blocks to free, gathered while they are neighbours. */
struct gather {
    struct ext2_inode *ei;
    u32 first, count;
};

static void gather_flush(struct gather *g)
{
    struct ext2_fs *fs = fs_of(g->ei);
    if (!g->count)
        return;
    if (!S_ISTYPE(&g->ei->vfs, S_IFREG)) /* directories and symbolic links live in buffers */
        for (u32 i = 0; i < g->count; i++)
            ext2_buf_forget(fs, g->first + i);
    ext2_free_blocks(fs, g->first, g->count);
    atomic_sub(&g->ei->vfs.blocks, MIN(g->ei->vfs.blocks, (u64)g->count * fs->sectors_per_block));
    g->count = 0;
}

static void gather_add(struct gather *g, u32 block)
{
    if (!ext2_block_in_range(fs_of(g->ei), block)) {
        bad_pointer(g->ei, block);
        return;
    }
    if (g->count && block == g->first + g->count) {
        g->count++;
        return;
    }
    gather_flush(g);
    g->first = block;
    g->count = 1;
}

#define CHUNK 32 /* pointers copied out of an indirect block at a time */

/* Copies pointers [@i, @i + @n) of an indirect block out, zeroing those at and behind @zero. */
static int take_pointers(struct ext2_fs *fs, u32 block, u32 i, u32 n, u32 zero, u32 *out)
{
    struct buf *b;
    int r = ext2_buf_read(fs, block, &b);
    if (r)
        return r;
    u32 *p = (u32 *)b->data + i;
    memcpy(out, p, n * sizeof(*out));
    if (zero < i + n) {
        u32 keep = zero > i ? zero - i : 0;
        memset(p + keep, 0, (n - keep) * sizeof(*p));
        ext2_buf_dirty(fs, b);
    }
    buf_release(b);
    return 0;
}

/* Frees what lies at and behind relative block @from below indirect block @block of @level (1:
 * single), and the block itself when @from is 0. Gives up at the first sign of damage: in a tree
 * whose pointers go round there would be billions to follow. */
static void free_branch(struct gather *g, u32 block, unsigned level, u64 from)
{
    struct ext2_fs *fs = fs_of(g->ei);
    if (!ext2_block_in_range(fs, block)) {
        bad_pointer(g->ei, block);
        return;
    }
    unsigned shift = fs->addr_shift * (level - 1);
    u32 first = from >> shift;
    u64 rest = from & ((1UL << shift) - 1); /* to keep of the first branch */
    u32 zero = from == 0 ? ~0u : first + (rest != 0);
    u32 p[CHUNK];
    for (u32 i = first; i < fs->addr_per_block && !fs->sb->error; i += CHUNK) {
        u32 n = MIN((u32)CHUNK, fs->addr_per_block - i);
        if (take_pointers(fs, block, i, n, zero, p) != 0) {
            ext2_error(fs, "inode %lu: indirect block %u cannot be read", g->ei->vfs.ino, block);
            break;
        }
        for (u32 k = 0; k < n; k++) {
            if (p[k] && level == 1)
                gather_add(g, p[k]);
            else if (p[k])
                free_branch(g, p[k], level - 1, i + k == first ? rest : 0);
        }
    }
    if (from == 0) {
        gather_flush(g);
        ext2_buf_forget(fs, block);
        gather_add(g, block);
    }
}

void ext2_map_truncate(struct ext2_inode *ei, u64 lblock)
{
    struct ext2_fs *fs = fs_of(ei);
    struct gather g = {.ei = ei};
    MUTEX_GUARD(&ei->map_lock);
    for (u64 i = lblock; i < EXT2_NDIR_BLOCKS; i++) {
        if (ei->data[i])
            gather_add(&g, ei->data[i]);
        ei->data[i] = 0;
    }
    u64 base = EXT2_NDIR_BLOCKS;
    for (unsigned level = 1; level < MAX_DEPTH; level++) {
        u64 span = 1UL << (fs->addr_shift * level);
        u32 *root = &ei->data[EXT2_IND_BLOCK + level - 1];
        u64 from = lblock > base ? lblock - base : 0;
        base += span;
        if (*root == 0 || from >= span)
            continue;
        free_branch(&g, *root, level, from);
        if (from == 0)
            *root = 0;
    }
    gather_flush(&g);
    ei->last_physical = 0;
    inode_mark_dirty(&ei->vfs);
}
