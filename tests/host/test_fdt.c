/*
 * The devicetree reader: against trees built here from a model, against facts about QEMU's own tree
 * (made at test time, QUIRE_TEST_DTB), and with random damage to both. Every blob lies in a buffer
 * of exactly the size its header claims, so the sanitizer sees any access outside.
 */
#include "test.h"

#include <errno.h>

#include "lib/fdt.h"

#define MAX_NODES 60
#define MAX_BLOB  (64 * 1024)

enum { BEGIN_NODE = 1, END_NODE = 2, PROP = 3, NOP = 4, END = 9 };

/* --- a writer --- */

struct blob {
    u8 structure[MAX_BLOB], strings[4096], rsvmap[256];
    size_t structure_n, strings_n, rsvmap_n;
};

static void put_be32(u8 *p, u32 v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = v >> (24 - 8 * i);
}

static void put_be64(u8 *p, u64 v)
{
    put_be32(p, v >> 32);
    put_be32(p + 4, v);
}

static void put_token(struct blob *b, u32 v)
{
    put_be32(b->structure + b->structure_n, v);
    b->structure_n += 4;
}

static void put_bytes(struct blob *b, const void *data, size_t n)
{
    memcpy(b->structure + b->structure_n, data, n);
    b->structure_n += n;
    while (b->structure_n % 4)
        b->structure[b->structure_n++] = 0;
}

static void put_prop(struct blob *b, const char *name, const void *value, u32 len)
{
    put_token(b, PROP);
    put_token(b, len);
    put_token(b, b->strings_n);
    strcpy((char *)b->strings + b->strings_n, name);
    b->strings_n += strlen(name) + 1;
    put_bytes(b, value, len);
}

static void put_prop_cells(struct blob *b, const char *name, const u32 *cells, unsigned n)
{
    u8 value[64];

    for (unsigned i = 0; i < n; i++)
        put_be32(value + 4 * i, cells[i]);
    put_prop(b, name, value, 4 * n);
}

static void put_prop_u32(struct blob *b, const char *name, u32 v)
{
    put_prop_cells(b, name, &v, 1);
}

static void put_reserved(struct blob *b, u64 addr, u64 size)
{
    put_be64(b->rsvmap + b->rsvmap_n, addr);
    put_be64(b->rsvmap + b->rsvmap_n + 8, size);
    b->rsvmap_n += 16;
}

static void begin_node(struct blob *b, const char *name)
{
    put_token(b, BEGIN_NODE);
    put_bytes(b, name, strlen(name) + 1);
}

/* The blob in memory of exactly its size. => Freed by the caller. */
static u8 *finish(struct blob *b, size_t *size)
{
    size_t rsvmap = 40, structure = rsvmap + b->rsvmap_n, strings = structure + b->structure_n;

    *size = strings + b->strings_n;
    u8 *p = malloc(*size);
    const u32 header[10] = {0xd00dfeed, *size, structure, strings,      rsvmap,
                            17,         16,    0,         b->strings_n, b->structure_n};
    for (unsigned i = 0; i < 10; i++)
        put_be32(p + 4 * i, header[i]);
    memcpy(p + rsvmap, b->rsvmap, b->rsvmap_n);
    memcpy(p + structure, b->structure, b->structure_n);
    memcpy(p + strings, b->strings, b->strings_n);
    return p;
}

/* --- random trees --- */

struct model_node {
    char name[16];
    int parent;
    u32 offset; /* of its BEGIN_NODE */
    u32 id;     /* value of its "id" property and its phandle */
    bool disabled;
    char compatible[32];
    size_t compatible_len;
};

/* In depth-first order: a node's subtree follows it. */
static struct model_node nodes[MAX_NODES];
static int nr_nodes;

static void maybe_nop(struct blob *b)
{
    if (random_chance(15))
        put_token(b, NOP);
}

