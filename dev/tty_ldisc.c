/*
 * The line discipline: what happens to a byte between the line and the program (termios(3)).
 *
 * Input (interrupt context, ->lock held): mapping of CR and NL, flow control, signals, then in
 * canonical mode the editing characters; what remains is stored and echoed. In canonical mode bytes
 * are readable once their line is complete. When the buffer is full: raw input, and canonical input
 * behind complete lines, is refused (the driver holds it until the reader has caught up); a line
 * that alone fills the buffer drops further bytes with a bell, but its end is always let in.
 *
 * Output (->lock held): NL to CR NL and the like, and counting of columns, without which tabs could
 * not be erased. Echo that finds no room is dropped; program output waits.
 */
#include "core/errno.h"
#include "core/panic.h"
#include "lib/string.h"
#include "tty_priv.h"

#include <asm/signal.h>
#include <linux/poll.h>

#define DISABLED_CHAR '\0' /* in c_cc: no such character */
#define TAB_STOP      8
#define BELL          '\a'

/* ---- output ---- */

static bool is_continuation(const struct tty *tty, u8 c)
{
    return tty_has(tty->modes.c_iflag, IUTF8) && (c & 0xc0) == 0x80;
}

/* Sends @n bytes as they are when there is room for all. */
static bool put_raw(struct tty *tty, const void *s, size_t n)
{
    if (tty->driver->room(tty) < n)
        return false;
    tty->driver->write(tty, s, n);
    return true;
}

static bool put_newline(struct tty *tty)
{
    tcflag_t o = tty->modes.c_oflag;
    if (tty_has(o, ONLCR)) {
        if (!put_raw(tty, "\r\n", 2))
            return false;
        tty->column = tty->canon_column = 0;
        return true;
    }
    if (!put_raw(tty, "\n", 1))
        return false;
    if (tty_has(o, ONLRET))
        tty->column = tty->canon_column = 0;
    return true;
}

static bool put_return(struct tty *tty)
{
    tcflag_t o = tty->modes.c_oflag;
    if (tty_has(o, ONOCR) && tty->column == 0)
        return true;
    if (tty_has(o, OCRNL))
        return put_raw(tty, "\n", 1);
    if (!put_raw(tty, "\r", 1))
        return false;
    tty->column = tty->canon_column = 0;
    return true;
}

static bool put_tab(struct tty *tty)
{
    unsigned spaces = TAB_STOP - tty->column % TAB_STOP;
    bool done = (tty->modes.c_oflag & TABDLY) == XTABS ? put_raw(tty, "        ", spaces)
                                                       : put_raw(tty, "\t", 1);
    if (done)
        tty->column += spaces;
    return done;
}

/* One byte through output processing. False when there is no room. */
static bool put_char(struct tty *tty, u8 c)
{
    if (!tty_has(tty->modes.c_oflag, OPOST))
        return put_raw(tty, &c, 1);
    switch (c) {
    case '\n':
        return put_newline(tty);
    case '\r':
        return put_return(tty);
    case '\t':
        return put_tab(tty);
    }
    if (tty_has(tty->modes.c_oflag, OLCUC) && c >= 'a' && c <= 'z')
        c -= 'a' - 'A';
    if (!put_raw(tty, &c, 1))
        return false;
    if (c == '\b')
        tty->column -= tty->column > 0;
    else if (c >= ' ' && c != 0x7f && !is_continuation(tty, c))
        tty->column++;
    return true;
}

/* Length of the run at @s that output processing passes on unchanged. */
static size_t plain_run(const u8 *s, size_t n)
{
    size_t i = 0;
    while (i < n && s[i] >= ' ' && s[i] < 0x7f)
        i++;
    return i;
}

size_t tty_process_output(struct tty *tty, const u8 *s, size_t n)
{
    size_t done = 0;
    tcflag_t o = tty->modes.c_oflag;
    if (tty->stopped)
        return 0;
    while (done < n) {
        size_t run = n - done;
        if (tty_has(o, OPOST))
            run = tty_has(o, OLCUC) ? 0 : plain_run(s + done, n - done);
        if (run > 0) {
            size_t room = tty->driver->room(tty), part = MIN(run, room);
            if (part == 0)
                break;
            tty->driver->write(tty, s + done, part);
            tty->column += tty_has(o, OPOST) ? part : 0;
            done += part;
        } else if (put_char(tty, s[done])) {
            done++;
        } else {
            break;
        }
    }
    return done;
}

