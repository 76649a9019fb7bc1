/*
 * ext2 over images that mke2fs made, in memory: random operations against a model of the tree, with
 * unmounts in between, after each of which e2fsck -fn must find nothing to say and everything must
 * read back as the model has it. The images are full of 0xee before mke2fs, so stale blocks show.
 * And: damaged images give errors, never more.
 */
#include "ext2_host.h"

/* --- the model --- */

#define NODES   400
#define ENTRIES 400
#define DIRS    12

struct node {
    u32 type; /* S_IF*, 0: free */
    u32 ino;
    int nlink; /* files; directories: subdirectories + 2 */
    u64 size;
    u8 *data; /* size bytes; a link's target */
};
struct entry {
    int dir, node; /* numbers of nodes; node 0: free (the root is no entry) */
    char name[EXT2_NAME_MAX + 1];
};
static struct node nodes[NODES];
static struct entry entries[ENTRIES];

static struct inode *open_node(int n)
{
    struct inode *inode;
    assert_int_equal(ext2_iget(sb, nodes[n].ino, &inode), 0);
    return inode;
}

static int free_node(void)
{
    for (int i = 1; i < NODES; i++)
        if (!nodes[i].type)
            return i;
    return 0;
}

static struct entry *free_entry(void)
{
    for (int i = 0; i < ENTRIES; i++)
        if (!entries[i].node)
            return &entries[i];
    return NULL;
}

/* A random entry of @type (0: any), or NULL. */
static struct entry *pick_entry(u32 want)
{
    for (int tries = 0; tries < 60; tries++) {
        struct entry *e = &entries[random_below(ENTRIES)];
        if (e->node && (!want || nodes[e->node].type == want))
            return e;
    }
    return NULL;
}

static int pick_dir(void)
{
    struct entry *e = random_chance(40) ? NULL : pick_entry(S_IFDIR);
    return e ? e->node : 0;
}

static void random_name(char *name)
{
    static u64 serial;
    size_t len = random_chance(10) ? 200 + random_below(56) : 8 + random_below(30);
    int n = snprintf(name, EXT2_NAME_MAX + 1, "%lx-", ++serial);
    for (size_t i = n; i < len; i++)
        name[i] = 'a' + random_below(26);
    name[len] = '\0';
}

static void model_add(int dir, const char *name, int n)
{
    struct entry *e = free_entry();
    e->dir = dir;
    e->node = n;
    strcpy(e->name, name);
}

static int model_new(u32 ftype, struct inode *inode)
{
    int n = free_node();
    nodes[n] = (struct node){.type = ftype, .ino = inode->ino, .nlink = ftype == S_IFDIR ? 2 : 1};
    return n;
}

static void model_unlink(struct entry *e)
{
    struct node *n = &nodes[e->node];
    e->node = 0;
    if (n->type == S_IFDIR || --n->nlink == 0) {
        free(n->data);
        *n = (struct node){0};
    }
}

static bool node_empty(int n)
{
    for (int i = 0; i < ENTRIES; i++)
        if (entries[i].node && entries[i].dir == n)
            return false;
    return true;
}

static void model_resize(struct node *n, u64 size)
{
    n->data = realloc(n->data, size + 1);
    if (size > n->size)
        memset(n->data + n->size, 0, size - n->size);
    n->size = size;
}

/* --- operations --- */

static void op_create(void)
{
    char name[EXT2_NAME_MAX + 1];
    int dir = pick_dir();
    struct inode *d = open_node(dir), *inode = NULL;
    random_name(name);
    size_t len = strlen(name);
    unsigned kind = random_below(12);
    if (!free_node() || !free_entry()) {
        inode_put(d);
        return;
    }
    if (kind < 7) {
        int r = d->ops->create(d, name, len, 0644, &inode);
        if (r != -ENOSPC) {
            assert_int_equal(r, 0);
            model_add(dir, name, model_new(S_IFREG, inode));
        }
    } else if (kind < 9) {
        int r = d->ops->mkdir(d, name, len, 0755, &inode);
        if (r != -ENOSPC) {
            assert_int_equal(r, 0);
            nodes[dir].nlink++;
            model_add(dir, name, model_new(S_IFDIR, inode));
        }
    } else if (kind < 11) {
        char target[1200];
        size_t n = random_chance(50) ? 1 + random_below(59) : 60 + random_below(900);
        memset(target, 'x', n);
        target[n] = '\0';
        int r = d->ops->symlink(d, name, len, target, &inode);
        if (r != -ENOSPC) {
            assert_int_equal(r, 0);
            int m = model_new(S_IFLNK, inode);
            model_resize(&nodes[m], n);
            memcpy(nodes[m].data, target, n);
            model_add(dir, name, m);
        }
    } else {
        int r = d->ops->mknod(d, name, len, S_IFCHR | 0600, random_chance(50) ? 0x103 : 0x12345678,
                              &inode);
        if (r != -ENOSPC) {
            assert_int_equal(r, 0);
            int m = model_new(S_IFCHR, inode);
            nodes[m].size = inode->rdev; /* sizes of devices mean their number */
            model_add(dir, name, m);
        }
    }
    if (inode)
        inode_put(inode);
    inode_put(d);
}

