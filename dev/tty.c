/*
 * Terminals: life cycle, reading and writing, job control, the device files.
 *
 * A tty lives between a driver below (bytes on a line) and files above. Its spinlock is taken in
 * interrupt context and so never while touching user memory: bytes are copied through a small
 * buffer. A reader looks at the input under the lock, copies to user memory without it, then
 * consumes under it what was really copied; the read mutex keeps other readers out meanwhile.
 *
 * Sessions are numbers here. The controlling terminal of a process is known to proc/, which holds a
 * reference to the tty; the tty knows the session and its foreground group.
 *
 * Signals are collected under the lock and sent without it.
 */
#include "core/errno.h"
#include "core/panic.h"
#include "dev/char.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "mm/usercopy.h"
#include "tty_priv.h"

#include <asm/signal.h>
#include <linux/fcntl.h>
#include <linux/poll.h>

#define CHUNK         256
#define DRAIN_POLL_NS (10 * NSEC_PER_MSEC)
#define DECISECOND_NS (100 * NSEC_PER_MSEC)

static DEFINE_LOCK_CLASS(tty_class, "tty");
static DEFINE_LOCK_CLASS(tty_read_class, "tty_read");
static DEFINE_LOCK_CLASS(tty_write_class, "tty_write");

const struct tty_proc_ops *tty_proc;
static struct tty *console; /* first terminal registered */

void tty_set_proc_ops(const struct tty_proc_ops *ops)
{
    store_release(&tty_proc, ops);
}

/* ---- life cycle ---- */

/* Linux's default modes. */
static const struct termios2 default_modes = {
    .c_iflag = ICRNL | IXON,
    .c_oflag = OPOST | ONLCR,
    .c_cflag = B115200 | CS8 | CREAD | HUPCL | CLOCAL,
    .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    .c_cc = {[VINTR] = 3,
             [VQUIT] = 28,
             [VERASE] = 127,
             [VKILL] = 21,
             [VEOF] = 4,
             [VMIN] = 1,
             [VSTART] = 17,
             [VSTOP] = 19,
             [VSUSP] = 26,
             [VREPRINT] = 18,
             [VDISCARD] = 15,
             [VWERASE] = 23,
             [VLNEXT] = 22},
    .c_ispeed = 115200,
    .c_ospeed = 115200,
};

int tty_create(const struct tty_driver *driver, void *driver_data, u32 dev, struct tty **out)
{
    struct tty *tty = kzalloc(sizeof(*tty), 0);
    if (!tty)
        return -ENOMEM;
    tty->refs = 1;
    tty->driver = driver;
    tty->driver_data = driver_data;
    tty->dev = dev;
    tty->modes = default_modes;
    spin_init(&tty->lock, &tty_class);
    mutex_init(&tty->read_mutex, &tty_read_class);
    mutex_init(&tty->write_mutex, &tty_write_class);
    waitq_init(&tty->readers);
    waitq_init(&tty->writers);
    *out = tty;
    return 0;
}

void tty_get(struct tty *tty)
{
    debug_assert(READ_ONCE(tty->refs) > 0);
    atomic_add_relaxed(&tty->refs, 1);
}

void tty_put(struct tty *tty)
{
    debug_assert(READ_ONCE(tty->refs) > 0);
    if (atomic_sub(&tty->refs, 1) == 0)
        kfree(tty);
}

u32 tty_dev(const struct tty *tty)
{
    return tty->dev;
}

s32 tty_session(const struct tty *tty)
{
    return READ_ONCE(tty->session);
}

s32 tty_pgrp(const struct tty *tty)
{
    return READ_ONCE(tty->pgrp);
}

/* ---- sessions and job control ---- */

void tty_send_signals(const struct tty_signals *sig)
{
    const struct tty_proc_ops *proc = load_acquire(&tty_proc);
    if (!proc || sig->pgrp == 0)
        return;
    for (int n = 1; n < 64; n++)
        if (sig->set >> n & 1)
            (void)proc->signal_pgrp(sig->pgrp, n); /* an empty group has nobody to tell */
}

bool tty_is_controlling(const struct tty *tty)
{
    const struct tty_proc_ops *proc = load_acquire(&tty_proc);
    s32 session = tty_session(tty);
    return proc && session != 0 && session == proc->self_session();
}

int tty_check_background(struct tty *tty, int sig)
{
    const struct tty_proc_ops *proc = load_acquire(&tty_proc);
    if (!tty_is_controlling(tty))
        return 0;
    s32 self = proc->self_pgrp(), foreground = tty_pgrp(tty);
    if (foreground == 0 || foreground == self)
        return 0;
    if (proc->self_ignores(sig))
        return sig == SIGTTIN ? -EIO : 0;
    if (proc->pgrp_orphaned(self))
        return -EIO;
    (void)proc->signal_pgrp(self, sig);
    return -ERESTARTSYS;
}

