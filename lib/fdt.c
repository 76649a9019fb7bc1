/*
 * Flattened devicetrees.
 *
 *     header | reservation block: (address, size) pairs up to (0, 0)
 *            | structure block:   BEGIN_NODE name  { PROP len nameoff value }  children  END_NODE
 * END | strings block:     property names
 *
 * All numbers are big-endian; tokens lie at multiples of four in the structure block. A node is
 * named by the offset of its BEGIN_NODE token.
 *
 * Trust: fdt_open() takes the total size from the header (the caller has checked that so much
 * memory is there) and walks the whole token stream once; after it every token is known to lie
 * inside the block, every name to be terminated, and nodes to be nested properly. Reading goes
 * through token_at(), which checks again, so that even a blob that changes later cannot lead
 * outside of it. Bytes are loaded one by one: nothing is assumed about alignment.
 */
#include "lib/fdt.h"

#include "lib/string.h"

#include <linux/errno.h>

#define FDT_MAGIC   0xd00dfeed
#define FDT_VERSION 17 /* the first with the size of the structure block */

enum fdt_token { FDT_BEGIN_NODE = 1, FDT_END_NODE = 2, FDT_PROP = 3, FDT_NOP = 4, FDT_END = 9 };

/* Offsets of the header's words */
enum {
    HDR_MAGIC = 0,
    HDR_TOTALSIZE = 4,
    HDR_OFF_STRUCT = 8,
    HDR_OFF_STRINGS = 12,
    HDR_OFF_RSVMAP = 16,
    HDR_VERSION = 20,
    HDR_LAST_COMP = 24,
    HDR_SIZE_STRINGS = 32,
    HDR_SIZE_STRUCT = 36,
    HDR_SIZE = 40,
};

struct token {
    enum fdt_token kind;
    u32 next;         /* offset of the token behind it */
    const char *name; /* BEGIN_NODE, PROP */
    const u8 *value;  /* PROP */
    u32 len;
};