static void op_write(void)
{
    struct entry *e = pick_entry(S_IFREG);
    if (!e)
        return;
    struct node *n = &nodes[e->node];
    struct inode *inode = open_node(e->node);
    u64 pos = random_below(random_chance(80) ? 20000 : 700000), count = 1 + random_below(9000);
    u8 *data = malloc(count);
    memset(data, (int)random_below(255) + 1, count);
    if (pos > n->size)
        assert_int_equal(inode_clear_tail(inode), 0);
    struct uio_vec v = {(u64)data, count};
    struct uio u = {.vec = &v, .count = 1, .resid = count, .kernel = true};
    loff_t at = pos;
    ssize_t done = cached_write(&inode->object, &u, &at, sb->max_bytes);
    assert_true(done > 0 || done == -ENOSPC);
    if (done > 0) {
        inode_mark_dirty(inode);
        if (pos + done > n->size)
            model_resize(n, pos + done);
        memcpy(n->data + pos, data, done);
    }
    free(data);
    inode_put(inode);
}

static void op_truncate(void)
{
    struct entry *e = pick_entry(S_IFREG);
    if (!e)
        return;
    struct node *n = &nodes[e->node];
    struct inode *inode = open_node(e->node);
    u64 size = random_below(random_chance(60) ? n->size + 1 : 400000);
    struct inode_attr a = {.valid = ATTR_SIZE, .size = size};
    if (size > n->size)
        assert_int_equal(inode_clear_tail(inode), 0);
    assert_int_equal(inode->ops->setattr(inode, &a), 0);
    model_resize(n, size);
    inode_put(inode);
}

static void op_remove(void)
{
    struct entry *e = pick_entry(0);
    if (!e)
        return;
    struct inode *d = open_node(e->dir), *victim = open_node(e->node);
    size_t len = strlen(e->name);
    if (nodes[e->node].type == S_IFDIR) {
        int r = d->ops->rmdir(d, e->name, len, victim);
        assert_int_equal(r, node_empty(e->node) ? 0 : -ENOTEMPTY);
        if (r == 0) {
            nodes[e->dir].nlink--;
            model_unlink(e);
        }
    } else {
        assert_int_equal(d->ops->unlink(d, e->name, len, victim), 0);
        model_unlink(e);
    }
    inode_put(victim);
    inode_put(d);
}

static void op_link(void)
{
    struct entry *e = pick_entry(S_IFREG);
    char name[EXT2_NAME_MAX + 1];
    if (!e || !free_entry())
        return;
    int dir = pick_dir();
    struct inode *d = open_node(dir), *target = open_node(e->node);
    random_name(name);
    int r = d->ops->link(d, name, strlen(name), target);
    if (r == 0) {
        nodes[e->node].nlink++;
        model_add(dir, name, e->node);
    } else {
        assert_int_equal(r, -ENOSPC);
    }
    inode_put(target);
    inode_put(d);
}

static int parent_of(int n)
{
    for (int i = 0; n && i < ENTRIES; i++)
        if (entries[i].node == n)
            return entries[i].dir;
    return 0;
}

static bool is_below(int n, int ancestor)
{
    for (; n; n = parent_of(n))
        if (n == ancestor)
            return true;
    return ancestor == 0;
}

static void move_dir_link(int from, int to)
{
    nodes[from].nlink--;
    nodes[to].nlink++;
}

