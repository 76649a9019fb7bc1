/*
 * The kernel log: a ring of records, the oldest overwritten first, and the console's copy.
 *
 *     tail                       head            offsets grow without end; modulo LOG_SIZE they
 *      | header text | header text |             are places in the ring
 *
 * A record is a 16-byte header and its text, padded to 16 bytes; so a header never wraps around the
 * end of the ring, only text does. Records are numbered; the numbers are not stored: the one at
 * @tail is @first_seq.
 *
 * One leaf lock guards everything, console output included, so that lines keep their order and come
 * out whole. In a panic the other CPUs are stopped or about to be, and the lock is ignored.
 */
#include "core/log.h"

#include "core/param.h"
#include "core/spinlock.h"
#include "core/timer.h"
#include "lib/fmt.h"
#include "lib/string.h"

#define LOG_SIZE (64 * 1024UL)
#define LINE_MAX 512 /* longest text; more is cut */

struct record {
    u64 time;
    u32 length; /* of the text */
    u32 level;
};
_Static_assert(sizeof(struct record) == 16, "headers must tile the ring");

/* Taken in interrupts; nothing is taken below it but the console driver's. */
DEFINE_LOCK_CLASS(log_lock_class, "log");
static struct spinlock log_lock = SPINLOCK_INIT(log_lock_class);
static u8 ring[LOG_SIZE] __aligned(16);
static u64 head, tail, first_seq, next_seq;
static char line[LINE_MAX]; /* the text being logged */
static void (*console)(const char *s, size_t n);
static bool panic_mode;

int log_console_level = 7;
PARAM_NUMBER(log_console_level, "loglevel", 0, 15, true,
             "log records of a level below this reach the console");

static irqflags_t lock(void)
{
    irqflags_t flags = arch_irq_save();
    if (likely(!READ_ONCE(panic_mode)))
        spin_lock(&log_lock);
    return flags;
}

static void unlock(irqflags_t flags)
{
    if (likely(!READ_ONCE(panic_mode)))
        spin_unlock_irq(&log_lock, flags);
    else
        arch_irq_restore(flags);
}

void log_panic_mode(void)
{
    WRITE_ONCE(panic_mode, true);
}

static struct record *record_at(u64 offset)
{
    return (struct record *)(ring + offset % LOG_SIZE);
}

static u64 record_size(u32 length)
{
    return ALIGN_UP(sizeof(struct record) + length, sizeof(struct record));
}

/* Copies ring bytes from @offset on out of, or (@in) into the ring. */
static void ring_copy(u64 offset, char *buf, size_t n, bool in)
{
    while (n > 0) {
        u8 *place = ring + offset % LOG_SIZE;
        size_t part = MIN(n, LOG_SIZE - offset % LOG_SIZE);
        if (in)
            memcpy(place, buf, part);
        else
            memcpy(buf, place, part);
        offset += part;
        buf += part;
        n -= part;
    }
}

/* "[sec.usec] " of @r; returns its length. */
static size_t format_time(const struct record *r, char *buf, size_t size)
{
    u64 us = r->time / 1000;
    return snprintf(buf, size, "[%5lu.%06lu] ", (unsigned long)(us / 1000000),
                    (unsigned long)(us % 1000000));
}

/* The record at @offset to the console, if its level says so. */
static void to_console(u64 offset)
{
    const struct record *r = record_at(offset);
    char text[64];
    if (!console || ((int)r->level >= log_console_level && !panic_mode))
        return;
    console(text, format_time(r, text, sizeof(text)));
    for (u32 done = 0; done < r->length;) {
        size_t part = MIN(r->length - done, sizeof(text));
        ring_copy(offset + sizeof(*r) + done, text, part, false);
        console(text, part);
        done += part;
    }
    console("\n", 1);
}

static void append(enum log_level level, char *text, size_t length)
{
    u64 size = record_size(length), offset = head;
    while (head + size - tail > LOG_SIZE) {
        tail += record_size(record_at(tail)->length);
        first_seq++;
    }
    *record_at(offset) = (struct record){.time = time_ns(), .length = length, .level = level};
    ring_copy(offset + sizeof(struct record), text, length, true);
    head += size;
    next_seq++;
    to_console(offset);
}

void log_printf(enum log_level level, const char *fmt, ...)
{
    va_list ap;
    irqflags_t flags = lock();
    va_start(ap, fmt);
    size_t length = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    length = MIN(length, sizeof(line) - 1);
    if (length > 0 && line[length - 1] == '\n')
        length--;
    append(level, line, length);
    unlock(flags);
}

void log_set_console(void (*write)(const char *s, size_t n))
{
    irqflags_t flags = lock();
    bool first = !console;
    console = write;
    if (first && write)
        for (u64 offset = tail; offset < head; offset += record_size(record_at(offset)->length))
            to_console(offset);
    unlock(flags);
}

/* One record as a line; returns its length, cut to @size. */
static size_t format_record(u64 offset, char *buf, size_t size)
{
    const struct record *r = record_at(offset);
    char prefix[48];
    size_t n = snprintf(prefix, sizeof(prefix), "<%u>", (unsigned)r->level);
    n += format_time(r, prefix + n, sizeof(prefix) - n);
    size_t from_prefix = MIN(n, size);
    memcpy(buf, prefix, from_prefix);
    size_t from_text = MIN((size_t)r->length, size - from_prefix);
    ring_copy(offset + sizeof(*r), buf + from_prefix, from_text, false);
    if (from_prefix + from_text == size)
        return size;
    buf[from_prefix + from_text] = '\n';
    return from_prefix + from_text + 1;
}

/* Length of the line that format_record() makes, given room enough. */
static size_t line_length(u64 offset)
{
    const struct record *r = record_at(offset);
    char prefix[48];
    return 3 + format_time(r, prefix, sizeof(prefix)) + r->length + 1;
}

size_t log_read(u64 *seq, char *buf, size_t size)
{
    size_t done = 0;
    irqflags_t flags = lock();
    u64 at = first_seq;
    if (*seq < first_seq)
        *seq = first_seq;
    for (u64 offset = tail; offset < head; offset += record_size(record_at(offset)->length)) {
        if (at++ < *seq)
            continue;
        /* whole lines only, unless not even one fits */
        if (done == size || (done > 0 && line_length(offset) > size - done))
            break;
        done += format_record(offset, buf + done, size - done);
        ++*seq;
    }
    unlock(flags);
    return done;
}

u64 log_first_seq(void)
{
    irqflags_t flags = lock();
    u64 seq = first_seq;
    unlock(flags);
    return seq;
}

u64 log_next_seq(void)
{
    irqflags_t flags = lock();
    u64 seq = next_seq;
    unlock(flags);
    return seq;
}