void tty_session_ended(struct tty *tty, s32 session)
{
    struct tty_signals signals = {.set = 0};
    {
        SPIN_GUARD_IRQ(&tty->lock);
        if (tty->session != session)
            return;
        tty_signal_add(&signals, tty, SIGHUP);
        tty_signal_add(&signals, tty, SIGCONT);
        tty->session = tty->pgrp = 0;
        tty_set_stopped(tty, false);
    }
    tty_send_signals(&signals);
}

void tty_hangup(struct tty *tty)
{
    struct tty_signals signals = {.set = 0};
    s32 session;
    {
        SPIN_GUARD_IRQ(&tty->lock);
        if (tty->hung_up)
            return;
        tty->hung_up = true;
        session = tty->session;
        tty_signal_add(&signals, tty, SIGHUP);
        tty_signal_add(&signals, tty, SIGCONT);
        tty_set_stopped(tty, false);
    }
    waitq_wake_all_key(&tty->readers, POLLIN | POLLHUP | POLLERR);
    waitq_wake_all_key(&tty->writers, POLLOUT | POLLHUP | POLLERR);
    const struct tty_proc_ops *proc = load_acquire(&tty_proc);
    if (proc && session)
        (void)proc->signal_session(session, SIGHUP);
    tty_send_signals(&signals);
}

/* A session leader without a terminal gets the first one it opens. */
static void acquire_controlling(struct tty *tty)
{
    const struct tty_proc_ops *proc = load_acquire(&tty_proc);
    if (!proc || !proc->self_is_leader())
        return;
    struct tty *own = proc->self_tty();
    if (own) {
        tty_put(own);
        return;
    }
    {
        SPIN_GUARD_IRQ(&tty->lock);
        if (tty->session)
            return;
        tty->session = proc->self_session();
        tty->pgrp = proc->self_pgrp();
    }
    if (proc->session_attach(tty) < 0) {
        SPIN_GUARD_IRQ(&tty->lock);
        tty->session = tty->pgrp = 0;
    }
}

int tty_open(struct tty *tty, unsigned open_flags)
{
    const struct tty_proc_ops *proc = load_acquire(&tty_proc);
    if (READ_ONCE(tty->hung_up))
        return -EIO;
    if (READ_ONCE(tty->exclusive) && proc && !proc->self_is_admin())
        return -EBUSY;
    if (!(open_flags & O_NOCTTY))
        acquire_controlling(tty);
    return 0;
}

/* ---- reading ---- */

void tty_unthrottle(struct tty *tty)
{
    {
        SPIN_GUARD_IRQ(&tty->lock);
        if (!tty->throttled)
            return;
        tty->throttled = false;
    }
    if (tty->driver->input_ready)
        tty->driver->input_ready(tty);
}

/* What decides when a read returns, as it stands now (the modes may change during it). */
struct read_rule {
    bool canonical, hung_up;
    size_t available;
    u32 version;  /* of the modes */
    unsigned min; /* raw: bytes to wait for */
    u64 time;     /* raw: VTIME in ns, 0: none */
};

static void look(struct tty *tty, struct read_rule *rule)
{
    SPIN_GUARD_IRQ(&tty->lock);
    rule->canonical = tty_has(tty->modes.c_lflag, ICANON);
    rule->hung_up = tty->hung_up;
    rule->available = tty_available(tty);
    rule->version = tty->modes_version;
    rule->min = tty->modes.c_cc[VMIN];
    rule->time = tty->modes.c_cc[VTIME] * DECISECOND_NS;
}

/* Has anything changed since @old was looked at that could end the wait? */
static bool input_changed(struct tty *tty, const struct read_rule *old)
{
    struct read_rule now;
    look(tty, &now);
    return now.available != old->available || now.version != old->version || now.hung_up;
}

/*
 * Waits until a read of @want bytes may return (termios(3), "Canonical and noncanonical mode").
 * Returns 0 (perhaps with nothing to read: end of file, time is up), -EAGAIN, -ERESTARTSYS.
 */