static void op_rename(void)
{
    struct entry *e = pick_entry(0), *over = random_chance(50) ? pick_entry(0) : NULL;
    char name[EXT2_NAME_MAX + 1];
    if (!e || e == over)
        return;
    int dir = over ? over->dir : pick_dir();
    bool is_dir = nodes[e->node].type == S_IFDIR;
    bool over_dir = over && nodes[over->node].type == S_IFDIR;
    bool swap = over && random_chance(30);
    if (is_dir && is_below(dir, e->node))
        return;
    if (over && (over->node == e->node || (over_dir && is_below(e->dir, over->node))))
        return;
    if (over && !swap && is_dir != over_dir)
        return;
    random_name(name);
    if (over)
        strcpy(name, over->name);
    struct inode *od = open_node(e->dir), *nd = open_node(dir), *moved = open_node(e->node);
    struct inode *victim = over ? open_node(over->node) : NULL;
    int r =
        od->ops->rename(od, e->name, strlen(e->name), moved, nd, name, strlen(name), victim, swap);
    if (swap) {
        assert_int_equal(r, 0);
        if (is_dir)
            move_dir_link(e->dir, dir);
        if (over_dir)
            move_dir_link(dir, e->dir);
        int t = e->node;
        e->node = over->node;
        over->node = t;
    } else if (over_dir && !node_empty(over->node)) {
        assert_int_equal(r, -ENOTEMPTY);
    } else if (r != -ENOSPC) {
        assert_int_equal(r, 0);
        if (over_dir)
            nodes[dir].nlink--;
        if (over)
            model_unlink(over);
        if (is_dir)
            move_dir_link(e->dir, dir);
        e->dir = dir;
        strcpy(e->name, name);
    }
    if (victim)
        inode_put(victim);
    inode_put(moved);
    inode_put(nd);
    inode_put(od);
}

/* --- comparing --- */

static void check_node(int n)
{
    struct node *m = &nodes[n];
    struct inode *inode = open_node(n);
    assert_int_equal(inode->mode & S_IFMT, m->type);
    assert_int_equal(inode->nlink, m->nlink);
    if (m->type == S_IFCHR)
        assert_int_equal(inode->rdev, m->size);
    if (m->type == S_IFLNK) {
        char text[4096];
        assert_int_equal(inode->ops->readlink(inode, text, sizeof(text)), m->size);
        assert_memory_equal(text, m->data, m->size);
    }
    if (m->type == S_IFREG) {
        struct readahead ra;
        readahead_init(&ra);
        assert_int_equal(inode_size(inode), m->size);
        u8 *data = malloc(m->size + 1);
        struct uio_vec v = {(u64)data, m->size};
        struct uio u = {.vec = &v, .count = 1, .resid = m->size, .kernel = true};
        loff_t pos = 0;
        assert_int_equal(cached_read(&inode->object, &ra, &u, &pos), m->size);
        if (m->size)
            assert_memory_equal(data, m->data, m->size);
        free(data);
    }
    inode_put(inode);
}

struct collect {
    struct dir_context ctx;
    int dir;
    unsigned seen, room;
};

static bool emit(struct dir_context *ctx, const char *name, size_t len, u64 ino, unsigned d_type)
{
    struct collect *c = container_of(ctx, struct collect, ctx);
    if (c->room == 0)
        return false;
    c->room--;
    if (name[0] == '.') {
        if (len == 2)
            assert_int_equal(ino, nodes[parent_of(c->dir)].ino);
        else
            assert_int_equal(ino, nodes[c->dir].ino);
        return true;
    }
    for (int i = 0; i < ENTRIES; i++) {
        struct entry *e = &entries[i];
        if (e->node && e->dir == c->dir && strlen(e->name) == len &&
            memcmp(e->name, name, len) == 0) {
            assert_int_equal(nodes[e->node].ino, ino);
            assert_true(d_type == 0 || d_type == nodes[e->node].type >> 12);
            c->seen++;
            return true;
        }
    }
    fail_msg("unknown name %.*s", (int)len, name);
    return false;
}

static void check_dir(int n)
{
    struct inode *dir = open_node(n);
    struct file f = {.inode = dir};
    struct collect c = {.ctx = {.emit = emit}, .dir = n};
    unsigned count = 0;
    for (loff_t last = -1; c.ctx.pos != last;) {
        last = c.ctx.pos;
        c.room = 1 + random_below(20);
        assert_int_equal(dir->file_ops->readdir(&f, &c.ctx), 0);
    }
    for (int i = 0; i < ENTRIES; i++)
        if (entries[i].node && entries[i].dir == n) {
            struct inode *found;
            struct entry *e = &entries[i];
            assert_int_equal(dir->ops->lookup(dir, e->name, strlen(e->name), &found), 0);
            assert_non_null(found);
            assert_int_equal(found->ino, nodes[e->node].ino);
            inode_put(found);
            count++;
        }
    assert_int_equal(c.seen, count);
    inode_put(dir);
}

