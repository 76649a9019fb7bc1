/*
 * Processes and user threads.
 *
 * A process is what threads share: identity numbers, family, limits, pending process signals,
 * timers, accounting. What CLONE_* flags may share separately (address space, descriptors, root and
 * directory, identity) hangs off each thread and is counted on its own. A process lives from clone
 * to wait: its last thread makes it a zombie; reaping takes it out of the tables; the memory goes
 * with the last reference. A thread is freed by the scheduler once it is off its CPU.
 *
 * Numbers. One number space serves threads, processes, groups and sessions: struct pid is a number
 * in use by at least one of them, so a group's number is not given to a new process.
 *
 * Locks, outermost first:
 *   process_tree_lock   spin, IRQs off: numbers, parent/child/thread/group/session links, zombie
 *                       state. One lock; held for short walks only.
 *   process.signal_lock spin, IRQs off: see proc/signal.h
 *   sighand.lock        spin, IRQs off
 *   run queue locks, wait queue locks
 *   process.limits_lock spin: rlimits (reads of one word need none)
 *
 * Legend: c: constant after creation; o: only the thread itself (for a process: only its own
 * threads, one at a time); t: process_tree_lock; s: process.signal_lock; a: atomic;
 * l: process.limits_lock.
 */
#pragma once

#include "core/spinlock.h"
#include "core/thread.h"
#include "core/timer.h"
#include "core/waitq.h"
#include "proc/clock.h"
#include "proc/exit.h"
#include "proc/rlimit.h"
#include "proc/signal.h"

struct account;
struct fdtable;
struct file;
struct pid;
struct process;
struct tty;
struct uio;
struct uio_vec;

/* How restart_syscall(2) goes on with a call that a signal without handler interrupted. */
struct restart_block {
    long (*fn)(struct restart_block *block); /* NULL: nothing to restart (-EINTR) */
    union {
        struct {
            s32 clock;
            u64 deadline; /* time_ns() */
            uvaddr_t remaining;
        } sleep;
        struct {
            uvaddr_t addr;
            bool private;
            u32 expected, bitset;
            u64 deadline;
        } futex;
        struct {
            uvaddr_t fds;
            u32 count;
            u64 deadline;
        } poll;
    };
};

struct uthread {
    struct thread thread;    /* first: thread_self() is also the uthread */
    struct process *process; /* c; a reference */
    struct fdtable *fds;     /* o; a reference */
    struct pid *pid;         /* t */
    s32 tid;                 /* t: changes only when a thread other than the first execs */
    struct list_node link;   /* t: process->threads */

    u64 mask;                     /* s: blocked signals; written by the thread itself */
    u64 saved_mask;               /* o: to be restored after a temporary mask */
    bool mask_saved;              /* o */
    bool stop_counted;            /* s: counted in process->stop_pending */
    bool killable;                /* a: SIGKILL wakes it even from an uninterruptible wait */
    bool exiting;                 /* s: takes no signals any more */
    struct signal_queue pending;  /* s */
    u64 waiting_for;              /* s: set of signals a signal_wait() sleeps for */
    struct signal_stack altstack; /* o */

    uvaddr_t set_child_tid;       /* o: where a new thread writes its id first, 0: nowhere */
    uvaddr_t clear_child_tid;     /* o: zeroed and woken at exit, 0: none */
    uvaddr_t robust_list;         /* o: set_robust_list(2) */
    struct restart_block restart; /* o */
    struct account *account;      /* o: whose RLIMIT_NPROC and RLIMIT_SIGPENDING it counts in */
};

struct session {
    s32 refs;        /* t: member processes */
    s32 id;          /* c */
    struct pid *pid; /* c: keeps the number */
    struct tty *tty; /* t: controlling terminal with a reference, or NULL */
};

enum process_state { PROCESS_ALIVE, PROCESS_ZOMBIE, PROCESS_REAPED };