static void build_node(struct blob *b, int parent, unsigned depth)
{
    int self = nr_nodes++;
    struct model_node *n = &nodes[self];

    *n = (struct model_node){.parent = parent, .offset = b->structure_n, .id = 1000 + self};
    if (parent >= 0)
        snprintf(n->name, sizeof(n->name), "n%u@%x", (unsigned)random_below(3), self);
    begin_node(b, n->name);
    maybe_nop(b);
    put_prop_u32(b, "id", n->id);
    put_prop_u32(b, random_chance(50) ? "phandle" : "linux,phandle", n->id);
    maybe_nop(b);
    n->disabled = random_chance(30);
    if (n->disabled)
        put_prop(b, "status", "disabled", 9);
    else if (random_chance(33))
        put_prop(b, "status", "okay", 5);
    else if (random_chance(50))
        put_prop(b, "status", "ok", 3);
    unsigned nr = random_below(3);
    for (unsigned i = 0; i < nr; i++)
        n->compatible_len += 1 + snprintf(n->compatible + n->compatible_len, 10, "dev,%u",
                                          (unsigned)random_below(20));
    put_prop(b, "compatible", n->compatible, n->compatible_len);
    while (nr_nodes < MAX_NODES && depth < 12 && random_chance(depth ? 55 : 90)) {
        build_node(b, self, depth + 1);
        maybe_nop(b);
    }
    put_token(b, END_NODE);
}

static u8 *build_tree(size_t *size, unsigned nr_reserved)
{
    static struct blob b;

    b = (struct blob){};
    nr_nodes = 0;
    for (unsigned i = 0; i < nr_reserved; i++)
        put_reserved(&b, 0x80000000UL + i * 0x1000, 0x1000 * (i + 1));
    put_reserved(&b, 0, 0);
    build_node(&b, -1, 0);
    put_token(&b, END);
    return finish(&b, size);
}

static int model_child(int parent, int after)
{
    for (int i = after + 1; i < nr_nodes; i++)
        if (nodes[i].parent == parent)
            return i;
    return -1;
}

static int offset_or_enoent(int i)
{
    return i < 0 ? -ENOENT : (int)nodes[i].offset;
}

static bool model_compatible(const struct model_node *n, const char *s)
{
    for (size_t i = 0; i < n->compatible_len; i += strlen(n->compatible + i) + 1)
        if (strcmp(n->compatible + i, s) == 0)
            return true;
    return false;
}

static void model_path(int i, char *path)
{
    if (nodes[i].parent >= 0) {
        model_path(nodes[i].parent, path);
        strcat(path, "/");
        strcat(path, nodes[i].name);
    }
}

static void check_navigation(const struct fdt *fdt)
{
    assert_int_equal(fdt_root(fdt), nodes[0].offset);
    for (int i = 0; i < nr_nodes; i++) {
        fdt_node n = nodes[i].offset;
        char path[256] = "";
        assert_string_equal(fdt_name(fdt, n), nodes[i].name);
        assert_int_equal(fdt_first_child(fdt, n), offset_or_enoent(model_child(i, i)));
        assert_int_equal(fdt_next(fdt, n), i + 1 < nr_nodes ? (int)nodes[i + 1].offset : -ENOENT);
        assert_int_equal(fdt_parent(fdt, n), offset_or_enoent(nodes[i].parent));
        if (i)
            assert_int_equal(fdt_next_sibling(fdt, n),
                             offset_or_enoent(model_child(nodes[i].parent, i)));
        model_path(i, path);
        assert_int_equal(fdt_find_path(fdt, i ? path : "/"), n);
        strcat(path, "/none");
        assert_int_equal(fdt_find_path(fdt, path), -ENOENT);
    }
}

static void check_properties(const struct fdt *fdt)
{
    for (int i = 0; i < nr_nodes; i++) {
        fdt_node n = nodes[i].offset;
        u32 value, len;
        assert_int_equal(fdt_prop_u32(fdt, n, "id", 0, &value), 0);
        assert_int_equal(value, nodes[i].id);
        assert_int_equal(fdt_prop_u32(fdt, n, "id", 1, &value), -ENOENT);
        assert_null(fdt_prop(fdt, n, "absent", &len));
        const void *compatible = fdt_prop(fdt, n, "compatible", &len);
        assert_int_equal(len, nodes[i].compatible_len);
        assert_memory_equal(compatible, nodes[i].compatible, len);
        const char *first = fdt_prop_string(fdt, n, "compatible");
        if (len)
            assert_string_equal(first, nodes[i].compatible);
        else
            assert_null(first);
        assert_int_equal(fdt_is_enabled(fdt, n), !nodes[i].disabled);
        assert_int_equal(fdt_find_phandle(fdt, nodes[i].id), n);
    }
    assert_int_equal(fdt_find_phandle(fdt, 1), -ENOENT);
}