static void check_all(void)
{
    for (int n = 0; n < NODES; n++) {
        if (nodes[n].type)
            check_node(n);
        if (nodes[n].type == S_IFDIR)
            check_dir(n);
    }
}

static void remount(void)
{
    unmount();
    fsck();
    assert_int_equal(try_mount(false), 0);
}

static void random_op(void)
{
    u64 k = random_below(100);
    if (k < 30)
        op_create();
    else if (k < 60)
        op_write();
    else if (k < 70)
        op_truncate();
    else if (k < 82)
        op_remove();
    else if (k < 88)
        op_link();
    else
        op_rename();
    if (random_chance(3)) {
        sync_files();
        assert_int_equal(sb->ops->sync(sb, true), 0);
    }
    if (random_chance(3)) /* the cache must not be what answers */
        for (int i = 1; i < NODES; i++)
            if (nodes[i].type == S_IFREG) {
                struct inode *inode = open_node(i);
                object_drop_clean(&inode->object, 0, ~0UL);
                inode_put(inode);
            }
}

static void run_random(const char *name, const char *options, u64 kib, unsigned rounds)
{
    random_start(name);
    make_image(options, kib);
    assert_int_equal(try_mount(false), 0);
    memset(entries, 0, sizeof(entries));
    memset(nodes, 0, sizeof(nodes));
    /* the root, and lost+found is not in the model: remove it */
    nodes[0] = (struct node){.type = S_IFDIR, .ino = EXT2_ROOT_INO, .nlink = 2};
    struct inode *root = open_node(0), *lost;
    assert_int_equal(root->ops->lookup(root, "lost+found", 10, &lost), 0);
    assert_int_equal(root->ops->rmdir(root, "lost+found", 10, lost), 0);
    inode_put(lost);
    inode_put(root);
    for (unsigned round = 0; round < rounds; round++) {
        for (int i = 0; i < 400; i++)
            random_op();
        check_all();
        remount();
        check_all();
    }
    unmount();
    fsck();
    for (int i = 0; i < NODES; i++)
        free(nodes[i].data);
    free(disk);
}

static void test_1k(void **state)
{
    run_random("ext2_1k", "-b 1024", 32768, 6);
}
static void test_2k_small_inode(void **state)
{
    run_random("ext2_2k", "-b 2048 -I 128", 32768, 6);
}
static void test_4k(void **state)
{
    run_random("ext2_4k", "-b 4096 -I 256", 65536, 6);
}
static void test_old(void **state)
{
    run_random("ext2_old", "-b 1024 -r 0", 32768, 4);
}
static void test_no_filetype(void **state)
{
    run_random("ext2_nft", "-b 1024 -O ^filetype,^sparse_super,^resize_inode", 32768, 4);
}
static void test_full(void **state)
{
    run_random("ext2_full", "-b 1024 -N 128", 3000, 8);
}
static void test_small_groups(void **state)
{
    run_random("ext2_groups", "-b 1024 -g 1024", 20000, 6);
}

/* Blocks at the ends of every level of the map; and that they are all freed. */
static void test_sparse(void **state)
{
    random_start("ext2_sparse");
    make_image("-b 1024", 16384);
    assert_int_equal(try_mount(false), 0);
    struct inode *root, *inode;
    assert_int_equal(ext2_iget(sb, EXT2_ROOT_INO, &root), 0);
    u64 before = ext2_of(sb)->free_blocks;
    assert_int_equal(root->ops->create(root, "sparse", 6, 0600, &inode), 0);
    static const u64 blocks[] = {0, 11, 12, 267, 268, 65803, 65804, 131340, 16843019};
    u8 byte = 7, data[1024];
    for (unsigned i = 0; i < ARRAY_SIZE(blocks); i++) {
        struct uio_vec v = {(u64)&byte, 1};
        struct uio u = {.vec = &v, .count = 1, .resid = 1, .kernel = true};
        loff_t pos = blocks[i] << 10;
        assert_int_equal(inode_clear_tail(inode), 0);
        assert_int_equal(cached_write(&inode->object, &u, &pos, sb->max_bytes), 1);
        inode_mark_dirty(inode);
    }
    inode_put(inode);
    inode_put(root);
    remount();
    assert_int_equal(ext2_iget(sb, EXT2_ROOT_INO, &root), 0);
    assert_int_equal(root->ops->lookup(root, "sparse", 6, &inode), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(blocks); i++) {
        struct uio_vec v = {(u64)data, 1};
        struct uio u = {.vec = &v, .count = 1, .resid = 1, .kernel = true};
        loff_t pos = blocks[i] << 10;
        assert_int_equal(cached_read(&inode->object, NULL, &u, &pos), 1);
        assert_int_equal(data[0], 7);
    }
    for (unsigned i = ARRAY_SIZE(blocks); i-- > 0;) {
        struct inode_attr a = {.valid = ATTR_SIZE, .size = (blocks[i] << 10) + random_below(2)};
        assert_int_equal(inode->ops->setattr(inode, &a), 0);
    }
    assert_int_equal(root->ops->unlink(root, "sparse", 6, inode), 0);
    inode_put(inode);
    assert_int_equal(ext2_of(sb)->free_blocks, before);
    inode_put(root);
    unmount();
    fsck();
    free(disk);
}