static int wait_input(struct tty *tty, size_t want, unsigned flags)
{
    struct read_rule rule;
    u64 deadline = TIME_NEVER;
    for (size_t had = ~0UL;;) {
        look(tty, &rule);
        size_t goal = rule.canonical ? 1 : MIN(MAX(rule.min, 1u), want);
        if (rule.hung_up || rule.available >= goal)
            return 0;
        if (!rule.canonical && rule.min == 0 && rule.time == 0)
            return 0;
        if (flags & CHAR_NONBLOCK)
            return rule.available ? 0 : -EAGAIN;
        if (!rule.canonical && rule.time && rule.available != had &&
            (rule.min == 0 ? deadline == TIME_NEVER : rule.available > 0))
            deadline = time_ns() + rule.time; /* MIN > 0: starts again with every byte */
        had = rule.available;
        int r = wait_event_timeout(&tty->readers, input_changed(tty, &rule), deadline);
        if (r == -ETIMEDOUT)
            return 0;
        if (r < 0)
            return had && !rule.canonical ? 0 : -ERESTARTSYS;
    }
}

/* Copies what is readable, in canonical mode one line. Returns bytes, -EFAULT. */
static ssize_t copy_input(struct tty *tty, struct uio *uio)
{
    u8 chunk[CHUNK];
    size_t total = 0;
    bool stop = false;
    while (uio->resid && !stop) {
        u64 from, used;
        size_t n, moved;
        {
            SPIN_GUARD_IRQ(&tty->lock);
            from = tty->tail;
            n = tty_peek(tty, chunk, MIN(uio->resid, sizeof(chunk)), &used, &stop);
        }
        if (used == 0)
            break;
        moved = n ? uio_write(uio, chunk, n) : 0;
        if (moved < n) {
            used = moved;
            stop = true;
        }
        {
            SPIN_GUARD_IRQ(&tty->lock);
            if (tty->tail == from) /* else it was flushed meanwhile */
                tty->tail += used;
        }
        total += moved;
        if (moved < n && total == 0)
            return -EFAULT;
    }
    return total;
}

static int lock_for(struct mutex *m, unsigned flags)
{
    if (flags & CHAR_NONBLOCK)
        return mutex_trylock(m) ? 0 : -EAGAIN;
    return mutex_lock_intr(m) < 0 ? -ERESTARTSYS : 0;
}

ssize_t tty_read(struct tty *tty, struct uio *uio, unsigned flags)
{
    if (uio->resid == 0)
        return 0;
    ssize_t r = tty_check_background(tty, SIGTTIN);
    if (r == 0)
        r = lock_for(&tty->read_mutex, flags);
    if (r < 0)
        return r;
    r = wait_input(tty, uio->resid, flags);
    if (r == 0)
        r = copy_input(tty, uio);
    mutex_unlock(&tty->read_mutex);
    tty_unthrottle(tty);
    return r;
}

/* ---- writing ---- */

static size_t write_some(struct tty *tty, const u8 *s, size_t n)
{
    SPIN_GUARD_IRQ(&tty->lock);
    return tty->hung_up ? 0 : tty_process_output(tty, s, n);
}

/* Two bytes: what the longest ordinary expansion takes. */
static bool can_write(struct tty *tty)
{
    SPIN_GUARD_IRQ(&tty->lock);
    return tty->hung_up || (!tty->stopped && tty->driver->room(tty) >= 8);
}

/* Sends all of @s. Returns bytes taken; *@error says why not all were. */
static size_t write_chunk(struct tty *tty, const u8 *s, size_t n, unsigned flags, int *error)
{
    size_t done = 0;
    for (;;) {
        done += write_some(tty, s + done, n - done);
        if (done == n)
            return done;
        if (READ_ONCE(tty->hung_up)) {
            *error = -EIO;
            return done;
        }
        if (flags & CHAR_NONBLOCK) {
            *error = -EAGAIN;
            return done;
        }
        if (wait_event_intr(&tty->writers, can_write(tty)) < 0) {
            *error = -ERESTARTSYS;
            return done;
        }
    }
}

ssize_t tty_write(struct tty *tty, struct uio *uio, unsigned flags)
{
    u8 chunk[CHUNK];
    size_t total = 0;
    int r = 0;
    if (tty_has(READ_ONCE(tty->modes.c_lflag), TOSTOP))
        r = tty_check_background(tty, SIGTTOU);
    if (r == 0 && READ_ONCE(tty->hung_up))
        r = -EIO;
    if (r == 0)
        r = lock_for(&tty->write_mutex, flags);
    if (r < 0)
        return r;
    while (uio->resid && r == 0) {
        size_t n = uio_read(uio, chunk, MIN(uio->resid, sizeof(chunk)));
        if (n == 0)
            r = -EFAULT;
        else
            total += write_chunk(tty, chunk, n, flags, &r);
    }
    mutex_unlock(&tty->write_mutex);
    return total ? (ssize_t)total : r;
}

