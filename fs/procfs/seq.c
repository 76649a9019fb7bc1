/*
 * Text that grows while it is written: whole pages, found through an array, so that a long text
 * (the page table of a large process) needs no contiguous memory. The array starts inside struct
 * seq.
 */
#include "procfs_priv.h"

#include "lib/fmt.h"

void seq_init(struct seq *s)
{
    *s = (struct seq){.pages = s->first, .page_slots = SEQ_INLINE_PAGES};
}

static void free_pages_from(struct seq *s, u32 keep)
{
    while (s->page_count > keep)
        page_free(virt_to_page(s->pages[--s->page_count]), 0);
}

void seq_fini(struct seq *s)
{
    free_pages_from(s, 0);
    if (s->pages != s->first)
        kfree(s->pages);
}

void seq_reset(struct seq *s)
{
    free_pages_from(s, MIN(s->page_count, (u32)SEQ_INLINE_PAGES));
    s->length = s->lost = 0;
    s->error = 0;
}

static bool grow_array(struct seq *s)
{
    char **bigger = kmalloc(2 * s->page_slots * sizeof(*bigger), 0);
    if (!bigger)
        return false;
    memcpy(bigger, s->pages, s->page_count * sizeof(*bigger));
    if (s->pages != s->first)
        kfree(s->pages);
    s->pages = bigger;
    s->page_slots *= 2;
    return true;
}

static bool grow(struct seq *s)
{
    if (s->page_count == s->page_slots && !grow_array(s))
        return false;
    struct page *page = page_alloc(0, PAGE_WIRED, 0);
    if (!page)
        return false;
    s->pages[s->page_count++] = page_to_virt(page);
    return true;
}

static void append(void *arg, const char *text, size_t n)
{
    struct seq *s = arg;
    while (n > 0 && !s->error) {
        size_t room = s->page_count * PAGE_SIZE - s->length;
        if (room == 0) {
            if (s->atomic) {
                s->lost += n;
                return;
            }
            if (!grow(s))
                s->error = -ENOMEM;
            continue;
        }
        size_t offset = s->length % PAGE_SIZE, part = MIN(n, PAGE_SIZE - offset);
        memcpy(s->pages[s->length / PAGE_SIZE] + offset, text, part);
        s->length += part;
        text += part;
        n -= part;
    }
}

void seq_write(struct seq *s, const void *data, size_t n)
{
    append(s, data, n);
}

void seq_printf(struct seq *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fmt_vformat(append, s, fmt, ap);
    va_end(ap);
}

void seq_puts(struct seq *s, const char *text)
{
    append(s, text, strlen(text));
}

void seq_putc(struct seq *s, char c)
{
    append(s, &c, 1);
}

void seq_escape(struct seq *s, const char *text)
{
    for (; *text; text++) {
        if (strchr(" \t\n\\", *text))
            seq_printf(s, "\\%03o", (unsigned char)*text);
        else
            seq_putc(s, *text);
    }
}

size_t seq_length(const struct seq *s)
{
    return s->length;
}

void seq_pad(struct seq *s, size_t from, size_t column)
{
    size_t used = s->length - from;
    if (used < column)
        seq_printf(s, "%*s", (int)(column - used), "");
}

int seq_atomic_begin(struct seq *s, size_t bytes)
{
    s->length = s->lost = 0;
    while (s->page_count * PAGE_SIZE < bytes)
        if (!grow(s))
            return -ENOMEM;
    s->atomic = true;
    return 0;
}

size_t seq_atomic_end(struct seq *s)
{
    s->atomic = false;
    return s->lost;
}

ssize_t seq_read(const struct seq *s, struct uio *uio, loff_t *pos)
{
    size_t done = 0;
    while (uio->resid > 0 && (u64)*pos < s->length) {
        size_t offset = (size_t)*pos % PAGE_SIZE;
        size_t part = MIN(PAGE_SIZE - offset, s->length - (size_t)*pos);
        part = MIN(part, uio->resid);
        size_t moved = uio_write(uio, s->pages[(size_t)*pos / PAGE_SIZE] + offset, part);
        *pos += (loff_t)moved;
        done += moved;
        if (moved < part)
            return done > 0 ? (ssize_t)done : -EFAULT;
    }
    return (ssize_t)done;
}
