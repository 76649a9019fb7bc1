/*
 * Mapped ranges and the tree of them: pure logic. No locks, no allocation, no page tables; tested
 * on the host against a bitmap model.
 */
#pragma once

#include "lib/list.h"
#include "lib/rbtree.h"

struct vm_object;
struct file;

#define VMA_SHARED      (1u << 0) /* MAP_SHARED */
#define VMA_GROWSDOWN   (1u << 1) /* stack */
#define VMA_ACCOUNT     (1u << 2) /* its pages are charged to the commit limit */
#define VMA_NORESERVE   (1u << 3)
#define VMA_LOCKED      (1u << 4)
#define VMA_DONTFORK    (1u << 5)
#define VMA_WIPEONFORK  (1u << 6)
#define VMA_VDSO        (1u << 7)
#define VMA_HEAP        (1u << 8)
#define VMA_SPECIAL     (1u << 9) /* kernel-owned pages (vdso): no mprotect, no mremap */
#define VMA_HUGE        (1u << 10)
#define VMA_NOHUGE      (1u << 11)
#define VMA_SEQ         (1u << 12)
#define VMA_RAND        (1u << 13)
#define VMA_LOCKONFAULT (1u << 14) /* with VMA_LOCKED: pages are not faulted in ahead */
#define VMA_DONTDUMP    (1u << 15)
#define VMA_LOCK_FLAGS  (VMA_LOCKED | VMA_LOCKONFAULT)

/* What a program calls its memory: prctl(PR_SET_VMA). Shared by the parts of what was one vma. */
#define VMA_NAME_SIZE 80
struct vma_name {
    s32 refs; /* atomic */
    char text[VMA_NAME_SIZE];
};

/* [start, end), page aligned. Two neighbours never have equal attributes: they would be one. */
struct vma {
    u64 start, end;
    u32 prot; /* PROT_R | PROT_W | PROT_X */
    u32 max_prot;
    u32 flags;                /* VMA_* */
    struct vm_object *object; /* NULL: anonymous */
    struct file *file;
    u64 offset;            /* bytes into the object of @start */
    struct vma_name *name; /* a reference; NULL: none */
    struct rb_node node;
    u64 gap;                      /* free bytes between the previous vma and this */
    u64 max_gap;                  /* greatest gap in this subtree */
    struct list_node object_link; /* in object->vmas; the object's lock */
    struct aspace *aspace;
    u64 unmap_seq; /* object's lock: last aspace_unmap_object() that saw it */
};

struct vma_tree {
    struct rb_root root;
    u64 count;
};

void vma_tree_init(struct vma_tree *t);
/* The vma containing @addr; NULL when none. */
struct vma *vma_find(const struct vma_tree *t, u64 addr);
/* The first vma with end > @addr; NULL when none. */
struct vma *vma_find_next(const struct vma_tree *t, u64 addr);
struct vma *vma_first(const struct vma_tree *t);
struct vma *vma_next(const struct vma *v);
struct vma *vma_prev(const struct vma *v);
/* Inserts @v, which overlaps nothing. */
void vma_insert(struct vma_tree *t, struct vma *v);
void vma_remove(struct vma_tree *t, struct vma *v);
/* Changes the bounds of @v in place (it must keep its place in the order). */
void vma_set_bounds(struct vma_tree *t, struct vma *v, u64 start, u64 end);
/*
 * Splits @v at @addr (start < addr < end): @v keeps the low part, @upper (memory supplied by the
 * caller) becomes the high part, offset adjusted, and is inserted.
 */
void vma_split(struct vma_tree *t, struct vma *v, u64 addr, struct vma *upper);
/* True when @b could continue @a as one vma (adjacent, same attributes, offsets fit). */
bool vma_can_merge(const struct vma *a, const struct vma *b);
/* Highest free range of @length bytes (page multiple) within [low, high), at its upper end.
 * Returns 0 and its start, or -ENOMEM. */
int vma_find_gap_down(const struct vma_tree *t, u64 low, u64 high, u64 length, u64 *out);
/* Lowest such range, at its lower end. */
int vma_find_gap_up(const struct vma_tree *t, u64 low, u64 high, u64 length, u64 *out);
/* True when nothing is mapped in [start, end). */
bool vma_range_free(const struct vma_tree *t, u64 start, u64 end);
/* Order, gaps, no overlap, no mergeable neighbours. False when broken (debug, tests). */
bool vma_tree_verify(const struct vma_tree *t);
