/*
 * Copies between kernel and user memory of the current address space. Page by page through the
 * direct map after a look at the page table (never by dereferencing a user address), faulting in
 * what is missing; so a fault in kernel mode is always a kernel bug.
 *
 * All return 0 or -EFAULT unless said otherwise. => May sleep (they may fault); no spinlock held.
 */
#pragma once

#include "lib/types.h"

int copy_from_user(void *dst, uvaddr_t src, size_t n);
int copy_to_user(uvaddr_t dst, const void *src, size_t n);
/* A string with its NUL. Its length without it, -EFAULT, -ENAMETOOLONG (no NUL in @size). */
ssize_t copy_string_from_user(char *dst, uvaddr_t src, size_t size);
/* Faults in [addr, addr + n) for reading (or writing); -EFAULT when not possible. */
int fault_in_user(uvaddr_t addr, size_t n, bool write);

/* Naturally aligned 32-bit words, for futexes. cas: 0 and the old value in *@old. */
int user_load_u32(uvaddr_t addr, u32 *out);
int user_cas_u32(uvaddr_t addr, u32 expected, u32 new, u32 *old);
/* What identifies the word at @addr across address spaces: object and offset when it lies in a
 * shared mapping, else the address space and address. Returns 0, -EFAULT. */
struct user_key {
    const void *space; /* struct aspace or struct vm_object */
    u64 offset;
};
int user_key_get(uvaddr_t addr, struct user_key *out);

/* The same between another address space and kernel memory (/proc/PID/cmdline, ptrace). Returns
 * bytes copied (short at the first unmapped page). */
struct aspace;
size_t aspace_read(struct aspace *as, uvaddr_t src, void *dst, size_t n);
size_t aspace_write(struct aspace *as, uvaddr_t dst, const void *src, size_t n);

#define PUT_USER(addr, value)                                    \
    ({                                                           \
        typeof(value) put_user_v_ = (value);                     \
        copy_to_user((addr), &put_user_v_, sizeof(put_user_v_)); \
    })

/*
 * A transfer: a run of user or kernel buffers, consumed from the front.
 */
struct uio_vec {
    u64 base; /* uvaddr_t, or a kernel pointer */
    size_t len;
};
struct uio {
    struct uio_vec *vec; /* not owned */
    unsigned count;
    size_t resid; /* bytes left in all */
    bool kernel;
};
void uio_init_user(struct uio *u, struct uio_vec *one, uvaddr_t base, size_t len);
void uio_init_kernel(struct uio *u, struct uio_vec *one, void *base, size_t len);
/* Moves min(n, resid) bytes kernel -> uio / uio -> kernel and advances. Returns bytes moved; fewer
 * than asked (perhaps 0) when user memory ends: the caller returns what it has, or -EFAULT. */
size_t uio_write(struct uio *u, const void *src, size_t n);
size_t uio_read(struct uio *u, void *dst, size_t n);
size_t uio_zero(struct uio *u, size_t n);
/* uio_read() without faulting (usable under a page lock); may move less. */
size_t uio_read_nofault(struct uio *u, void *dst, size_t n);
/* Faults in up to @n bytes at the front, at most one page's worth. 0 or -EFAULT. */
int uio_fault_in(struct uio *u, size_t n, bool write);