static void remount_with(struct inode **root, struct inode **dir)
{
    inode_put(*dir);
    inode_put(*root);
    remount();
    assert_int_equal(ext2_iget(sb, EXT2_ROOT_INO, root), 0);
    assert_int_equal((*root)->ops->lookup(*root, "d", 1, dir), 0);
    assert_non_null(*dir);
}

/* e2fsck -D gives directory "d" a hash index: names are found; a new one voids the index. */
static void use_indexed(void)
{
    char command[256];
    struct inode *root, *inode, *dir;
    snprintf(command, sizeof(command), "e2fsck -fyD %s >/dev/null 2>&1; test $? -le 1", image_path);
    assert_int_equal(system(command), 0);
    load_image();
    assert_int_equal(try_mount(false), 0);
    assert_int_equal(ext2_iget(sb, EXT2_ROOT_INO, &root), 0);
    assert_int_equal(root->ops->lookup(root, "d", 1, &dir), 0);
    assert_true(ext2_i(dir)->flags & EXT2_FL_INDEX);
    char name[32];
    unsigned found = 0;
    for (int i = 0; i < 5000; i++) {
        int n = snprintf(name, sizeof(name), "file-%d", i);
        assert_int_equal(dir->ops->lookup(dir, name, n, &inode), 0);
        if (inode && found++ % 2)
            assert_int_equal(dir->ops->unlink(dir, name, n, inode), 0);
        if (inode)
            inode_put(inode);
    }
    assert_true(found > 1000);
    assert_true(ext2_i(dir)->flags & EXT2_FL_INDEX);
    remount_with(&root, &dir);
    for (int i = 0; i < 1000; i++) {
        int n = snprintf(name, sizeof(name), "more-%d", i);
        assert_int_equal(dir->ops->create(dir, name, n, 0644, &inode), 0);
        inode_put(inode);
    }
    assert_false(ext2_i(dir)->flags & EXT2_FL_INDEX);
    remount_with(&root, &dir);
    inode_put(dir);
    inode_put(root);
    unmount();
}

static void test_many_entries(void **state)
{
    random_start("ext2_many");
    make_image("-b 1024 -N 6000", 16384);
    assert_int_equal(try_mount(false), 0);
    struct inode *root, *inode, *dir;
    char name[32];
    assert_int_equal(ext2_iget(sb, EXT2_ROOT_INO, &root), 0);
    assert_int_equal(root->ops->mkdir(root, "d", 1, 0755, &dir), 0);
    for (int i = 0; i < 5000; i++) {
        int n = snprintf(name, sizeof(name), "file-%d", i);
        assert_int_equal(dir->ops->create(dir, name, n, 0644, &inode), 0);
        inode_put(inode);
    }
    for (int i = 0; i < 5000; i += 1 + random_below(3)) {
        int n = snprintf(name, sizeof(name), "file-%d", i);
        assert_int_equal(dir->ops->lookup(dir, name, n, &inode), 0);
        assert_non_null(inode);
        assert_int_equal(dir->ops->unlink(dir, name, n, inode), 0);
        inode_put(inode);
    }
    inode_put(dir);
    inode_put(root);
    unmount();
    fsck();
    use_indexed();
    free(disk);
}

/* Walks everything, changes a few things; only the absence of harm is checked. */
static bool count_emit(struct dir_context *ctx, const char *name, size_t len, u64 ino, unsigned t)
{
    return true;
}