static void check_compatible(const struct fdt *fdt)
{
    for (unsigned k = 0; k < 20; k++) {
        char s[16];
        snprintf(s, sizeof(s), "dev,%u", k);
        fdt_node n = -1;
        for (int i = 0; i < nr_nodes; i++) {
            assert_int_equal(fdt_is_compatible(fdt, nodes[i].offset, s),
                             model_compatible(&nodes[i], s));
            if (model_compatible(&nodes[i], s)) {
                n = fdt_find_compatible(fdt, n, s);
                assert_int_equal(n, nodes[i].offset);
            }
        }
        assert_int_equal(fdt_find_compatible(fdt, n, s), -ENOENT);
    }
}

static void test_model(void **state)
{
    random_start(__func__);
    for (unsigned round = 0; round < 200; round++) {
        unsigned nr_reserved = random_below(5);
        size_t size;
        u8 *blob = build_tree(&size, nr_reserved);
        struct fdt fdt;
        struct fdt_reg reg;
        assert_int_equal(fdt_blob_size(blob), size);
        assert_int_equal(fdt_open(&fdt, blob), 0);
        check_navigation(&fdt);
        check_properties(&fdt);
        check_compatible(&fdt);
        for (unsigned i = 0; i < nr_reserved; i++) {
            assert_int_equal(fdt_reserved(&fdt, i, &reg), 0);
            assert_int_equal(reg.addr, 0x80000000UL + i * 0x1000);
            assert_int_equal(reg.size, 0x1000 * (i + 1));
        }
        assert_int_equal(fdt_reserved(&fdt, nr_reserved, &reg), -ENOENT);
        free(blob);
    }
}

