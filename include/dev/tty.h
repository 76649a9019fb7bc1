/*
 * Terminals: line discipline, termios, job control; the drivers below (serial line; ptys later)
 * move bytes. termios(3), ioctl_tty(2).
 *
 * A tty knows its session and foreground process group by number only (0: none). What needs
 * processes (signals, orphaned groups, "my controlling tty") goes through struct tty_proc_ops,
 * which proc/ fills in at boot. Before that nobody is asked and nothing is refused.
 */
#pragma once

#include "core/poll.h"
#include "core/waitq.h"
#include "lib/types.h"

struct tty;
struct uio;

/* What a terminal is on. All may be called with the tty's spinlock held and interrupts off: they
 * may not sleep. */
struct tty_driver {
    const char *name; /* "ttyS0" */
    /* Bytes that write() takes now. It only grows while the tty's lock is held. */
    size_t (*room)(struct tty *tty);
    /* Takes @n processed bytes, at most room(). When room comes back after it had run short, the
     * driver calls tty_output_ready(). */
    void (*write)(struct tty *tty, const u8 *s, size_t n);
    /* Bytes accepted but not yet sent; 0: all out. */
    size_t (*pending)(struct tty *tty);
    /* Throws accepted bytes away. May be NULL. */
    void (*discard)(struct tty *tty);
    /* Stops or goes on sending (^S, ^Q, TCXONC). May be NULL. */
    void (*stop)(struct tty *tty, bool stopped);
    /* Room for input came back after tty_receive() took less than it was given. May be NULL. */
    void (*input_ready)(struct tty *tty);
    /* The window size changed through TIOCSWINSZ (for ptys). May be NULL. */
    void (*resized)(struct tty *tty);
};

/*
 * What proc/ supplies. Ids are process ids as numbers. None may sleep unless said so; signal_pgrp
 * is called in interrupt context with the tty's spinlock not held.
 */
struct tty_proc_ops {
    int (*signal_pgrp)(s32 pgrp, int sig);       /* to every member; -ESRCH when empty */
    int (*signal_session)(s32 session, int sig); /* to the session's leader: hangup */
    s32 (*self_session)(void);                   /* of the calling process */
    s32 (*self_pgrp)(void);
    bool (*self_is_leader)(void);                   /* leads its session */
    bool (*self_ignores)(int sig);                  /* the calling thread blocks or ignores @sig */
    bool (*pgrp_orphaned)(s32 pgrp);                /* nobody could continue it: setpgid(2) */
    bool (*pgrp_in_session)(s32 pgrp, s32 session); /* it exists and belongs there */
    /* Controlling terminal of the caller's session with a reference (tty_get), or NULL. */
    struct tty *(*self_tty)(void);
    /* The caller's session takes @tty as its controlling terminal (and a reference to it); -EPERM
     * when it has one already or the caller is not its leader. */
    int (*session_attach)(struct tty *tty);
    /* The calling process gives its controlling terminal up; when it leads its session, the whole
     * session does (drop the references). */
    void (*self_detach)(void);
    /* @tty was taken away from @session, which must forget it (drop the reference). */
    void (*session_detach)(s32 session, struct tty *tty);
    bool (*self_is_admin)(void); /* CAP_SYS_ADMIN: may steal a terminal, TIOCSTI */
};
void tty_set_proc_ops(const struct tty_proc_ops *ops);

/* A new terminal with default modes and one reference, or -ENOMEM. => May sleep. */
int tty_create(const struct tty_driver *driver, void *driver_data, u32 dev, struct tty **out);
void tty_get(struct tty *tty);
void tty_put(struct tty *tty);      /* the last one frees it */
u32 tty_dev(const struct tty *tty); /* device number: tty_nr of /proc/PID/stat */

/* Session and foreground group now; 0: none. */
s32 tty_session(const struct tty *tty);
s32 tty_pgrp(const struct tty *tty);
/*
 * proc/: the leader of @session exits: the tty has no session any more; SIGHUP and SIGCONT go to
 * the foreground group. proc/ drops its own reference to the tty and detaches its session itself.
 */
void tty_session_ended(struct tty *tty, s32 session);

/* Drivers; any context. */
/* Input from the line: takes at most @n bytes; fewer when the reader must catch up first, after
 * which the driver's input_ready() is called. */
size_t tty_receive(struct tty *tty, const u8 *s, size_t n);
void tty_receive_break(struct tty *tty); /* a break condition on the line */
void tty_output_ready(struct tty *tty);  /* room is back, or everything is out */
void tty_hangup(struct tty *tty);        /* the line is gone: reads see the end, writes get -EIO */

/*
 * The file operations. @flags are CHAR_NONBLOCK. Read: bytes, 0 at end of file, -EAGAIN, -EIO
 * (background and may not stop, or hung up), -ERESTARTSYS. Write alike. => May sleep.
 */
ssize_t tty_read(struct tty *tty, struct uio *uio, unsigned flags);
ssize_t tty_write(struct tty *tty, struct uio *uio, unsigned flags);
long tty_ioctl(struct tty *tty, unsigned cmd, u64 arg);
u32 tty_poll(struct tty *tty, struct poll_table *table);
/* The tty's part of open(2): may make @tty the caller's controlling terminal (unless O_NOCTTY).
 * Returns 0, -EIO (hung up), -EBUSY (TIOCEXCL). */
int tty_open(struct tty *tty, unsigned open_flags);

/* Registers /dev/ttyS0-like devices for @tty; the first one so registered is /dev/console too.
 * /dev/tty is there from tty_init() on. Returns 0, -EEXIST, -ENOMEM. */
int tty_register(struct tty *tty);
void tty_init(void);