struct process {
    s32 refs;                    /* a: tables 1 until reaped, each thread 1, look-ups */
    s32 pid;                     /* c */
    s32 ppid;                    /* a (written under t): getppid(2) is one load */
    s32 pgid, sid;               /* a (written under t): numbers of group and session */
    struct pid *pid_ref;         /* c */
    struct pid *group;           /* t */
    struct session *session;     /* t */
    struct process *parent;      /* t */
    struct list_node children;   /* t: of ->sibling */
    struct list_node sibling;    /* t */
    struct list_node group_link; /* t: group's members */
    struct list_node threads;    /* t+s (either to read): uthread->link, oldest first */
    u32 live_threads;            /* s: of them not yet exiting */
    u32 thread_count;            /* t: threads in the list; a for reading */
    enum process_state state;    /* t */
    bool without_tty;            /* t: gave its session's terminal up for itself (TIOCNOTTY) */
    bool is_subreaper;           /* t: PR_SET_CHILD_SUBREAPER */
    bool did_exec;               /* a: setpgid(2) by the parent is refused from then on */
    bool dumpable;               /* a: PR_SET_DUMPABLE */
    s16 oom_score_adj;           /* a: /proc/PID/oom_score_adj */
    s16 oom_score_adj_min;       /* a: lowest value to be had without CAP_SYS_RESOURCE */
    bool was_shown;              /* a: /proc may have cached names about it */
    int exit_signal;             /* t: to the parent at the end */
    int pdeath_signal;           /* o: PR_SET_PDEATHSIG */
    struct waitq child_wait;     /* wait4(2) of this process sleeps here */
    struct waitq vfork_wait;     /* the parent of a vfork sleeps here until !vforking */
    bool vforking;               /* a: still in the parent's address space */

    struct spinlock signal_lock;
    struct sighand *sighand;     /* s; a reference */
    struct signal_queue pending; /* s */
    bool group_exit;             /* s: all threads are to end */
    struct uthread *exec_thread; /* s: the one that lives on when group_exit is for exec */
    int exit_status;             /* s: wait status; valid with group_exit or as a zombie */
    bool group_stop;             /* s: threads are to stop, or have */
    bool stopped;                /* s: all have; */
    u32 stop_pending;            /* s: threads that have not stopped yet */
    int stop_signal;             /* s */
    bool stop_unreported;        /* s: wait(WUNTRACED) has not seen the stop yet */
    bool continue_unreported;    /* s: the same for WCONTINUED */
    int notify_parent;           /* s: CLD_STOPPED or CLD_CONTINUED to be announced; 0: nothing */
    struct waitq exec_wait;      /* de_thread waits here for the others */

    struct spinlock limits_lock;
    struct rlimit_value limits[RLIM_NLIMITS]; /* l */

    char zombie_name[16];               /* t: its name once it has no thread */
    struct cred *zombie_cred;           /* t: identity of the last thread once there are none */
    struct file *exe;                   /* t: /proc/PID/exe, with inode_deny_write(); may be NULL */
    u64 start_ns;                       /* c: time_ns() of the clone */
    struct resource_usage dead_threads; /* t: used by threads that ended */
    struct resource_usage dead_children; /* t: waited-for descendants */

    /* interval timers (proc/itimer.c) */
    struct spinlock timer_lock; /* outer to signal_lock */
    struct timer real_timer;
    u64 real_interval;                /* timer_lock */
    bool real_armed;                  /* timer_lock: real_timer will fire at real_timer.when */
    struct timer cpu_timer;           /* looks at virtual, prof and RLIMIT_CPU */
    u64 virtual_at, virtual_interval; /* timer_lock: user ns at which it fires; 0: off */
    u64 prof_at, prof_interval;       /* timer_lock: user + system ns */
    u64 cpu_limit_next; /* timer_lock: CPU ns of the next RLIMIT_CPU action; 0: none */
    u64 cpu_seen;       /* timer_lock: CPU ns at the last look */
    bool timers_dead;   /* timer_lock: exit: nothing is armed any more */
};

static inline struct uthread *uthread_of(struct thread *t)
{
    return container_of(t, struct uthread, thread);
}
/* The calling user thread. => Not from kernel threads or interrupt handlers. */
static inline struct uthread *uthread_self(void)
{
    return uthread_of(thread_self());
}
static inline struct process *process_self(void)
{
    return uthread_self()->process;
}
/* The calling process; NULL in a kernel thread. */
static inline struct process *process_self_or_null(void)
{
    return thread_self()->is_user ? process_self() : NULL;
}

extern struct spinlock process_tree_lock;
#define TREE_GUARD() SPIN_GUARD_IRQ(&process_tree_lock)

/* getppid(2): one load. */
static inline s32 process_ppid(void)
{
    return READ_ONCE(process_self()->ppid);
}

void process_get(struct process *p);
void process_put(struct process *p); /* any context */

/* The process with @pid, alive or zombie, with a reference; NULL: none. => Any context. */
struct process *process_find_get(s32 pid);
/* The process that has a thread @tid (or is @tid), with a reference; NULL: none. */
struct process *process_find_thread_get(s32 tid);
/*
 * Walk for /proc: the process with the smallest pid >= @pid, with a reference; NULL at the end.
 * Each step stands on its own, so the walk may sleep and processes may come and go.
 */
struct process *process_next_get(s32 pid);
/* Smallest thread id >= @tid in @p, 0 at the end (/proc/PID/task). */
s32 process_next_thread(struct process *p, s32 tid);
/* Calls @fn for every process until it returns non-zero; returns that. => @fn runs under
 * process_tree_lock: it must not sleep. */
