/* What the parts of execve share: proc/exec.c, exec_args.c, elf.c. */
#pragma once

#include "mm/aspace.h"
#include "proc/exec.h"
#include "proc/proc_priv.h"

/* ---- argument strings (exec_args.c) ---- */

#define ARG_PAGES_MAX  512          /* 2 MiB of strings in all, whatever RLIMIT_STACK says */
#define ARG_STRING_MAX (128 * 1024) /* one string, its NUL included (Linux's MAX_ARG_STRLEN) */

/* Strings one after the other, each with its NUL, in kernel pages; only appended to. */
struct arg_block {
    size_t bytes; /* used */
    size_t limit; /* -E2BIG beyond: strings and the pointers to them */
    u32 count;    /* strings */
    u8 *pages[ARG_PAGES_MAX];
};

/* The strings that the new program gets, in the order in which they lie on its stack. */
struct exec_args {
    struct arg_block *block; /* prefix (script arguments), argv, envp */
    u32 argc, envc;
};

/* An empty block that takes what RLIMIT_STACK permits. NULL: out of memory. */
struct arg_block *arg_block_create(void);
void arg_block_free(struct arg_block *b);
/* Appends a kernel string. 0, -E2BIG, -ENOMEM. */
int arg_block_add(struct arg_block *b, const char *s);
/* Appends the strings of a vector (argv or envp), without the first @skip. *@count: their number.
 * 0, -E2BIG, -EFAULT, -ENOMEM. */
int arg_block_add_vector(struct arg_block *b, u64 vector, bool kernel, u32 skip, u32 *count);
/* Writes all strings to @at in @as. 0, -ENOMEM. */
int arg_block_write(const struct arg_block *b, struct aspace *as, uvaddr_t at);
/* Lengths in order: call with *@pos = 0 first; returns the size of the next string, NUL included.
 */
size_t arg_block_next(const struct arg_block *b, size_t *pos);

/* ---- the image (elf.c) ---- */

struct elf_image {
    uvaddr_t entry;      /* where to begin: the interpreter's, if there is one */
    uvaddr_t exec_entry; /* AT_ENTRY */
    uvaddr_t phdr;       /* AT_PHDR: program headers in memory, 0: not mapped */
    u16 phnum;
    uvaddr_t interp_base; /* AT_BASE */
};

/* The beginning of a program file, read once. */
struct file_head {
    size_t size; /* bytes that are here */
    u8 bytes[1024 - sizeof(size_t)];
};

/* True when @head (the first bytes of a file) is an ELF file. */
bool elf_is(const u8 *head, size_t n);
/* Maps @file (and its interpreter) into the empty @as; fills the code, data, brk fields. @head: how
 * the file begins. 0, -ENOEXEC, -ELIBBAD, -ENOMEM, -EIO, -EACCES ... => May sleep. */
int elf_load(struct aspace *as, struct file *file, const struct file_head *head,
             struct elf_image *out);
/* Opens @path for execution: regular, permitted, writers kept out until exec_file_close(). */
int exec_file_open(const struct path *path, struct file **out);
void exec_file_close(struct file *file);