static inline u32 be32(const u8 *p)
{
    return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

static inline u64 be64(const u8 *p)
{
    return (u64)be32(p) << 32 | be32(p + 4);
}

/* The string at @s when it ends within @max bytes, else NULL. */
static const char *bounded_string(const u8 *s, u32 max)
{
    return memchr(s, '\0', max) ? (const char *)s : NULL;
}

/* Reads the token at @off of the structure block. Returns 0 or -EINVAL. */
static int token_at(const struct fdt *fdt, u32 off, struct token *t)
{
    const u8 *block = fdt->blob + fdt->struct_off;
    u32 size = fdt->struct_size;

    if (off >= size || size - off < 4)
        return -EINVAL;
    t->kind = be32(block + off);
    u64 end = off + 4;
    switch ((u32)t->kind) {
    case FDT_BEGIN_NODE:
        t->name = bounded_string(block + end, size - end);
        if (!t->name)
            return -EINVAL;
        end += strlen(t->name) + 1;
        break;
    case FDT_PROP:
        if (size - end < 8)
            return -EINVAL;
        t->len = be32(block + end);
        u32 name_off = be32(block + end + 4);
        end += 8;
        if (t->len > size - end || name_off >= fdt->strings_size)
            return -EINVAL;
        t->value = block + end;
        t->name =
            bounded_string(fdt->blob + fdt->strings_off + name_off, fdt->strings_size - name_off);
        if (!t->name)
            return -EINVAL;
        end += t->len;
        break;
    case FDT_END_NODE:
    case FDT_NOP:
    case FDT_END:
        break;
    default:
        return -EINVAL;
    }
    t->next = ALIGN_UP(end, 4);
    return 0;
}

/* The whole structure block: one root, nodes nested, properties before subnodes, END. */
static int check_structure(const struct fdt *fdt)
{
    bool props_allowed = false, root_seen = false;
    u32 depth = 0;
    struct token t;

    for (u32 off = 0;; off = t.next) {
        if (token_at(fdt, off, &t))
            return -EINVAL;
        switch (t.kind) {
        case FDT_BEGIN_NODE:
            if (depth == 0 && (root_seen || off != 0))
                return -EINVAL;
            root_seen = props_allowed = true;
            depth++;
            break;
        case FDT_PROP:
            if (!props_allowed)
                return -EINVAL;
            break;
        case FDT_END_NODE:
            if (depth == 0)
                return -EINVAL;
            props_allowed = false;
            depth--;
            break;
        case FDT_NOP:
            break;
        case FDT_END:
            return depth == 0 && root_seen ? 0 : -EINVAL;
        }
    }
}

u32 fdt_blob_size(const void *blob)
{
    const u8 *b = blob;

    return be32(b + HDR_MAGIC) == FDT_MAGIC ? be32(b + HDR_TOTALSIZE) : 0;
}

/* Whether [@off, @off + @size) lies behind the header and within @total. */
static bool block_fits(u32 off, u32 size, u32 total)
{
    return off >= HDR_SIZE && off <= total && size <= total - off;
}

int fdt_open(struct fdt *fdt, const void *blob)
{
    const u8 *b = blob;
    u32 total = fdt_blob_size(blob);
    struct fdt_reg reg;
    int r;

    if (total < HDR_SIZE || total > INT32_MAX)
        return -EINVAL;
    if (be32(b + HDR_VERSION) < FDT_VERSION || be32(b + HDR_LAST_COMP) > FDT_VERSION)
        return -EINVAL;
    *fdt = (struct fdt){
        .blob = b,
        .size = total,
        .struct_off = be32(b + HDR_OFF_STRUCT),
        .struct_size = be32(b + HDR_SIZE_STRUCT),
        .strings_off = be32(b + HDR_OFF_STRINGS),
        .strings_size = be32(b + HDR_SIZE_STRINGS),
        .rsvmap_off = be32(b + HDR_OFF_RSVMAP),
    };
    if (!block_fits(fdt->struct_off, fdt->struct_size, total) ||
        !block_fits(fdt->strings_off, fdt->strings_size, total) ||
        !block_fits(fdt->rsvmap_off, 16, total))
        return -EINVAL;
    /* The reservation block ends by its terminator, which fdt_reserved() tells from a cut. */
    unsigned i = 0;
    while ((r = fdt_reserved(fdt, i, &reg)) == 0)
        i++;
    return r == -ENOENT ? check_structure(fdt) : -EINVAL;
}

int fdt_reserved(const struct fdt *fdt, unsigned index, struct fdt_reg *out)
{
    u64 off = fdt->rsvmap_off + (u64)index * 16;

    if (off + 16 > fdt->size)
        return -EINVAL;
    out->addr = be64(fdt->blob + off);
    out->size = be64(fdt->blob + off + 8);
    return out->addr || out->size ? 0 : -ENOENT;
}

fdt_node fdt_root(const struct fdt *fdt)
{
    return 0;
}

/*
 * The first BEGIN_NODE from the token at @off on that is on the same level: -ENOENT when an
 * END_NODE leaves the level first. With @any_depth on whatever level.
 */
static fdt_node next_begin(const struct fdt *fdt, u32 off, bool any_depth)
{
    struct token t;

    for (; token_at(fdt, off, &t) == 0; off = t.next) {
        if (t.kind == FDT_BEGIN_NODE)
            return off;
        if (t.kind == FDT_END || (t.kind == FDT_END_NODE && !any_depth))
            return -ENOENT;
    }
    return -EINVAL;
}

/* The token of @node itself. */
static int node_token(const struct fdt *fdt, fdt_node node, struct token *t)
{
    if (node < 0 || token_at(fdt, node, t) || t->kind != FDT_BEGIN_NODE)
        return -EINVAL;
    return 0;
}

fdt_node fdt_first_child(const struct fdt *fdt, fdt_node parent)
{
    struct token t;

    return node_token(fdt, parent, &t) ? -EINVAL : next_begin(fdt, t.next, false);
}

fdt_node fdt_next_sibling(const struct fdt *fdt, fdt_node node)
{
    struct token t;
    u32 depth = 0;

    if (node_token(fdt, node, &t))
        return -EINVAL;
    /* Skip the node with everything in it. */
    for (u32 off = t.next; token_at(fdt, off, &t) == 0; off = t.next) {
        if (t.kind == FDT_BEGIN_NODE)
            depth++;
        else if (t.kind == FDT_END_NODE && depth-- == 0)
            return next_begin(fdt, t.next, false);
    }
    return -EINVAL;
}

fdt_node fdt_next(const struct fdt *fdt, fdt_node node)
{
    struct token t;

    return node_token(fdt, node, &t) ? -EINVAL : next_begin(fdt, t.next, true);
}

/* Descends from the root into the child whose extent holds @node: the last that begins before. */
fdt_node fdt_parent(const struct fdt *fdt, fdt_node node)
{
    fdt_node parent = fdt_root(fdt);

    if (node <= parent)
        return -ENOENT;
    for (fdt_node child = fdt_first_child(fdt, parent); child != node;) {
        if (child < 0)
            return -ENOENT;
        fdt_node next = fdt_next_sibling(fdt, child);
        if (next >= 0 && next <= node) {
            child = next;
        } else {
            parent = child;
            child = fdt_first_child(fdt, parent);
        }
    }
    return parent;
}

const char *fdt_name(const struct fdt *fdt, fdt_node node)
{
    struct token t;

    return node_token(fdt, node, &t) ? NULL : t.name;
}

/* Whether the path component [@s, @s + @n) names a node called @name. */
static bool component_matches(const char *name, const char *s, size_t n)
{
    if (strncmp(name, s, n) != 0)
        return false;
    return name[n] == '\0' || (name[n] == '@' && !memchr(s, '@', n));
}

fdt_node fdt_find_path(const struct fdt *fdt, const char *path)
{
    fdt_node node = fdt_root(fdt);

    if (*path != '/')
        return -EINVAL;
    for (;;) {
        while (*path == '/')
            path++;
        if (!*path)
            return node;
        size_t n = 0;
        while (path[n] && path[n] != '/')
            n++;
        node = fdt_first_child(fdt, node);
        while (node >= 0 && !component_matches(fdt_name(fdt, node), path, n))
            node = fdt_next_sibling(fdt, node);
        if (node < 0)
            return node;
        path += n;
    }
}

fdt_node fdt_find_compatible(const struct fdt *fdt, fdt_node from, const char *compatible)
{
    fdt_node node = from < 0 ? fdt_root(fdt) : fdt_next(fdt, from);

    while (node >= 0 && !fdt_is_compatible(fdt, node, compatible))
        node = fdt_next(fdt, node);
    return node;
}

fdt_node fdt_find_phandle(const struct fdt *fdt, u32 phandle)
{
    u32 value;
    fdt_node node = fdt_root(fdt);

    for (; node >= 0; node = fdt_next(fdt, node)) {
        if (fdt_prop_u32(fdt, node, "phandle", 0, &value) &&
            fdt_prop_u32(fdt, node, "linux,phandle", 0, &value))
            continue;
        if (value == phandle)
            return node;
    }
    return node;
}

const void *fdt_prop(const struct fdt *fdt, fdt_node node, const char *name, u32 *len)
{
    struct token t;

    if (node_token(fdt, node, &t))
        return NULL;
    while (token_at(fdt, t.next, &t) == 0 && (t.kind == FDT_PROP || t.kind == FDT_NOP)) {
        if (t.kind == FDT_PROP && strcmp(t.name, name) == 0) {
            if (len)
                *len = t.len;
            return t.value;
        }
    }
    return NULL;
}

const char *fdt_prop_string(const struct fdt *fdt, fdt_node node, const char *name)
{
    u32 len;
    const u8 *value = fdt_prop(fdt, node, name, &len);

    return value ? bounded_string(value, len) : NULL;
}

int fdt_prop_u32(const struct fdt *fdt, fdt_node node, const char *name, unsigned index, u32 *out)
{
    u32 len;
    const u8 *value = fdt_prop(fdt, node, name, &len);

    if (!value || index >= len / 4)
        return -ENOENT;
    *out = be32(value + index * 4);
    return 0;
}

bool fdt_is_compatible(const struct fdt *fdt, fdt_node node, const char *compatible)
{
    u32 left;
    const u8 *s = fdt_prop(fdt, node, "compatible", &left);

    while (s && left && bounded_string(s, left)) {
        if (strcmp((const char *)s, compatible) == 0)
            return true;
        u32 n = strlen((const char *)s) + 1;
        s += n;
        left -= n;
    }
    return false;
}

bool fdt_is_enabled(const struct fdt *fdt, fdt_node node)
{
    u32 len;

    if (!fdt_prop(fdt, node, "status", &len))
        return true;
    const char *status = fdt_prop_string(fdt, node, "status");
    return status && (strcmp(status, "okay") == 0 || strcmp(status, "ok") == 0);
}

/* A number of @cells cells (0, 1 or 2) at @p. */
static u64 read_cells(const u8 *p, u32 cells)
{
    return cells == 2 ? be64(p) : cells == 1 ? be32(p) : 0;
}

int fdt_reg(const struct fdt *fdt, fdt_node node, unsigned index, struct fdt_reg *out)
{
    fdt_node parent = fdt_parent(fdt, node);
    u32 addr_cells = 2, size_cells = 1, len; /* the defaults of the specification, 2.3.5 */
    const u8 *value = fdt_prop(fdt, node, "reg", &len);

    if (parent < 0 || !value)
        return -ENOENT;
    fdt_prop_u32(fdt, parent, "#address-cells", 0, &addr_cells);
    fdt_prop_u32(fdt, parent, "#size-cells", 0, &size_cells);
    if (addr_cells > 2 || size_cells > 2 || addr_cells == 0)
        return -EINVAL;
    u32 entry = (addr_cells + size_cells) * 4;
    if (index >= len / entry)
        return -ENOENT;
    value += index * entry;
    out->addr = read_cells(value, addr_cells);
    out->size = read_cells(value + addr_cells * 4, size_cells);
    return 0;
}