/* "reg" by the parent's cell counts; unit addresses left out of paths. */
static void test_reg(void **state)
{
    static struct blob b;
    static const u32 cells[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    static const struct {
        u32 addr, size;
        int result;
        u64 first_addr, first_size, entries;
    } cases[] = {
        {2, 2, 0, 0x100000002, 0x300000004, 2},
        {2, 1, 0, 0x100000002, 3, 3},
        {1, 1, 0, 1, 2, 4},
        {1, 2, 0, 1, 0x200000003, 3},
        {1, 0, 0, 1, 0, 9},
        {2, 0, 0, 0x100000002, 0, 4},
        {3, 2, -EINVAL, 0, 0, 0},
        {0, 1, -EINVAL, 0, 0, 0},
        {0xffffffff, 1, -EINVAL, 0, 0, 0},
    };

    for (unsigned i = 0; i <= ARRAY_SIZE(cases); i++) {
        bool defaults = i == ARRAY_SIZE(cases); /* two cells of address, one of size */
        unsigned c = defaults ? 1 : i;
        size_t size;
        struct fdt fdt;
        struct fdt_reg reg;
        b = (struct blob){};
        put_reserved(&b, 0, 0);
        begin_node(&b, "");
        if (!defaults) {
            put_prop_u32(&b, "#address-cells", cases[c].addr);
            put_prop_u32(&b, "#size-cells", cases[c].size);
        }
        begin_node(&b, "dev@1");
        put_prop_cells(&b, "reg", cells, 9);
        put_token(&b, END_NODE);
        begin_node(&b, "noreg");
        put_token(&b, END_NODE);
        put_token(&b, END_NODE);
        put_token(&b, END);
        u8 *blob = finish(&b, &size);
        assert_int_equal(fdt_open(&fdt, blob), 0);
        fdt_node dev = fdt_find_path(&fdt, "/dev");
        assert_true(dev > 0);
        assert_int_equal(fdt_find_path(&fdt, "//dev@1/"), dev);
        assert_int_equal(fdt_find_path(&fdt, "/dev@2"), -ENOENT);
        assert_int_equal(fdt_find_path(&fdt, "/de"), -ENOENT);
        assert_int_equal(fdt_find_path(&fdt, "dev"), -EINVAL);
        assert_int_equal(fdt_reg(&fdt, dev, 0, &reg), cases[c].result);
        if (cases[c].result == 0) {
            assert_int_equal(reg.addr, cases[c].first_addr);
            assert_int_equal(reg.size, cases[c].first_size);
            assert_int_equal(fdt_reg(&fdt, dev, cases[c].entries - 1, &reg), 0);
            assert_int_equal(fdt_reg(&fdt, dev, cases[c].entries, &reg), -ENOENT);
        }
        assert_int_equal(fdt_reg(&fdt, fdt_find_path(&fdt, "/noreg"), 0, &reg), -ENOENT);
        free(blob);
    }
}

/* --- what is wrong must be refused --- */

static int open_status(struct blob *b)
{
    size_t size;
    struct fdt fdt;
    u8 *blob = finish(b, &size);
    int r = fdt_open(&fdt, blob);

    free(blob);
    return r;
}

static void good_blob(struct blob *b)
{
    *b = (struct blob){};
    put_reserved(b, 0, 0);
    begin_node(b, "");
    put_prop_u32(b, "x", 1);
    begin_node(b, "c");
    put_token(b, END_NODE);
    put_token(b, END_NODE);
    put_token(b, END);
}

static void test_bad_streams(void **state)
{
    static struct blob b;

    good_blob(&b);
    assert_int_equal(open_status(&b), 0);
    b.structure_n -= 4; /* no END */
    assert_int_equal(open_status(&b), -EINVAL);
    b.structure_n -= 4; /* END inside a node */
    put_token(&b, END);
    assert_int_equal(open_status(&b), -EINVAL);

    good_blob(&b);
    b.structure_n -= 4; /* a second root */
    begin_node(&b, "");
    put_token(&b, END_NODE);
    put_token(&b, END);
    assert_int_equal(open_status(&b), -EINVAL);

    good_blob(&b);
    b.structure_n -= 8; /* a property behind a subnode */
    put_prop_u32(&b, "y", 1);
    put_token(&b, END_NODE);
    put_token(&b, END);
    assert_int_equal(open_status(&b), -EINVAL);

    good_blob(&b);
    b.strings[b.strings_n - 1] = 'z'; /* a property name without an end */
    assert_int_equal(open_status(&b), -EINVAL);

    good_blob(&b);
    put_be32(b.structure + b.structure_n - 8, 7); /* an unknown token */
    assert_int_equal(open_status(&b), -EINVAL);

    good_blob(&b);
    b.structure_n = 0; /* no root at all; nothing at all */
    put_token(&b, END);
    assert_int_equal(open_status(&b), -EINVAL);
    b.structure_n = 0;
    assert_int_equal(open_status(&b), -EINVAL);

    /* A length that, added in 32 bits, leads back into an earlier value, where a valid end is. */
    static const u32 ends[] = {END_NODE, END};
    b = (struct blob){};
    put_reserved(&b, 0, 0);
    begin_node(&b, "");
    put_prop_cells(&b, "a", ends, 2);
    u32 target = b.structure_n - 8;
    put_prop_u32(&b, "b", 0);
    put_be32(b.structure + b.structure_n - 12, target - (b.structure_n - 4));
    put_token(&b, END_NODE);
    put_token(&b, END);
    assert_int_equal(open_status(&b), -EINVAL);

    good_blob(&b);
    b.structure_n = 0; /* too many ends */
    begin_node(&b, "");
    put_token(&b, END_NODE);
    put_token(&b, END_NODE);
    put_token(&b, END);
    assert_int_equal(open_status(&b), -EINVAL);
}

static void test_bad_headers(void **state)
{
    static struct blob b;
    static const struct {
        unsigned offset;
        u32 value;
    } bad[] = {
        {0, 0xd00dfeee},  {4, 39},          {4, 0x80000000}, {8, 0xfffffff0},  {8, 36},
        {12, 0xfffffff},  {16, 0xfffffffc}, {16, 24},        {20, 16},         {24, 18},
        {32, 0x7fffffff}, {36, 0x7fffffff}, {36, 8},         {32, 0xffffffff}, {36, 0xffffffff},
    };
    size_t size;
    struct fdt fdt;

    good_blob(&b);
    u8 *blob = finish(&b, &size);
    assert_int_equal(fdt_open(&fdt, blob), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        u8 saved[4];
        memcpy(saved, blob + bad[i].offset, 4);
        put_be32(blob + bad[i].offset, bad[i].value);
        assert_int_equal(fdt_open(&fdt, blob), -EINVAL);
        memcpy(blob + bad[i].offset, saved, 4);
    }
    assert_int_equal(fdt_open(&fdt, blob), 0);
    free(blob);

    good_blob(&b);
    b.rsvmap_n = 0; /* no terminator before the end of the blob */
    for (unsigned i = 0; i < 16; i++)
        put_reserved(&b, ~0UL, ~0UL);
    blob = finish(&b, &size);
    put_be32(blob + 16, size - 17);
    assert_int_equal(fdt_open(&fdt, blob), -EINVAL);
    free(blob);
}

/* Reads everything there is, every way there is. Returns the number of nodes. */
static unsigned exercise(const struct fdt *fdt)
{
    static const char *const names[] = {"compatible", "reg", "status", "phandle", "id"};
    unsigned count = 0;
    struct fdt_reg reg;
    u32 len, cell, sum = 0;

    for (fdt_node n = fdt_root(fdt); n >= 0; n = fdt_next(fdt, n)) {
        count++;
        sum += strlen(fdt_name(fdt, n));
        for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
            const u8 *value = fdt_prop(fdt, n, names[i], &len);
            for (u32 k = 0; value && k < len; k++)
                sum += value[k];
            const char *s = fdt_prop_string(fdt, n, names[i]);
            sum += s ? strlen(s) : 0;
            fdt_prop_u32(fdt, n, names[i], random_below(20), &cell);
        }
        fdt_is_compatible(fdt, n, "ns16550a");
        fdt_is_enabled(fdt, n);
        fdt_reg(fdt, n, random_below(4), &reg);
        fdt_first_child(fdt, n);
        fdt_next_sibling(fdt, n);
        fdt_node parent = fdt_parent(fdt, n);
        assert_true(n == 0 ? parent < 0 : parent >= 0 && parent < n);
    }
    for (unsigned i = 0; fdt_reserved(fdt, i, &reg) == 0; i++)
        sum++;
    fdt_find_path(fdt, "/soc/serial");
    fdt_find_compatible(fdt, -1, "virtio,mmio");
    fdt_find_phandle(fdt, 1);
    fdt_first_child(fdt, random_below(fdt->size + 8)); /* no node, probably */
    fdt_first_child(fdt, -ENOENT);
    return count;
}

