/*
 * Reader for flattened devicetrees (Devicetree Specification 0.4, chapter 5). Validates before it
 * reads: a damaged blob gives errors, never a wild access. Allocates nothing.
 */
#pragma once

#include "lib/types.h"

struct fdt {
    const u8 *blob;
    u32 size;
    u32 struct_off, struct_size;
    u32 strings_off, strings_size;
    u32 rsvmap_off;
};

/* Offset of a node's BEGIN_NODE token in the structure block; negative: errno. */
typedef int fdt_node;

struct fdt_reg {
    u64 addr, size;
};

/* Total size of the blob at @blob in bytes, from its header; 0 when the magic is wrong. */
u32 fdt_blob_size(const void *blob);

/* Checks the header and the token stream of @blob. Returns 0 or -EINVAL. */
int fdt_open(struct fdt *fdt, const void *blob);

fdt_node fdt_root(const struct fdt *fdt);
fdt_node fdt_first_child(const struct fdt *fdt, fdt_node parent); /* -ENOENT when none */
fdt_node fdt_next_sibling(const struct fdt *fdt, fdt_node node);  /* -ENOENT when none */
/* Depth-first successor in the whole tree; -ENOENT at the end. */
fdt_node fdt_next(const struct fdt *fdt, fdt_node node);
fdt_node fdt_parent(const struct fdt *fdt, fdt_node node);
/* Node by absolute path; a component without @unit-address matches the first such name. */
fdt_node fdt_find_path(const struct fdt *fdt, const char *path);
/* Next node after @from (or from the root when @from < 0) that lists @compatible. */
fdt_node fdt_find_compatible(const struct fdt *fdt, fdt_node from, const char *compatible);
fdt_node fdt_find_phandle(const struct fdt *fdt, u32 phandle);

const char *fdt_name(const struct fdt *fdt, fdt_node node);
/* Property bytes and length, NULL when absent. */
const void *fdt_prop(const struct fdt *fdt, fdt_node node, const char *name, u32 *len);
/* A string property (its first string), NULL when absent or not terminated. */
const char *fdt_prop_string(const struct fdt *fdt, fdt_node node, const char *name);
/* The @index-th big-endian cell of a property. Returns 0, -ENOENT. */
int fdt_prop_u32(const struct fdt *fdt, fdt_node node, const char *name, unsigned index, u32 *out);
bool fdt_is_compatible(const struct fdt *fdt, fdt_node node, const char *compatible);
/* False when status is present and neither "okay" nor "ok". */
bool fdt_is_enabled(const struct fdt *fdt, fdt_node node);
/* The @index-th (address, size) of "reg", by the parent's #address-cells/#size-cells. */
int fdt_reg(const struct fdt *fdt, fdt_node node, unsigned index, struct fdt_reg *out);
/* The @index-th entry of the memory reservation block; -ENOENT behind the last. */
int fdt_reserved(const struct fdt *fdt, unsigned index, struct fdt_reg *out);
