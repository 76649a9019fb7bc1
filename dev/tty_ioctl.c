/* Terminal ioctls: ioctl_tty(2). */
#include "core/errno.h"
#include "lib/string.h"
#include "mm/usercopy.h"
#include "tty_priv.h"

#include <asm/ioctls.h>
#include <asm/signal.h>

/* struct termios is the front part of struct termios2: all but the speeds. */
_Static_assert(sizeof(struct termios) == offsetof(struct termios2, c_ispeed), "termios layout");

/* Speeds of the B constants, from B0 and from B57600 on. */
static const u32 slow_speeds[] = {0,   50,   75,   110,  134,  150,  200,   300,
                                  600, 1200, 1800, 2400, 4800, 9600, 19200, 38400};
static const u32 fast_speeds[] = {0,       57600,   115200,  230400,  460800,  500000,
                                  576000,  921600,  1000000, 1152000, 1500000, 2000000,
                                  2500000, 3000000, 3500000, 4000000};

static u32 speed_of(tcflag_t cflag, u32 other)
{
    tcflag_t code = cflag & CBAUD;
    if (code == BOTHER)
        return other;
    return code & CBAUDEX ? fast_speeds[code & ~CBAUDEX] : slow_speeds[code];
}

static long get_modes(struct tty *tty, u64 arg, size_t size)
{
    struct termios2 modes;
    {
        SPIN_GUARD_IRQ(&tty->lock);
        modes = tty->modes;
    }
    return copy_to_user(arg, &modes, size);
}

/* Makes @new the modes. The line discipline is not for the caller to choose. */
static void install_modes(struct tty *tty, const struct termios2 *new, bool flush)
{
    SPIN_GUARD_IRQ(&tty->lock);
    bool was = tty_has(tty->modes.c_lflag, ICANON);
    if (flush)
        tty_flush_input(tty);
    tty->modes = *new;
    tty->modes.c_line = 0;
    tty->modes_version++;
    if (was != tty_has(new->c_lflag, ICANON))
        tty_canonical_changed(tty);
    if (!tty_has(new->c_iflag, IXON))
        tty_set_stopped(tty, false);
    waitq_wake_all(&tty->readers); /* VMIN or VTIME may be others now */
}

/* TCSETS and relatives: @size tells struct termios from struct termios2. */
static long set_modes(struct tty *tty, u64 arg, size_t size, bool drain, bool flush)
{
    struct termios2 new;
    int r = tty_check_background(tty, SIGTTOU);
    if (r < 0)
        return r;
    {
        SPIN_GUARD_IRQ(&tty->lock);
        new = tty->modes;
    }
    if (copy_from_user(&new, arg, size) < 0)
        return -EFAULT;
    new.c_ospeed = speed_of(new.c_cflag, new.c_ospeed);
    tcflag_t input_code = new.c_cflag >> IBSHIFT &CBAUD;
    new.c_ispeed = input_code == B0 ? new.c_ospeed : speed_of(input_code, new.c_ispeed);
    r = drain ? tty_drain(tty) : 0;
    if (r < 0)
        return r;
    install_modes(tty, &new, flush);
    tty_unthrottle(tty);
    return 0;
}

static long get_size(struct tty *tty, u64 arg)
{
    struct winsize size;
    {
        SPIN_GUARD_IRQ(&tty->lock);
        size = tty->size;
    }
    return PUT_USER(arg, size);
}

static long set_size(struct tty *tty, u64 arg)
{
    struct winsize size;
    struct tty_signals signals = {.set = 0};
    if (copy_from_user(&size, arg, sizeof(size)) < 0)
        return -EFAULT;
    {
        SPIN_GUARD_IRQ(&tty->lock);
        if (memcmp(&size, &tty->size, sizeof(size)) == 0)
            return 0;
        tty->size = size;
        tty_signal_add(&signals, tty, SIGWINCH);
        if (tty->driver->resized)
            tty->driver->resized(tty);
    }
    tty_send_signals(&signals);
    return 0;
}