void tty_output_ready(struct tty *tty)
{
    waitq_wake_all_key(&tty->writers, POLLOUT | POLLWRNORM);
}

static bool drained(struct tty *tty)
{
    SPIN_GUARD_IRQ(&tty->lock);
    return tty->hung_up || tty->driver->pending(tty) == 0;
}

int tty_drain(struct tty *tty)
{
    /* A driver need not announce the last byte: look again from time to time. */
    for (;;) {
        int r = wait_event_timeout(&tty->writers, drained(tty), time_ns() + DRAIN_POLL_NS);
        if (r == 0)
            return READ_ONCE(tty->hung_up) ? -EIO : 0;
        if (r != -ETIMEDOUT)
            return -ERESTARTSYS;
    }
}

u32 tty_poll(struct tty *tty, struct poll_table *table)
{
    poll_wait(table, &tty->readers);
    poll_wait(table, &tty->writers);
    SPIN_GUARD_IRQ(&tty->lock);
    u32 mask = 0;
    size_t goal = 1;
    if (!tty_has(tty->modes.c_lflag, ICANON) && tty->modes.c_cc[VTIME] == 0)
        goal = MAX(tty->modes.c_cc[VMIN], 1);
    if (tty_available(tty) >= goal)
        mask |= POLLIN | POLLRDNORM;
    if (tty->hung_up)
        return mask | POLLIN | POLLRDNORM | POLLHUP | POLLERR;
    if (!tty->stopped && tty->driver->room(tty) >= 8)
        mask |= POLLOUT | POLLWRNORM;
    return mask;
}

/* ---- device files ---- */

static int open_with(struct char_file *f, struct tty *tty, unsigned flags)
{
    int r = tty_open(tty, flags);
    if (r < 0)
        return r;
    tty_get(tty);
    f->private = tty;
    return 0;
}

static int serial_open(struct char_file *f)
{
    return open_with(f, f->dev->driver, f->flags);
}

/* Opening the console never makes it a controlling terminal. */
static int console_open(struct char_file *f)
{
    return open_with(f, console, f->flags | O_NOCTTY);
}

static int current_open(struct char_file *f)
{
    const struct tty_proc_ops *proc = load_acquire(&tty_proc);
    struct tty *tty = proc ? proc->self_tty() : NULL;
    if (!tty)
        return -ENXIO;
    int r = open_with(f, tty, f->flags | O_NOCTTY);
    tty_put(tty);
    return r;
}

static void file_release(struct char_file *f)
{
    tty_put(f->private);
}

static ssize_t file_read(struct char_file *f, struct uio *uio, unsigned flags)
{
    return tty_read(f->private, uio, flags);
}

static ssize_t file_write(struct char_file *f, struct uio *uio, unsigned flags)
{
    return tty_write(f->private, uio, flags);
}

static long file_ioctl(struct char_file *f, unsigned cmd, u64 arg)
{
    return tty_ioctl(f->private, cmd, arg);
}

static u32 file_poll(struct char_file *f, struct poll_table *table)
{
    return tty_poll(f->private, table);
}

#define TTY_FILE_OPS(opener)                                                             \
    {                                                                                    \
        .open = opener, .release = file_release, .read = file_read, .write = file_write, \
        .ioctl = file_ioctl, .poll = file_poll                                           \
    }
static const struct char_ops serial_ops = TTY_FILE_OPS(serial_open);
static const struct char_ops console_ops = TTY_FILE_OPS(console_open);
static const struct char_ops current_ops = TTY_FILE_OPS(current_open);

static struct char_device current_device = {.name = "tty", .mode = 0666, .ops = &current_ops};
static struct char_device console_device = {.name = "console", .mode = 0600, .ops = &console_ops};

int tty_register(struct tty *tty)
{
    struct char_device *cdev = kzalloc(sizeof(*cdev), 0);
    if (!cdev)
        return -ENOMEM;
    cdev->name = tty->driver->name;
    cdev->dev = tty->dev;
    cdev->mode = 0600;
    cdev->ops = &serial_ops;
    cdev->driver = tty;
    int r = char_register(cdev);
    if (r < 0) {
        kfree(cdev);
        return r;
    }
    if (console)
        return 0;
    console = tty;
    console_device.dev = devno_make(DEVNO_TTYAUX, 1);
    return char_register(&console_device);
}

void tty_init(void)
{
    current_device.dev = devno_make(DEVNO_TTYAUX, 0);
    int r = char_register(&current_device);
    assert(r == 0);
}