static void poke(u32 ino)
{
    struct inode *inode, *child;
    if (ext2_iget(sb, ino, &inode) != 0)
        return;
    if (S_ISTYPE(inode, S_IFDIR)) {
        struct file f = {.inode = inode};
        struct dir_context ctx = {.emit = count_emit};
        (void)inode->file_ops->readdir(&f, &ctx);
        if (!sb->read_only && inode->ops->create(inode, "poke", 4, 0644, &child) == 0)
            inode_put(child);
    } else if (S_ISTYPE(inode, S_IFREG)) {
        u8 data[64];
        struct uio_vec v = {(u64)data, sizeof(data)};
        struct uio u = {.vec = &v, .count = 1, .resid = sizeof(data), .kernel = true};
        loff_t pos = random_below(inode_size(inode) + 1);
        (void)cached_read(&inode->object, NULL, &u, &pos);
        struct inode_attr a = {.valid = ATTR_SIZE, .size = random_below(inode_size(inode) + 1)};
        if (!sb->read_only)
            (void)inode->ops->setattr(inode, &a);
    } else if (S_ISTYPE(inode, S_IFLNK)) {
        char text[4096];
        (void)inode->ops->readlink(inode, text, sizeof(text));
    }
    inode_put(inode);
}

static void test_damaged(void **state)
{
    random_start("ext2_damaged");
    make_image("-b 1024", 4096);
    assert_int_equal(try_mount(false), 0);
    memset(entries, 0, sizeof(entries));
    memset(nodes, 0, sizeof(nodes));
    nodes[0] = (struct node){.type = S_IFDIR, .ino = EXT2_ROOT_INO, .nlink = 2};
    for (int i = 0; i < 300; i++)
        random_chance(50) ? op_create() : op_write();
    unmount();
    for (int i = 0; i < NODES; i++)
        free(nodes[i].data);
    u8 *good = malloc(disk_bytes);
    memcpy(good, disk, disk_bytes);
    for (int round = 0; round < 1500; round++) {
        memcpy(disk, good, disk_bytes);
        u64 span = round % 3 == 0 ? 2048 : round % 3 == 1 ? 400 << 10 : disk_bytes;
        u64 from = round % 3 == 0 ? 1024 : 0;
        for (int k = 1 + random_below(30); k > 0; k--) {
            u64 at = from + random_below((span - 4) / 4) * 4;
            u32 value = random_chance(50) ? random_magnitude() : random_below(4200);
            memcpy(disk + at, &value, 1 + random_below(4));
        }
        if (try_mount(random_chance(20)) != 0)
            continue;
        for (int i = 0; i < NODES; i++)
            if (nodes[i].type)
                poke(nodes[i].ino);
        unmount();
    }
    free(good);
    free(disk);
}

/* Every request fails once: errors, no panic, nothing left locked. */
static void test_io_errors(void **state)
{
    random_start("ext2_io_errors");
    make_image("-b 1024", 4096);
    u8 *good = malloc(disk_bytes);
    memcpy(good, disk, disk_bytes);
    for (u64 n = 1; n < 60; n++) {
        memcpy(disk, good, disk_bytes);
        fail_in = n;
        if (try_mount(false) == 0) {
            struct inode *root, *inode;
            if (ext2_iget(sb, EXT2_ROOT_INO, &root) == 0) {
                if (root->ops->create(root, "a", 1, 0644, &inode) == 0)
                    inode_put(inode);
                inode_put(root);
            }
            poke(EXT2_ROOT_INO);
            poke(EXT2_GOOD_FIRST_INO);
            unmount();
        }
        fail_in = 0;
    }
    free(good);
    free(disk);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(test_1k),           cmocka_unit_test(test_2k_small_inode),
        cmocka_unit_test(test_4k),           cmocka_unit_test(test_old),
        cmocka_unit_test(test_no_filetype),  cmocka_unit_test(test_full),
        cmocka_unit_test(test_small_groups), cmocka_unit_test(test_sparse),
        cmocka_unit_test(test_many_entries), cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_io_errors),
    };
    host_init(1);
    host_memory_create(RAM_BYTES);
    page_init(ram, ARRAY_SIZE(ram), NULL, 0);
    slab_init();
    inode_cache_init();
    buf_init();
    ext2_init();
    snprintf(image_path, sizeof(image_path), "/tmp/quire-ext2-%d.img", (int)getpid());
    int r = RUN_TESTS("ext2", tests);
    unlink(image_path);
    return r;
}