/* One random change somewhere: the header, the tokens, the lengths, anything. */
static void damage(u8 *blob, size_t size)
{
    size_t at = random_chance(25) ? random_below(40) : random_below(size);

    switch (random_below(4)) {
    case 0:
        blob[at] ^= 1 << random_below(8);
        break;
    case 1:
        blob[at] = random_u64();
        break;
    case 2:
        put_be32(blob + MIN(at & ~3UL, size - 4), random_magnitude());
        break;
    default:
        put_be32(blob + MIN(at & ~3UL, size - 4), random_chance(50) ? 1 + random_below(9) : size);
        break;
    }
}

static void mutate(const u8 *original, size_t size, unsigned rounds, unsigned *opened,
                   unsigned *refused)
{
    for (unsigned round = 0; round < rounds; round++) {
        u8 *blob = malloc(size);
        struct fdt fdt;
        memcpy(blob, original, size);
        for (unsigned n = 1 + random_below(3); n; n--)
            damage(blob, size);
        /* The caller's part of the contract: there is as much memory as the header says. */
        u32 claimed = fdt_blob_size(blob);
        if (claimed > 4 * MAX_BLOB) {
            free(blob);
            continue;
        }
        blob = realloc(blob, MAX(claimed, 40));
        if (claimed > size)
            random_bytes(blob + size, claimed - size);
        if (fdt_open(&fdt, blob) == 0) {
            (*opened)++;
            assert_true(exercise(&fdt) > 0);
        } else {
            (*refused)++;
        }
        free(blob);
    }
}

static u8 *qemu_blob;
static size_t qemu_size;

