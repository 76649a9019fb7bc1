/* What the files of proc/ share among themselves. */
#pragma once

#include "core/errno.h"
#include "core/panic.h"
#include "fs/cred.h"
#include "proc/fdtable.h"
#include "proc/process.h"

/* A number in use. Legend: all t (process_tree_lock), nr constant. */
struct pid {
    s32 nr;
    u32 users; /* thread, process, session, and each member of the group: 1 */
    struct pid *hash_next;
    struct uthread *thread;  /* whose tid it is, or NULL */
    struct process *process; /* whose pid it is, alive or zombie, or NULL */
    struct list_node group;  /* processes of the group with this number, by group_link */
};

/* pid.c. A new number with @users users that finds nothing yet. 0, -EAGAIN (none free), -ENOMEM. */
int pid_alloc(u32 users, struct pid **out);
/* => All with process_tree_lock held. */
struct pid *pid_find_locked(s32 nr);
struct pid *pid_next_locked(s32 nr); /* smallest number in use >= @nr, NULL at the end */
void pid_put_locked(struct pid *pid, u32 users);
void pid_init(void);

/* account.c: what one real user id has in use. */
struct account {
    u32 uid;
    s32 refs;    /* accounts lock */
    s32 threads; /* atomic */
    s32 signals; /* atomic: queued entries */
    struct list_node link;
};
struct account *account_get(u32 uid); /* NULL: out of memory. => May sleep. */
void account_ref(struct account *a);  /* any context */
void account_put(struct account *a);  /* any context */
/* 0, or -EAGAIN when @uid's RLIMIT_NPROC forbids one more thread to the caller. */
int account_check_threads(const struct account *a);

/* process.c */
struct process *process_create(void); /* zeroed, initialised, one reference; NULL: no memory */
struct uthread *uthread_create(void);
void uthread_free(struct uthread *t);   /* never started */
void uthread_release(struct thread *t); /* thread->release: off its CPU */
extern struct process *init_process;
/* Any thread of @p, or NULL (zombie). => process_tree_lock or p->signal_lock. */
struct uthread *process_first_thread(struct process *p);
/* Identity of @p, also of a zombie; never NULL. => process_tree_lock. */
const struct cred *process_cred_locked(struct process *p);
/* The process with @pid, or NULL. => process_tree_lock. */
struct process *process_find_locked(s32 pid);
void process_caches_init(void);

/* clone.c: PID 1, running @entry in kernel mode first. 0, -ENOMEM. */
int process_spawn_init(void (*entry)(void *));

/* exit.c */
void do_exit(int status) __noreturn;
/* All other threads of the caller's process end; the caller becomes its first thread. 0, -EINTR. */
int process_single_thread(void);
/* The vfork parent may go on. */
void process_vfork_done(struct process *p);
/* CLD_STOPPED or CLD_CONTINUED to @p's parent. */
void process_notify_stop(struct process *p, int code);
/* Takes zombie @p out of the tables; the caller puts the tables' reference. => tree lock. */
void process_reap_locked(struct process *p);
void usage_add(struct resource_usage *to, const struct resource_usage *from);
void usage_of_thread(struct uthread *t, struct resource_usage *out);
/* Dead and living threads of @p. => process_tree_lock. */
void usage_of_process(struct process *p, struct resource_usage *out);

/* jobctl.c. => process_tree_lock for the _locked ones. */
bool group_orphaned_locked(struct pid *group, struct process *ignoring);
void group_join_locked(struct process *p, struct pid *group);
void group_leave_locked(struct process *p);
void session_put_locked(struct session *s);
/* Groups that @p's death orphans and that have stopped members get SIGHUP and SIGCONT. */
void jobctl_orphans_locked(struct process *p, struct process *parent);
/* @p, a session leader, ends: the terminal is hung up and let go. => May sleep. */
void jobctl_leader_exit(struct process *p);
void jobctl_init(void);

/* signal_send.c. => p->signal_lock. */
bool signal_may_send(struct process *p, int sig); /* => process_tree_lock instead */
void signal_kill_threads_locked(struct process *p, struct uthread *except);
int signal_dequeue_locked(struct uthread *t, u64 set, siginfo_t *info);
int signal_queue_locked(struct process *p, struct uthread *t, const siginfo_t *info, bool force);
/* Takes the signals of @set out of all queues of @p. */
void signal_discard_locked(struct process *p, u64 set);
void signal_info_kernel(siginfo_t *info, int sig);
void signal_send_init(void);
/* Wakes the other threads for a process signal that @t can no longer take. */
void signal_retarget_locked(struct process *p);

/* Default actions. */
#define SIGNALS_IGNORED_BY_DEFAULT \
    (SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH) | SIGNAL_BIT(SIGCONT))
#define SIGNALS_STOPPING \
    (SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU))

/* procfs_process.c: registers /proc/PID. => Before the first mount of /proc. */
void procfs_processes_init(void);
/* @p was reaped: /proc forgets it. => May sleep, no locks. */
void procfs_process_gone(struct process *p);
