/*
 * The plain model of address spaces for test_vm.c: one record per page of a small arena and space,
 * and an array of contents per object. It knows nothing of vmas, page tables, frames, caches or
 * sharing: fork copies, and a private page is a copy from the moment it is written to.
 *
 * Contents of a page are WORDS words, at its very beginning and its very end, so that two words are
 * neighbours across the border of two pages. All others stay zero.
 */
#pragma once

#include "mm/aspace.h"

/* Two whole 2 MiB blocks with a border of 1 GiB between them, and a piece on either side. */
#define ARENA_PAGES 1280
#define ARENA       (0x80000000UL - (ARENA_PAGES / 2) * PAGE_SIZE)
#define ARENA_END   (ARENA + ARENA_PAGES * PAGE_SIZE)
#define ARENA_BRK   (ARENA_END - 200 * PAGE_SIZE)
#define WORDS       2

static inline uvaddr_t page_va(unsigned page)
{
    return ARENA + page * PAGE_SIZE;
}

/* Address, in a page, of its word. */
static inline u64 word_offset(unsigned word)
{
    return word ? PAGE_SIZE - sizeof(u64) : 0;
}

struct mobject {
    struct vm_object *real; /* a file's; of shared anonymous memory learned at the mmap */
    bool is_file;
    unsigned uses; /* model pages that map it; the last one frees shared anonymous memory */
    u64 size;      /* bytes */
    u64 capacity;  /* pages of contents */
    u64 (*word)[WORDS];
    u64 checked; /* by which comparison last */
};

struct mpage {
    bool mapped, shared;
    bool account;           /* charged to the commit limit: writable once, and private */
    bool copied;            /* private page of an object that was written to */
    u8 prot;                /* PROT_* */
    u32 advice;             /* VMA_GROWSDOWN, and VMA_* flags that madvise and mlock set */
    struct mobject *object; /* NULL: private anonymous */
    u64 index;              /* page of the object */
    u64 word[WORDS];        /* of a private page: private anonymous, or copied */
};

struct mspace {
    struct mpage page[ARENA_PAGES];
    u64 brk; /* bytes behind ARENA_BRK */
};

struct mobject *model_object_create(struct vm_object *real, bool is_file, u64 pages);
/* Changes the size: contents beyond it are gone. The copies of it in the spaces are the caller's.
 */
void model_object_resize(struct mobject *o, u64 size);

/* Copies @from over @to, which is dropped first; and drops a page (unmapped afterwards). */
void model_set(struct mpage *to, const struct mpage *from);
void model_drop(struct mpage *page);
/* Forgets what is private in it: it reads as fresh again. */
void model_forget(struct mpage *page);

/* What a user access of kind @access answers: 0, -EFAULT, -EACCES, -ENXIO. */
int model_access(const struct mpage *page, enum vm_access access);
u64 model_read(const struct mpage *page, unsigned word);
void model_write(struct mpage *page, unsigned word, u64 value);

/* Makes a page of an object private, as a write to it would. */
void model_copy(struct mpage *page);

/* Would one vma hold both pages, neighbours in this order? */
bool model_same_vma(const struct mpage *a, const struct mpage *b);
/* Is there a free range of @pages pages? */
bool model_has_gap(const struct mspace *s, unsigned pages);
/* What the pages of @s are charged. Shared anonymous objects are charged once: model_shared(). */
u64 model_committed(const struct mspace *s);
extern u64 model_shared_pages; /* of all shared anonymous objects */