static void test_mutations(void **state)
{
    unsigned opened = 0, refused = 0;

    random_start(__func__);
    for (unsigned i = 0; i < 30; i++) {
        size_t size;
        u8 *blob = build_tree(&size, 2);
        mutate(blob, size, 120, &opened, &refused);
        free(blob);
    }
    mutate(qemu_blob, qemu_size, 1500, &opened, &refused);
    /* Damage to values is not noticed, damage to structure is: both must have been tried. */
    assert_true(opened > 200);
    assert_true(refused > 200);
}

/* What `qemu -machine virt -m 128M -smp 2` describes. */
static void test_qemu(void **state)
{
    struct fdt fdt;
    struct fdt_reg reg;
    u32 value;
    unsigned count = 0;

    random_start(__func__);
    assert_true(fdt_blob_size(qemu_blob) <= qemu_size);
    assert_int_equal(fdt_open(&fdt, qemu_blob), 0);
    assert_true(exercise(&fdt) > 20);

    fdt_node memory = fdt_find_path(&fdt, "/memory");
    assert_string_equal(fdt_name(&fdt, memory), "memory@80000000");
    assert_string_equal(fdt_prop_string(&fdt, memory, "device_type"), "memory");
    assert_int_equal(fdt_reg(&fdt, memory, 0, &reg), 0);
    assert_int_equal(reg.addr, 0x80000000);
    assert_int_equal(reg.size, 128 << 20);
    assert_int_equal(fdt_reg(&fdt, memory, 1, &reg), -ENOENT);

    fdt_node uart = fdt_find_compatible(&fdt, -1, "ns16550a");
    assert_int_equal(fdt_reg(&fdt, uart, 0, &reg), 0);
    assert_int_equal(reg.addr, 0x10000000);
    assert_string_equal(fdt_name(&fdt, fdt_parent(&fdt, uart)), "soc");
    assert_int_equal(fdt_prop_u32(&fdt, uart, "interrupt-parent", 0, &value), 0);
    assert_true(fdt_is_compatible(&fdt, fdt_find_phandle(&fdt, value), "riscv,plic0"));

    for (fdt_node n = -1; (n = fdt_find_compatible(&fdt, n, "virtio,mmio")) >= 0;)
        count++;
    assert_int_equal(count, 8);
    fdt_node cpus = fdt_find_path(&fdt, "/cpus");
    assert_int_equal(fdt_prop_u32(&fdt, cpus, "timebase-frequency", 0, &value), 0);
    assert_int_equal(value, 10000000);
    count = 0;
    for (fdt_node n = fdt_first_child(&fdt, cpus); n >= 0; n = fdt_next_sibling(&fdt, n)) {
        const char *type = fdt_prop_string(&fdt, n, "device_type");
        if (!type)
            continue; /* cpu-map */
        assert_string_equal(type, "cpu");
        assert_int_equal(fdt_reg(&fdt, n, 0, &reg), 0);
        assert_int_equal(reg.size, 0);
        count += reg.addr + 1; /* harts 0 and 1 */
    }
    assert_int_equal(count, 3);
    const char *console = fdt_prop_string(&fdt, fdt_find_path(&fdt, "/chosen"), "stdout-path");
    assert_int_equal(fdt_find_path(&fdt, console), uart);
}

static void read_qemu_blob(void)
{
    const char *path = getenv("QUIRE_TEST_DTB");
    FILE *f = path ? fopen(path, "rb") : NULL;

    if (!f) {
        fprintf(stderr, "QUIRE_TEST_DTB must name a devicetree made by QEMU's dumpdtb\n");
        exit(1);
    }
    u8 *file = malloc(2 << 20);
    size_t n = fread(file, 1, 2 << 20, f);
    fclose(f);
    qemu_size = n >= 40 ? MIN(n, fdt_blob_size(file)) : n;
    qemu_blob = realloc(file, qemu_size);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),       cmocka_unit_test(test_reg),
        cmocka_unit_test(test_bad_streams), cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_mutations),   cmocka_unit_test(test_qemu),
    };
    read_qemu_blob();
    int r = RUN_TESTS("fdt", tests);
    free(qemu_blob);
    return r;
}
