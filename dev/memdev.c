/* The devices without hardware: null, zero, full (null(4), full(4)), random, urandom (random(4)),
 * and kmsg, the kernel log. */
#include "core/errno.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/timer.h"
#include "dev/char.h"
#include "dev/random.h"
#include "dev_priv.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "mm/object.h"
#include "mm/slab.h"
#include "mm/usercopy.h"

#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/random.h>

#define CHUNK        256 /* bytes of random data per step */
#define KMSG_LINE    1024
#define KMSG_POLL_NS (100 * NSEC_PER_MSEC)

static ssize_t null_read(struct char_file *f, struct uio *uio, unsigned flags)
{
    return 0;
}

/* Everything is taken; the bytes are not even looked at. */
static ssize_t null_write(struct char_file *f, struct uio *uio, unsigned flags)
{
    size_t n = uio->resid;
    uio->resid = 0;
    return n;
}

static loff_t null_seek(struct char_file *f, loff_t offset, int whence)
{
    return 0;
}

static ssize_t zero_read(struct char_file *f, struct uio *uio, unsigned flags)
{
    size_t total = 0;
    while (uio->resid) {
        size_t n = uio_zero(uio, MIN(uio->resid, PAGE_SIZE));
        if (n == 0)
            return total ? total : -EFAULT;
        total += n;
        if (signal_pending())
            break;
    }
    return total;
}

static int zero_mmap(struct char_file *f, u64 size, bool shared, struct vm_object **out)
{
    *out = NULL;
    return shared ? anon_object_create(size, true, out) : 0;
}

static ssize_t full_write(struct char_file *f, struct uio *uio, unsigned flags)
{
    return uio->resid ? -ENOSPC : 0;
}

static ssize_t urandom_read(struct char_file *f, struct uio *uio, unsigned flags)
{
    u8 chunk[CHUNK];
    size_t total = 0;
    while (uio->resid) {
        size_t want = MIN(uio->resid, sizeof(chunk));
        random_bytes(chunk, want);
        size_t n = uio_write(uio, chunk, want);
        total += n;
        if (n < want || signal_pending())
            break;
    }
    memset(chunk, 0, sizeof(chunk));
    return total || !uio->resid ? (ssize_t)total : -EFAULT;
}

static ssize_t random_read(struct char_file *f, struct uio *uio, unsigned flags)
{
    if (!random_ready()) {
        if (flags & CHAR_NONBLOCK)
            return -EAGAIN;
        if (random_wait_ready() < 0)
            return -ERESTARTSYS;
    }
    return urandom_read(f, uio, flags);
}

/* Written bytes are mixed in and credited with nothing. */
static ssize_t random_write(struct char_file *f, struct uio *uio, unsigned flags)
{
    u8 chunk[CHUNK];
    size_t total = 0;
    while (uio->resid) {
        size_t n = uio_read(uio, chunk, sizeof(chunk));
        if (n == 0)
            return total ? total : -EFAULT;
        random_add(chunk, n, 0);
        total += n;
        if (signal_pending())
            break;
    }
    return total;
}

static long random_ioctl(struct char_file *f, unsigned cmd, u64 arg)
{
    int bits = random_entropy_bits();
    if (cmd == RNDGETENTCNT)
        return PUT_USER(arg, bits);
    return -ENOTTY;
}

static u32 random_poll(struct char_file *f, struct poll_table *table)
{
    random_poll_wait(table);
    return POLLOUT | POLLWRNORM | (random_ready() ? POLLIN | POLLRDNORM : 0);
}

/* An open /dev/kmsg. */
struct kmsg {
    u64 seq; /* next record to read */
};

static int kmsg_open(struct char_file *f)
{
    struct kmsg *k = kzalloc(sizeof(*k), 0);
    if (!k)
        return -ENOMEM;
    k->seq = log_first_seq();
    f->private = k;
    return 0;
}

static void kmsg_release(struct char_file *f)
{
    kfree(f->private);
}

/* Turns the log's "<level>[sec.usec] text" into kmsg's "level,sequence,usec,-;text\n". Returns the
 * length. */
static int kmsg_format(const char *line, u64 seq, char *out, size_t size)
{
    u64 level = LOG_INFO, sec = 0, usec = 0;
    const char *s = line;
    if (*s == '<' && str_to_u64(s + 1, 10, &level, &s) == 0 && *s == '>')
        s++;
    if (*s == '[') {
        for (s++; *s == ' '; s++)
            ;
        if (str_to_u64(s, 10, &sec, &s) == 0 && *s == '.')
            (void)str_to_u64(s + 1, 10, &usec, &s);
        if (*s == ']')
            s++;
        if (*s == ' ')
            s++;
    }
    const char *end = strchr(s, '\n');
    int text = end ? end - s : (int)strlen(s);
    int n = snprintf(out, size, "%lu,%lu,%lu,-;%.*s\n", level, seq, sec * 1000000 + usec, text, s);
    return MIN(n, (int)size - 1);
}