void tty_set_stopped(struct tty *tty, bool stopped)
{
    if (tty->stopped == stopped)
        return;
    tty->stopped = stopped;
    if (tty->driver->stop)
        tty->driver->stop(tty, stopped);
    if (!stopped)
        waitq_wake_all_key(&tty->writers, POLLOUT | POLLWRNORM);
}

/* ---- echo ---- */

static bool is_control(u8 c)
{
    return c < ' ' || c == 0x7f;
}

/* True when @c is echoed as ^X. */
static bool shown_as_caret(const struct tty *tty, u8 c)
{
    return tty_has(tty->modes.c_lflag, ECHOCTL) && is_control(c) && c != '\t' && c != '\n';
}

static void echo(struct tty *tty, u8 c)
{
    if (shown_as_caret(tty, c)) {
        u8 caret[2] = {'^', c ^ 0x40};
        if (put_raw(tty, caret, 2))
            tty->column += 2;
    } else {
        (void)put_char(tty, c);
    }
}

static void echo_input(struct tty *tty, u8 c)
{
    tcflag_t l = tty->modes.c_lflag;
    if (tty_has(l, ECHO) || (c == '\n' && tty_has(l, ECHONL) && tty_has(l, ICANON)))
        echo(tty, c);
}

/* Column at which the cursor stands behind the edited line's first bytes, up to position @end. */
static unsigned column_at(const struct tty *tty, u64 end)
{
    unsigned column = tty->canon_column;
    for (u64 p = tty->canon; p < end; p++) {
        u8 c = tty->input[p % TTY_INPUT];
        if (c == '\t')
            column += TAB_STOP - column % TAB_STOP;
        else if (shown_as_caret(tty, c))
            column += 2;
        else if (!is_control(c) && !is_continuation(tty, c))
            column++;
    }
    return column;
}

/* ---- editing ---- */

/* Takes the last character (all bytes of it) off the edited line and off the screen when @show. */
static void erase_one(struct tty *tty, bool show)
{
    unsigned before = show ? column_at(tty, tty->head) : 0;
    bool tab = tty->input[(tty->head - 1) % TTY_INPUT] == '\t';
    do
        tty->head--;
    while (tty->head > tty->canon && is_continuation(tty, tty->input[tty->head % TTY_INPUT]));
    if (!show)
        return;
    for (unsigned after = column_at(tty, tty->head); before > after; before--) {
        if (put_raw(tty, tab ? "\b" : "\b \b", tab ? 1 : 3))
            tty->column -= tty->column > 0;
    }
}

static void edit_erase(struct tty *tty, u8 c)
{
    tcflag_t l = tty->modes.c_lflag;
    if (tty->head == tty->canon)
        return;
    erase_one(tty, tty_has(l, ECHO) && tty_has(l, ECHOE));
    if (tty_has(l, ECHO) && !tty_has(l, ECHOE))
        echo(tty, c);
}

static void edit_kill(struct tty *tty, u8 c)
{
    tcflag_t l = tty->modes.c_lflag;
    bool visual = tty_has(l, ECHO) && tty_has(l, ECHOK) && tty_has(l, ECHOKE) && tty_has(l, ECHOE);
    while (tty->head > tty->canon)
        erase_one(tty, visual);
    if (visual || !tty_has(l, ECHO))
        return;
    echo(tty, c);
    if (tty_has(l, ECHOK))
        echo(tty, '\n');
}

static bool is_word(u8 c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           c >= 0x80;
}

static void edit_word_erase(struct tty *tty)
{
    bool show = tty_has(tty->modes.c_lflag, ECHO) && tty_has(tty->modes.c_lflag, ECHOE);
    bool seen = false;
    while (tty->head > tty->canon) {
        bool word = is_word(tty->input[(tty->head - 1) % TTY_INPUT]);
        if (seen && !word)
            break;
        seen |= word;
        erase_one(tty, show);
    }
}

static void edit_reprint(struct tty *tty, u8 c)
{
    echo(tty, c);
    echo(tty, '\n');
    tty->canon_column = tty->column;
    for (u64 p = tty->canon; p < tty->head; p++)
        echo(tty, tty->input[p % TTY_INPUT]);
}

/* ---- storing ---- */

static size_t used(const struct tty *tty)
{
    return tty->head - tty->tail;
}

