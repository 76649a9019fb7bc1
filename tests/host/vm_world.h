/* What test_vm.c and vm_check.c share: the address spaces, the files, and the comparison. */
#pragma once

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
