/* struct tty, shared by the parts of the terminal code: tty.c, tty_ldisc.c, tty_ioctl.c. */
#pragma once

#include "core/mutex.h"
#include "core/waitq.h"
#include "dev/tty.h"
#include "lib/bitmap.h"

#include <asm/termios.h>

#define TTY_INPUT 4096 /* bytes of input held, a power of two: one line, as Linux */

/*
 * Legend: l: ->lock (interrupt-safe, outer to the drivers' locks);  r: ->read_mutex;
 *         a: atomic;  c: constant.
 *
 * Positions in the input are free-running counts of bytes; byte p lies in input[p % TTY_INPUT].
 *
 *      tail                 canon                 head
 *       | complete lines      | line being edited   |          (canonical mode)
 *       | available bytes                           |          (raw mode; canon is not looked at)
 *
 * A bit in ->ends marks the last byte of a line. An end of file typed as VEOF is a NUL with such a
 * mark (a NUL typed as data never has one, since VEOL and VEOL2 are not NUL when they are on).
 */
struct tty {
    int refs;                        /* a */
    const struct tty_driver *driver; /* c */
    void *driver_data;               /* c */
    u32 dev;                         /* c */

    struct spinlock lock;
    struct termios2 modes; /* l */
    u32 modes_version;     /* l: counts changes, so that sleeping readers look again */
    struct winsize size;   /* l */
    s32 session, pgrp;     /* l: written; may be read without */
    bool exclusive;        /* l: TIOCEXCL */
    bool hung_up;          /* l: for good */
    bool stopped;          /* l: output, by ^S or TCXONC */

    /* input */
    u8 input[TTY_INPUT];               /* l */
    u64 ends[BITMAP_WORDS(TTY_INPUT)]; /* l */
    u64 head, canon, tail;             /* l; tail: also r */
    bool literal_next;                 /* l: after VLNEXT */
    bool throttled;                    /* l: tty_receive() has refused bytes */

    /* output */
    unsigned column;       /* l: of the cursor */
    unsigned canon_column; /* l: where the line being edited began */

    struct mutex read_mutex, write_mutex;
    struct waitq readers, writers;
};

extern const struct tty_proc_ops *tty_proc; /* NULL before proc/ has started */

/* Signals that a piece of input or an ioctl calls for; sent when ->lock is free again. */
struct tty_signals {
    s32 pgrp;
    u64 set; /* bit n: signal n */
};
void tty_send_signals(const struct tty_signals *sig);
static inline void tty_signal_add(struct tty_signals *sig, const struct tty *tty, int n)
{
    sig->pgrp = tty->pgrp;
    sig->set |= 1UL << n;
}

static inline bool tty_has(const tcflag_t flags, tcflag_t bit)
{
    return flags & bit;
}

/* tty_ldisc.c. All => locked. */
/* Bytes a read can return now: whole lines' in canonical mode. */
size_t tty_available(const struct tty *tty);
/*
 * Copies up to @n readable bytes from position @tail on, in canonical mode of one line at most,
 * without consuming. *@used: positions to consume, *@stop: the read must end behind them (a line's
 * end).
 */
size_t tty_peek(const struct tty *tty, u8 *buf, size_t n, u64 *used, bool *stop);
void tty_flush_input(struct tty *tty);
/* Output processing: sends @n bytes as far as there is room. Returns how many were taken. */
size_t tty_process_output(struct tty *tty, const u8 *s, size_t n);
/* The change between canonical and raw mode: what was typed so far counts as a line. */
void tty_canonical_changed(struct tty *tty);
void tty_set_stopped(struct tty *tty, bool stopped);

/* tty.c */
/* Job control: 0 when the caller may go on; -EIO, or -ERESTARTSYS with @sig sent to its group, when
 * it is in the background. => Not locked. */
int tty_check_background(struct tty *tty, int sig);
/* Is @tty the controlling terminal of the caller's session? */
bool tty_is_controlling(const struct tty *tty);
/* Sleeps until all output is out. 0, -ERESTARTSYS, -EIO. => Not locked. */
int tty_drain(struct tty *tty);
/* Input was consumed or flushed: lets the driver go on. => Not locked. */
void tty_unthrottle(struct tty *tty);