/* The last place is kept for a line's end. */
static bool store(struct tty *tty, u8 c, bool end)
{
    if (used(tty) >= TTY_INPUT - (end ? 0 : 1))
        return false;
    size_t at = tty->head++ % TTY_INPUT;
    tty->input[at] = c;
    if (end)
        bitmap_set(tty->ends, at);
    else
        bitmap_clear(tty->ends, at);
    return true;
}

static void line_done(struct tty *tty)
{
    tty->canon = tty->head;
    waitq_wake_all_key(&tty->readers, POLLIN | POLLRDNORM);
}

static void store_line_end(struct tty *tty, u8 c)
{
    if (store(tty, c, true))
        line_done(tty);
}

static void store_data(struct tty *tty, u8 c)
{
    bool canonical = tty_has(tty->modes.c_lflag, ICANON);
    if (tty->head == tty->canon && canonical)
        tty->canon_column = tty->column;
    if (!store(tty, c, false)) {
        if (tty_has(tty->modes.c_iflag, IMAXBEL))
            (void)put_raw(tty, &(u8){BELL}, 1);
        return;
    }
    echo_input(tty, c);
}

void tty_flush_input(struct tty *tty)
{
    tty->tail = tty->canon = tty->head;
    tty->literal_next = false;
}

void tty_canonical_changed(struct tty *tty)
{
    if (tty->head == tty->tail) {
        tty->canon = tty->head;
        return;
    }
    if (tty_has(tty->modes.c_lflag, ICANON)) {
        memset(tty->ends, 0, sizeof(tty->ends));
        bitmap_set(tty->ends, (tty->head - 1) % TTY_INPUT);
    }
    line_done(tty);
}

/* ---- input ---- */

static bool is_cc(const struct tty *tty, unsigned which, u8 c)
{
    return c == tty->modes.c_cc[which] && c != DISABLED_CHAR;
}

static int signal_of(const struct tty *tty, u8 c)
{
    if (!tty_has(tty->modes.c_lflag, ISIG))
        return 0;
    return is_cc(tty, VINTR, c)   ? SIGINT
           : is_cc(tty, VQUIT, c) ? SIGQUIT
           : is_cc(tty, VSUSP, c) ? SIGTSTP
                                  : 0;
}

static void input_signal(struct tty *tty, u8 c, int sig, struct tty_signals *out)
{
    if (!tty_has(tty->modes.c_lflag, NOFLSH)) {
        tty_flush_input(tty);
        if (tty->driver->discard)
            tty->driver->discard(tty);
        waitq_wake_all_key(&tty->writers, POLLOUT | POLLWRNORM);
    }
    tty_set_stopped(tty, false);
    if (tty_has(tty->modes.c_lflag, ECHO))
        echo(tty, c);
    tty_signal_add(out, tty, sig);
}

/* Editing and line ends. False: @c is data. */
static bool input_canonical(struct tty *tty, u8 c)
{
    tcflag_t l = tty->modes.c_lflag;
    bool extended = tty_has(l, IEXTEN);
    if (c == '\n' || is_cc(tty, VEOL, c) || (extended && is_cc(tty, VEOL2, c))) {
        echo_input(tty, c);
        store_line_end(tty, c);
    } else if (is_cc(tty, VEOF, c)) {
        store_line_end(tty, '\0');
    } else if (is_cc(tty, VERASE, c)) {
        edit_erase(tty, c);
    } else if (is_cc(tty, VKILL, c)) {
        edit_kill(tty, c);
    } else if (extended && is_cc(tty, VWERASE, c)) {
        edit_word_erase(tty);
    } else if (extended && is_cc(tty, VLNEXT, c)) {
        tty->literal_next = true;
        if (tty_has(l, ECHO) && tty_has(l, ECHOCTL))
            (void)put_raw(tty, "^\b", 2);
    } else if (extended && tty_has(l, ECHO) && is_cc(tty, VREPRINT, c)) {
        edit_reprint(tty, c);
    } else {
        return false;
    }
    return true;
}

/* ^S and ^Q. True: @c was one. */
static bool input_flow(struct tty *tty, u8 c)
{
    if (!tty_has(tty->modes.c_iflag, IXON))
        return false;
    if (is_cc(tty, VSTART, c)) {
        tty_set_stopped(tty, false);
        return true;
    }
    if (is_cc(tty, VSTOP, c)) {
        tty_set_stopped(tty, true);
        return true;
    }
    if (tty->stopped && tty_has(tty->modes.c_iflag, IXANY))
        tty_set_stopped(tty, false);
    return false;
}