int process_for_each(int (*fn)(struct process *p, void *arg), void *arg);

/* A consistent look at a process or at one of its threads, for /proc/PID/stat and status. */
struct process_info {
    s32 pid, tid, ppid, pgid, sid;
    char name[16];
    char state;   /* R S D T Z X as ps(1) shows them */
    u32 tty_dev;  /* device number of the controlling terminal; 0: none */
    s32 tty_pgrp; /* its foreground group; -1: no terminal */
    u32 threads;
    s32 nice; /* -20 .. 19 */
    u32 cpu;  /* that it ran on last */
    int exit_signal;
    int exit_status; /* zombies: wait status */
    u64 start_ns;    /* time_ns() at creation */
    u64 allowed_cpus;
    struct resource_usage usage; /* the thread's, or the process's with its dead threads */
    struct resource_usage children;
    u64 pending, shared_pending, blocked, ignored, caught;
    u32 uid, euid, suid, fsuid, gid, egid, sgid, fsgid;
    u64 cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
    bool no_new_privs;
    u32 signals_queued;    /* by this user, against RLIMIT_SIGPENDING */
    const char *wait_what; /* what the thread sleeps for, or NULL */
};
/* Fills @out for thread @tid of @p (0: the whole process). 0, -ESRCH (no such thread). */
int process_info_get(struct process *p, s32 tid, struct process_info *out);
/*
 * References to parts of @p, through its first thread; NULL when there is none any more (zombie).
 * Given back with aspace_put(), fdtable_put(), fs_context_put(), cred_put(), file_put().
 */
struct aspace *process_aspace_get(struct process *p);
struct fdtable *process_fdtable_get(struct process *p);
struct fs_context *process_fs_get(struct process *p);
struct cred *process_cred_get(struct process *p);
struct file *process_exe_get(struct process *p);
/* Kernel stack trace of thread @tid (0: the first): up to @max return addresses. Their number,
 * -ESRCH. A thread that runs yields none. */
int process_backtrace(struct process *p, s32 tid, vaddr_t *pcs, unsigned max);
/* The caller may look into @p (ptrace(2)'s read rule: same ids and dumpable, or CAP_SYS_PTRACE). */
bool process_may_inspect(struct process *p);
/* The same by the caller's real ids and permitted capabilities: ptrace(2)'s rule to change it. */
bool process_may_attach(struct process *p);
/*
 * process_vm_readv(2), with @write process_vm_writev(2): moves bytes between the caller's @local
 * and the @count @remote buffers of the process with thread @pid. Returns how many, perhaps fewer
 * than asked; -EFAULT, -ESRCH, -EPERM, -ENOMEM.
 */
ssize_t process_vm_transfer(s32 pid, struct uio *local, const struct uio_vec *remote,
                            unsigned count, bool write);

/* Groups and sessions: setpgid(2), getpgid(2), setsid(2), getsid(2). Results or -errno. */
int process_setpgid(s32 pid, s32 pgid);
int process_getpgid(s32 pid);
int process_setsid(void);
int process_getsid(s32 pid);
/* prctl(PR_SET_CHILD_SUBREAPER). */
void process_set_subreaper(bool on);

/*
 * Scheduling of others: getpriority(2), setpriority(2) (@which PRIO_PROCESS, _PGRP, _USER).
 * get: 20 - nice, -ESRCH, -EINVAL. set: 0, -ESRCH, -EPERM, -EACCES, -EINVAL.
 */
int process_priority_get(int which, s32 who);
int process_priority_set(int which, s32 who, int nice);
/* sched_getaffinity(2), sched_setaffinity(2); @tid 0: the caller. 0, -ESRCH, -EPERM, -EINVAL. */
int process_affinity_get(s32 tid, u64 *cpus);
int process_affinity_set(s32 tid, u64 cpus);

/* Changes the name of thread @tid of @p (0: the caller; PR_SET_NAME), cut to 15 bytes. */
void process_set_name(const char *name);

/* set_tid_address(2): returns the thread id. */
s32 process_set_tid_address(uvaddr_t addr);
/* get_robust_list(2) of @tid (0: the caller). 0, -ESRCH, -EPERM. */
int process_robust_list(s32 tid, uvaddr_t *out);

/* restart_syscall(2): goes on with what uthread->restart describes. */
long process_restart_syscall(void);

/* pid_max: ids are below it; /proc/sys/kernel/pid_max. Set: 0, -EINVAL (301 .. 4194304). */
s32 process_pid_max(void);
int process_pid_max_set(s32 max);
/* Last id given out, for /proc/loadavg. */
s32 process_last_pid(void);
