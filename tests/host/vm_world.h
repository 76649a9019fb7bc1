/*
 * What the files of the test of virtual memory share: the address spaces and files, the comparison
 * (vm_check.c), what operations are made of (test_vm.c), and the operations that the table in
 * test_vm.c takes from vm_mapping.c and vm_access.c.
 */
#pragma once

#include <stdio.h>

#include "vm_machine.h"
#include "vm_model.h"

#define SPACES     6
#define FILES      3
#define FILE_PAGES 300

struct space {
    struct aspace *as; /* NULL: there is none */
    struct mspace model;
};
extern struct space spaces[SPACES];

/* A file: an object, the model of it, and its disk (the words of each page). */
struct test_file {
    struct vm_object object;
    struct mobject *model;
    u64 disk[FILE_PAGES][WORDS];
    s32 refs; /* vmas: vm_object_ops get and put */
};
extern struct test_file files[FILES];

static inline u64 *word_at(const struct page *page, unsigned word)
{
    return (u64 *)((char *)page_to_virt(page) + word_offset(word));
}

/* Compares everything with the model and verifies the kernel's structures; panics when something
 * is wrong. Changes nothing that the kernel or the simulated hardware could notice. */
void check_world(void);

/* --- what operations are made of: arguments, failing allocations, answers --- */

extern bool tracing; /* QUIRE_LOG */

#define TRACE(...)                             \
    do {                                       \
        if (tracing)                           \
            fprintf(stderr, "\t" __VA_ARGS__); \
    } while (0)

/* Pages of the arena. */
struct range {
    unsigned first, pages;
};

/* Runs through the model's pages of range @r as @m. */
#define for_range(s, r, m)                                            \
    for (typeof(&(s)->model.page[0]) m = &(s)->model.page[(r).first]; \
         m < &(s)->model.page[(r).first + (r).pages]; m++)

bool range_free(const struct space *s, struct range r);
bool range_mapped(const struct space *s, struct range r);

/* A mapped page if some tries find one. */
unsigned random_mapped_page(const struct space *s);
struct range random_range(void);
/* A range of mapped pages, of one vma if @alike; once in a while just any. */
struct range random_mapped_range(const struct space *s, bool alike);
/* Bytes in a range of whole pages, not always a multiple of the page. */
u64 random_length(unsigned pages);
struct test_file *random_file(void);

/* Goes on as a CPU, any of those in use, that runs @s (NULL: none). */
void run_anywhere(struct space *s);

/* From here to inject_end() allocations fail at random, in some steps. */
void inject(void);
void inject_end(void);
extern bool failed; /* one has, in this step */

/* Is -ENOMEM an answer? When an allocation was made to fail or @charge pages are too many. */
bool may_lack_memory(u64 charge);
/* Panics when they differ. */
void expect(const char *what, int found, int expected);

/* A program makes the access on this CPU: again after each fault that the kernel says it mended.
 * 0, or what the fault that it did not mend answered. */
int touch(uvaddr_t va, enum vm_access access, u64 *value);

/* --- operations on @s --- */

void op_map(struct space *s);
void op_super(struct space *s);
void op_unmap(struct space *s);
void op_protect(struct space *s);
void op_remap(struct space *s);
void op_brk(struct space *s);
void op_dontneed(struct space *s);
void op_advise(struct space *s);

void op_touch(struct space *s);
void op_sweep(struct space *s);
void op_usercopy(struct space *s);