/* CR and NL mapping. False: the byte is dropped. */
static bool input_map(struct tty *tty, u8 *c)
{
    tcflag_t i = tty->modes.c_iflag;
    if (*c == '\r') {
        if (tty_has(i, IGNCR))
            return false;
        if (tty_has(i, ICRNL))
            *c = '\n';
    } else if (*c == '\n' && tty_has(i, INLCR)) {
        *c = '\r';
    }
    return true;
}

static void input_char(struct tty *tty, u8 c, struct tty_signals *signals)
{
    tcflag_t i = tty->modes.c_iflag, l = tty->modes.c_lflag;
    if (tty_has(i, ISTRIP))
        c &= 0x7f;
    if (tty_has(i, IUCLC) && tty_has(l, IEXTEN) && c >= 'A' && c <= 'Z')
        c += 'a' - 'A';
    if (tty->literal_next) {
        tty->literal_next = false;
        store_data(tty, c);
        return;
    }
    int sig = signal_of(tty, c);
    if (sig) {
        input_signal(tty, c, sig, signals);
        return;
    }
    if (input_flow(tty, c) || !input_map(tty, &c))
        return;
    if (tty_has(l, ICANON) && input_canonical(tty, c))
        return;
    store_data(tty, c);
}

/* Must the next byte wait for the reader? */
static bool must_wait(const struct tty *tty)
{
    if (used(tty) < TTY_INPUT - 1)
        return false;
    return !tty_has(tty->modes.c_lflag, ICANON) || tty->canon != tty->tail;
}

size_t tty_receive(struct tty *tty, const u8 *s, size_t n)
{
    struct tty_signals signals = {.set = 0};
    size_t taken = 0;
    {
        SPIN_GUARD_IRQ(&tty->lock);
        u64 before = tty->head;
        while (taken < n && !must_wait(tty))
            input_char(tty, s[taken++], &signals);
        tty->throttled |= taken < n;
        if (!tty_has(tty->modes.c_lflag, ICANON) && tty->head != before)
            waitq_wake_all_key(&tty->readers, POLLIN | POLLRDNORM);
    }
    tty_send_signals(&signals);
    return taken;
}

void tty_receive_break(struct tty *tty)
{
    struct tty_signals signals = {.set = 0};
    {
        SPIN_GUARD_IRQ(&tty->lock);
        tcflag_t i = tty->modes.c_iflag;
        if (tty_has(i, IGNBRK))
            return;
        if (tty_has(i, BRKINT)) {
            tty_flush_input(tty);
            tty_signal_add(&signals, tty, SIGINT);
        } else if (tty_has(i, PARMRK)) {
            (void)(store(tty, 0xff, false) && store(tty, 0, false) && store(tty, 0, false));
        } else {
            (void)store(tty, 0, false);
        }
        waitq_wake_all_key(&tty->readers, POLLIN | POLLRDNORM);
    }
    tty_send_signals(&signals);
}

/* ---- reading ---- */

size_t tty_available(const struct tty *tty)
{
    return (tty_has(tty->modes.c_lflag, ICANON) ? tty->canon : tty->head) - tty->tail;
}

static bool is_end(const struct tty *tty, u64 p)
{
    return bitmap_test(tty->ends, p % TTY_INPUT);
}

static bool is_eof_mark(const struct tty *tty, u64 p)
{
    return is_end(tty, p) && tty->input[p % TTY_INPUT] == '\0';
}

size_t tty_peek(const struct tty *tty, u8 *buf, size_t n, u64 *used_out, bool *stop)
{
    bool canonical = tty_has(tty->modes.c_lflag, ICANON);
    u64 p = tty->tail, limit = tty->tail + tty_available(tty);
    size_t got = 0;
    *stop = false;
    while (p < limit && got < n && !*stop) {
        if (canonical && is_end(tty, p))
            *stop = true;
        if (!(canonical && is_eof_mark(tty, p)))
            buf[got++] = tty->input[p % TTY_INPUT];
        p++;
    }
    /* An end of file right behind the last byte that fits belongs to this read: or the next one
     * would see an end of file that ended a line. */
    if (canonical && !*stop && got > 0 && p < limit && is_eof_mark(tty, p)) {
        *stop = true;
        p++;
    }
    *used_out = p - tty->tail;
    return got;
}