static long get_pgrp(struct tty *tty, u64 arg)
{
    if (!tty_is_controlling(tty))
        return -ENOTTY;
    return PUT_USER(arg, tty_pgrp(tty));
}

static long set_pgrp(struct tty *tty, u64 arg)
{
    s32 pgrp;
    int r = tty_check_background(tty, SIGTTOU);
    if (r < 0)
        return r == -EIO ? -ENOTTY : r;
    if (!tty_is_controlling(tty))
        return -ENOTTY;
    if (copy_from_user(&pgrp, arg, sizeof(pgrp)) < 0)
        return -EFAULT;
    if (pgrp <= 0)
        return -EINVAL;
    s32 session = tty_session(tty);
    if (!tty_proc->pgrp_in_session(pgrp, session))
        return -EPERM;
    SPIN_GUARD_IRQ(&tty->lock);
    if (tty->session != session)
        return -ENOTTY;
    tty->pgrp = pgrp;
    return 0;
}

static long get_session(struct tty *tty, u64 arg)
{
    if (!tty_is_controlling(tty))
        return -ENOTTY;
    return PUT_USER(arg, tty_session(tty));
}

/* TIOCSCTTY. @steal: the argument was 1 (and the caller is privileged). */
static long become_controlling(struct tty *tty, bool steal)
{
    const struct tty_proc_ops *proc = load_acquire(&tty_proc);
    if (!proc || !proc->self_is_leader())
        return -EPERM;
    s32 self = proc->self_session(), old;
    {
        SPIN_GUARD_IRQ(&tty->lock);
        old = tty->session;
        if (old == self)
            return 0;
        if (old && !(steal && proc->self_is_admin()))
            return -EPERM;
        tty->session = self;
        tty->pgrp = proc->self_pgrp();
    }
    int r = proc->session_attach(tty);
    if (r < 0) {
        SPIN_GUARD_IRQ(&tty->lock);
        tty->session = tty->pgrp = 0;
    }
    if (old)
        proc->session_detach(old, tty);
    return r;
}

static long give_up_controlling(struct tty *tty)
{
    if (!tty_is_controlling(tty))
        return -ENOTTY;
    if (tty_proc->self_is_leader())
        tty_session_ended(tty, tty_session(tty));
    tty_proc->self_detach();
    return 0;
}

static long input_count(struct tty *tty, u64 arg)
{
    s32 n;
    {
        SPIN_GUARD_IRQ(&tty->lock);
        n = tty_available(tty);
    }
    return PUT_USER(arg, n);
}

static long output_count(struct tty *tty, u64 arg)
{
    s32 n;
    {
        SPIN_GUARD_IRQ(&tty->lock);
        n = tty->driver->pending(tty);
    }
    return PUT_USER(arg, n);
}

static long flush(struct tty *tty, u64 what)
{
    int r = tty_check_background(tty, SIGTTOU);
    if (r < 0)
        return r;
    if (what > TCIOFLUSH)
        return -EINVAL;
    {
        SPIN_GUARD_IRQ(&tty->lock);
        if (what != TCOFLUSH)
            tty_flush_input(tty);
        if (what != TCIFLUSH && tty->driver->discard)
            tty->driver->discard(tty);
    }
    if (what != TCOFLUSH)
        tty_unthrottle(tty);
    if (what != TCIFLUSH)
        tty_output_ready(tty);
    return 0;
}

/* TCXONC: our output, or a character for the other side's. */
static long flow(struct tty *tty, u64 what)
{
    int r = tty_check_background(tty, SIGTTOU);
    if (r < 0)
        return r;
    if (what > TCION)
        return -EINVAL;
    SPIN_GUARD_IRQ(&tty->lock);
    if (what == TCOOFF || what == TCOON) {
        tty_set_stopped(tty, what == TCOOFF);
        return 0;
    }
    u8 c = tty->modes.c_cc[what == TCIOFF ? VSTOP : VSTART];
    if (c == '\0')
        return 0;
    if (tty->driver->room(tty) == 0)
        return -EAGAIN;
    tty->driver->write(tty, &c, 1);
    return 0;
}

