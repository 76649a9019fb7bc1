/*
 * Argument strings on their way from the old program to the new one.
 *
 * They are gathered in kernel pages while the old address space is current, and written to the new
 * stack when it exists. Limits are Linux's: a string 128 KiB, all with their pointers a quarter of
 * RLIMIT_STACK but at least 128 KiB.
 */
#include "lib/string.h"
#include "mm/slab.h"
#include "mm/usercopy.h"
#include "proc/exec_priv.h"

#define LIMIT_LEAST (128 * 1024UL)

struct arg_block *arg_block_create(void)
{
    struct arg_block *b = kmalloc(sizeof(*b), 0);
    if (!b)
        return NULL;
    u64 quarter = rlimit_current(RLIMIT_STACK) / 4;
    b->bytes = 0;
    b->count = 0;
    b->limit = MIN(MAX(quarter, LIMIT_LEAST), ARG_PAGES_MAX * PAGE_SIZE);
    return b;
}

void arg_block_free(struct arg_block *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < DIV_UP(b->bytes, PAGE_SIZE); i++)
        kfree(b->pages[i]);
    kfree(b);
}

/* Room behind what is there, up to the end of its page. 0, -E2BIG, -ENOMEM. */
static int room(struct arg_block *b, u8 **at, size_t *n)
{
    size_t page = b->bytes / PAGE_SIZE, offset = b->bytes % PAGE_SIZE;
    if (b->bytes + b->count * sizeof(u64) >= b->limit)
        return -E2BIG;
    if (offset == 0 && !(b->pages[page] = kmalloc(PAGE_SIZE, 0)))
        return -ENOMEM;
    *at = b->pages[page] + offset;
    *n = PAGE_SIZE - offset;
    return 0;
}

/* A page got by room() that stayed empty goes back. */
static void unroom(struct arg_block *b)
{
    if (b->bytes % PAGE_SIZE == 0)
        kfree(b->pages[b->bytes / PAGE_SIZE]);
}

/* One piece of a string: up to @n bytes to @to. Bytes taken, *@end: the NUL was among them. */
static ssize_t take_piece(u8 *to, u64 from, bool kernel, size_t n, bool *end)
{
    ssize_t len = kernel ? (ssize_t)strnlen((const char *)from, n)
                         : copy_string_from_user((char *)to, from, n);
    if (len == -ENAMETOOLONG)
        len = (ssize_t)n;
    if (len < 0)
        return len;
    *end = (size_t)len < n;
    size_t taken = (size_t)len + *end;
    if (kernel)
        memcpy(to, (const void *)from, taken);
    return (ssize_t)taken;
}

static int add_string(struct arg_block *b, u64 from, bool kernel)
{
    size_t length = 0;
    bool end = false;
    while (!end) {
        u8 *to;
        size_t n;
        int r = room(b, &to, &n);
        if (r)
            return r;
        ssize_t taken = take_piece(to, from, kernel, n, &end);
        if (taken < 0) {
            unroom(b);
            return (int)taken;
        }
        b->bytes += (size_t)taken;
        length += (size_t)taken;
        from += (u64)taken;
        if (length > ARG_STRING_MAX)
            return -E2BIG;
    }
    b->count++;
    return 0;
}

int arg_block_add(struct arg_block *b, const char *s)
{
    return add_string(b, (u64)s, true);
}

/* argv or envp while it is read, several words at a time but never beyond a page. */
struct vector {
    u64 at; /* of the next word that is not here yet */
    bool kernel;
    unsigned next, count; /* of @words */
    u64 words[16];
};

/* The next entry; 0 at the end. */
static int vector_next(struct vector *v, u64 *out)
{
    if (v->next == v->count) {
        size_t room = (PAGE_SIZE - v->at % PAGE_SIZE) / sizeof(u64);
        v->count = v->kernel ? 1 : (unsigned)MIN(MAX(room, 1UL), ARRAY_SIZE(v->words));
        v->next = 0;
        size_t n = v->count * sizeof(u64);
        if (v->kernel)
            memcpy(v->words, (const void *)v->at, n);
        else if (copy_from_user(v->words, v->at, n))
            return -EFAULT;
        v->at += n;
    }
    *out = v->words[v->next++];
    return 0;
}

int arg_block_add_vector(struct arg_block *b, u64 vector, bool kernel, u32 skip, u32 *count)
{
    struct vector v;
    v.at = vector;
    v.kernel = kernel;
    v.next = v.count = 0;
    *count = 0;
    for (u32 i = 0; vector; i++) {
        u64 s;
        int r = vector_next(&v, &s);
        if (r || !s)
            return r;
        if (i < skip)
            continue;
        r = add_string(b, s, kernel);
        if (r)
            return r;
        ++*count;
        if (signal_fatal_pending())
            return -EINTR;
    }
    return 0;
}

int arg_block_write(const struct arg_block *b, struct aspace *as, uvaddr_t at)
{
    for (size_t done = 0; done < b->bytes;) {
        size_t n = MIN(PAGE_SIZE, b->bytes - done);
        if (aspace_write(as, at + done, b->pages[done / PAGE_SIZE], n) != n)
            return -ENOMEM;
        done += n;
    }
    return 0;
}

size_t arg_block_next(const struct arg_block *b, size_t *pos)
{
    size_t start = *pos;
    for (;;) {
        size_t offset = *pos % PAGE_SIZE, n = MIN(PAGE_SIZE - offset, b->bytes - *pos);
        const u8 *page = b->pages[*pos / PAGE_SIZE], *nul = memchr(page + offset, 0, n);
        *pos += nul ? (size_t)(nul - page) - offset + 1 : n;
        if (nul || *pos >= b->bytes)
            return *pos - start;
    }
}