/* The log can be written in any context and so has no wait queue: a reader at its end looks again
 * from time to time. */
static int kmsg_wait(struct kmsg *k, unsigned flags)
{
    while (k->seq >= log_next_seq()) {
        if (flags & CHAR_NONBLOCK)
            return -EAGAIN;
        if (sleep_until(time_ns() + KMSG_POLL_NS) < 0)
            return -ERESTARTSYS;
    }
    return 0;
}

static ssize_t kmsg_read(struct char_file *f, struct uio *uio, unsigned flags)
{
    struct kmsg *k = f->private;
    int r = kmsg_wait(k, flags);
    if (r < 0)
        return r;
    u64 first = log_first_seq();
    if (k->seq < first) {
        k->seq = first; /* records were overwritten unread */
        return -EPIPE;
    }
    char *line = kmalloc(2 * KMSG_LINE, 0);
    if (!line)
        return -ENOMEM;
    char *text = line + KMSG_LINE;
    u64 seq = k->seq;
    size_t got = log_read(&seq, line, KMSG_LINE - 1);
    line[got] = '\0';
    ssize_t n = kmsg_format(line, k->seq, text, KMSG_LINE);
    if ((size_t)n > uio->resid)
        n = -EINVAL;
    else if (uio_write(uio, text, n) < (size_t)n)
        n = -EFAULT;
    else
        k->seq++;
    kfree(line);
    return n;
}

/* A line for the log; "<n>" in front sets its level. */
static ssize_t kmsg_write(struct char_file *f, struct uio *uio, unsigned flags)
{
    size_t len = uio->resid;
    if (len >= KMSG_LINE)
        return -EINVAL;
    char *line = kmalloc(KMSG_LINE, 0);
    if (!line)
        return -ENOMEM;
    size_t got = uio_read(uio, line, len);
    line[got] = '\0';
    const char *s = line;
    u64 level = LOG_WARN;
    if (*s == '<' && str_to_u64(s + 1, 10, &level, &s) == 0 && *s == '>')
        s++;
    else
        s = line;
    if (got == len)
        log_printf(level & 7, "%s", s);
    kfree(line);
    return got == len ? (ssize_t)len : -EFAULT;
}

static loff_t kmsg_seek(struct char_file *f, loff_t offset, int whence)
{
    struct kmsg *k = f->private;
    if (offset != 0)
        return -ESPIPE;
    switch (whence) {
    case SEEK_SET:
    case SEEK_DATA: /* Linux: behind the last SYSLOG_ACTION_CLEAR, which the reader keeps itself */
        k->seq = log_first_seq();
        return 0;
    case SEEK_END:
        k->seq = log_next_seq();
        return 0;
    default:
        return -EINVAL;
    }
}

static u32 kmsg_poll(struct char_file *f, struct poll_table *table)
{
    struct kmsg *k = f->private;
    return POLLOUT | POLLWRNORM | (k->seq < log_next_seq() ? POLLIN | POLLRDNORM : 0);
}

static const struct char_ops null_ops = {.read = null_read, .write = null_write, .seek = null_seek};
static const struct char_ops zero_ops = {
    .read = zero_read, .write = null_write, .seek = null_seek, .mmap = zero_mmap};
static const struct char_ops full_ops = {
    .read = zero_read, .write = full_write, .seek = null_seek, .mmap = zero_mmap};
static const struct char_ops random_ops = {
    .read = random_read, .write = random_write, .ioctl = random_ioctl, .poll = random_poll};
static const struct char_ops urandom_ops = {
    .read = urandom_read, .write = random_write, .ioctl = random_ioctl};
static const struct char_ops kmsg_ops = {.open = kmsg_open,
                                         .release = kmsg_release,
                                         .read = kmsg_read,
                                         .write = kmsg_write,
                                         .seek = kmsg_seek,
                                         .poll = kmsg_poll};

/* The minor numbers are Linux's. */
static struct memdev {
    struct char_device cdev;
    u32 minor;
} memdevs[] = {
    {{.name = "null", .mode = 0666, .ops = &null_ops}, 3},
    {{.name = "zero", .mode = 0666, .ops = &zero_ops}, 5},
    {{.name = "full", .mode = 0666, .ops = &full_ops}, 7},
    {{.name = "random", .mode = 0666, .ops = &random_ops}, 8},
    {{.name = "urandom", .mode = 0666, .ops = &urandom_ops}, 9},
    {{.name = "kmsg", .mode = 0644, .ops = &kmsg_ops}, 11},
};

void memdev_init(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(memdevs); i++) {
        memdevs[i].cdev.dev = devno_make(DEVNO_MEM, memdevs[i].minor);
        int r = char_register(&memdevs[i].cdev);
        assert(r == 0);
    }
}