/* TCSBRK: with an argument it is tcdrain(); without, a break, which our lines do not send: what was
 * written is out when it returns, as with Linux drivers that have no break. */
static long drain(struct tty *tty)
{
    int r = tty_check_background(tty, SIGTTOU);
    return r < 0 ? r : tty_drain(tty);
}

/* TIOCSTI: for administrators only; it puts words into others' mouths. */
static long fake_input(struct tty *tty, u64 arg)
{
    u8 c;
    if (tty_proc && !tty_proc->self_is_admin())
        return -EPERM;
    if (copy_from_user(&c, arg, 1) < 0)
        return -EFAULT;
    return tty_receive(tty, &c, 1) == 1 ? 0 : -EAGAIN;
}

static long set_exclusive(struct tty *tty, bool on)
{
    SPIN_GUARD_IRQ(&tty->lock);
    tty->exclusive = on;
    return 0;
}

static long set_discipline(u64 arg)
{
    s32 which;
    if (copy_from_user(&which, arg, sizeof(which)) < 0)
        return -EFAULT;
    return which == 0 ? 0 : -EINVAL; /* N_TTY is all there is */
}

static long hang_up(struct tty *tty)
{
    if (tty_proc && !tty_proc->self_is_admin())
        return -EPERM;
    tty_hangup(tty);
    return 0;
}

static long ioctl_modes(struct tty *tty, unsigned cmd, u64 arg)
{
    const size_t one = sizeof(struct termios), two = sizeof(struct termios2);
    switch (cmd) {
    case TCGETS:
        return get_modes(tty, arg, one);
    case TCGETS2:
        return get_modes(tty, arg, two);
    case TCSETS:
        return set_modes(tty, arg, one, false, false);
    case TCSETSW:
        return set_modes(tty, arg, one, true, false);
    case TCSETSF:
        return set_modes(tty, arg, one, true, true);
    case TCSETS2:
        return set_modes(tty, arg, two, false, false);
    case TCSETSW2:
        return set_modes(tty, arg, two, true, false);
    case TCSETSF2:
        return set_modes(tty, arg, two, true, true);
    default:
        return -ENOTTY;
    }
}

static long ioctl_session(struct tty *tty, unsigned cmd, u64 arg)
{
    switch (cmd) {
    case TIOCGPGRP:
        return get_pgrp(tty, arg);
    case TIOCSPGRP:
        return set_pgrp(tty, arg);
    case TIOCGSID:
        return get_session(tty, arg);
    case TIOCSCTTY:
        return become_controlling(tty, arg == 1);
    case TIOCNOTTY:
        return give_up_controlling(tty);
    default:
        return ioctl_modes(tty, cmd, arg);
    }
}

long tty_ioctl(struct tty *tty, unsigned cmd, u64 arg)
{
    if (READ_ONCE(tty->hung_up))
        return -EIO;
    switch (cmd) {
    case TIOCGWINSZ:
        return get_size(tty, arg);
    case TIOCSWINSZ:
        return set_size(tty, arg);
    case FIONREAD:
        return input_count(tty, arg);
    case TIOCOUTQ:
        return output_count(tty, arg);
    case TCFLSH:
        return flush(tty, arg);
    case TCXONC:
        return flow(tty, arg);
    case TCSBRK:
    case TCSBRKP:
        return drain(tty);
    case TIOCSTI:
        return fake_input(tty, arg);
    case TIOCEXCL:
    case TIOCNXCL:
        return set_exclusive(tty, cmd == TIOCEXCL);
    case TIOCGEXCL:
        return PUT_USER(arg, (s32)READ_ONCE(tty->exclusive));
    case TIOCGETD:
        return PUT_USER(arg, (s32)0);
    case TIOCSETD:
        return set_discipline(arg);
    case TIOCGDEV:
        return PUT_USER(arg, tty->dev);
    case TIOCVHANGUP:
        return hang_up(tty);
    default:
        return ioctl_session(tty, cmd, arg);
    }
}
