/* Processes, threads, waiting, scheduling, limits. */
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "lib/string.h"
#include "proc/clone.h"
#include "proc/exec.h"
#include "proc/futex.h"
#include "syscall/syscall_priv.h"

long sys_exit(int code)
{
    thread_exit_user(code & 0xff);
}

long sys_exit_group(int code)
{
    process_exit(code & 0xff);
}

long sys_clone(u64 flags, uvaddr_t stack, uvaddr_t parent_tid, u64 tls, uvaddr_t child_tid)
{
    struct clone_request req = {.flags = flags & ~(u64)CSIGNAL & 0xffffffff,
                                .parent_tid = parent_tid,
                                .child_tid = child_tid,
                                .exit_signal = flags & CSIGNAL,
                                .stack = stack,
                                .tls = tls};
    return process_clone(&req);
}

long sys_clone3(uvaddr_t addr, u64 size)
{
    struct clone_args args;
    u64 more;
    memset(&args, 0, sizeof(args));
    if (size < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    if (size > PAGE_SIZE)
        return -E2BIG;
    if (copy_from_user(&args, addr, MIN(size, sizeof(args))) < 0)
        return -EFAULT;
    for (u64 at = sizeof(args); at < size; at += sizeof(more)) {
        if (copy_from_user(&more, addr + at, MIN(size - at, sizeof(more))) < 0)
            return -EFAULT;
        if (more & (size - at < sizeof(more) ? (1UL << (size - at) * 8) - 1 : ~0UL))
            return -E2BIG;
    }
    if (args.set_tid || args.set_tid_size || args.cgroup || args.pidfd || args.exit_signal > 64 ||
        (args.flags & CSIGNAL) || (!args.stack != !args.stack_size))
        return -EINVAL;
    struct clone_request req = {.flags = args.flags,
                                .parent_tid = args.parent_tid,
                                .child_tid = args.child_tid,
                                .exit_signal = args.exit_signal,
                                .stack = args.stack ? args.stack + args.stack_size : 0,
                                .tls = args.tls};
    return process_clone(&req);
}

long sys_unshare(u64 flags)
{
    return process_unshare(flags);
}

long sys_execve(uvaddr_t addr, uvaddr_t argv, uvaddr_t envp)
{
    return sys_execveat(AT_FDCWD, addr, argv, envp, 0);
}

long sys_execveat(int dirfd, uvaddr_t addr, uvaddr_t argv, uvaddr_t envp, unsigned flags)
{
    if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    USER_NAME(name, addr);
    if (name_error)
        return name_error;
    AT_DIR(dir, dirfd, name.s);
    if (dir_error)
        return dir_error;
    struct exec_vectors vectors = {.argv = argv, .envp = envp};
    return process_exec(dir.base, name.s, flags, &vectors);
}

/* ---- waiting ---- */

/* struct rusage of getrusage(2): times, then 14 longs of which some have a meaning here. */
static int usage_put(uvaddr_t addr, const struct resource_usage *u)
{
    struct rusage out;
    memset(&out, 0, sizeof(out));
    out.ru_utime.tv_sec = u->user_ns / NSEC_PER_SEC;
    out.ru_utime.tv_usec = u->user_ns % NSEC_PER_SEC / 1000;
    out.ru_stime.tv_sec = u->system_ns / NSEC_PER_SEC;
    out.ru_stime.tv_usec = u->system_ns % NSEC_PER_SEC / 1000;
    out.ru_maxrss = u->max_resident / 1024;
    out.ru_minflt = u->minor_faults;
    out.ru_majflt = u->major_faults;
    out.ru_nvcsw = u->switches_voluntary;
    out.ru_nivcsw = u->switches_involuntary;
    return copy_to_user(addr, &out, sizeof(out));
}

#define WAIT4_OPTIONS (WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL)

long sys_wait4(s32 pid, uvaddr_t status, unsigned options, uvaddr_t usage)
{
    if (options & ~WAIT4_OPTIONS)
        return -EINVAL;
    if (pid == INT32_MIN)
        return -ESRCH;
    struct wait_request req = {.options = options | WEXITED};
    if (pid == -1) {
        req.type = P_ALL;
    } else {
        req.type = pid > 0 ? P_PID : P_PGID;
        req.id = pid > 0 ? pid : -pid;
    }
    struct wait_result result;
    int r = process_wait(&req, &result);
    if (r < 0)
        return r;
    if (result.pid && status && PUT_USER(status, result.status) < 0)
        return -EFAULT;
    if (result.pid && usage && usage_put(usage, &result.usage) < 0)
        return -EFAULT;
    return result.pid;
}

long sys_waitid(int type, s32 id, uvaddr_t info_addr, unsigned options, uvaddr_t usage)
{
    if (!(options & (WEXITED | WSTOPPED | WCONTINUED)) || id < 0)
        return -EINVAL;
    struct wait_request req = {.type = type, .id = id, .options = options};
    struct wait_result result;
    int r = process_wait(&req, &result);
    if (r < 0)
        return r;
    if (result.pid && usage && usage_put(usage, &result.usage) < 0)
        return -EFAULT;
    if (!info_addr)
        return 0;
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    if (result.pid) {
        info.si_signo = SIGCHLD;
        info.si_code = result.code;
        info.si_pid = result.pid;
        info.si_uid = result.uid;
        info.si_status = result.value;
    }
    return copy_to_user(info_addr, &info, sizeof(info));
}

long sys_getrusage(int who, uvaddr_t usage)
{
    struct resource_usage u;
    int r = process_usage(who, &u);
    return r < 0 ? r : usage_put(usage, &u);
}

/* ---- threads ---- */

long sys_set_tid_address(uvaddr_t addr)
{
    return process_set_tid_address(addr);
}

/* The futex operations that take a timeout do so in the fourth argument; it is relative for WAIT
 * and absolute for WAIT_BITSET. */
static int futex_deadline(int op, uvaddr_t timeout, u64 *deadline)
{
    *deadline = TIME_NEVER;
    if (!timeout)
        return 0;
    if ((op & FUTEX_CMD_MASK) == FUTEX_WAIT)
        return deadline_get(timeout, deadline);
    u64 ns;
    int r = timespec_get(timeout, &ns);
    if (r < 0)
        return r;
    return clock_deadline(op & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC, ns,
                          deadline);
}

long sys_futex(uvaddr_t addr, int op, u32 value, u64 timeout, uvaddr_t addr2, u32 value3)
{
    bool private = op & FUTEX_PRIVATE_FLAG;
    int cmd = op & FUTEX_CMD_MASK;
    u64 deadline;
    int r;
    if ((op & FUTEX_CLOCK_REALTIME) && cmd != FUTEX_WAIT_BITSET)
        return -ENOSYS;
    switch (cmd) {
    case FUTEX_WAIT:
        value3 = FUTEX_BITSET_MATCH_ANY;
        /* fall through */
    case FUTEX_WAIT_BITSET:
        r = futex_deadline(op, timeout, &deadline);
        return r < 0 ? r
                     : futex_wait(addr, private, value, value3, deadline,
                                  cmd == FUTEX_WAIT && timeout);
    case FUTEX_WAKE:
        return futex_wake(addr, private, value, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAKE_BITSET:
        return futex_wake(addr, private, value, value3);
    case FUTEX_REQUEUE:
        return futex_requeue(addr, addr2, private, value, timeout, NULL);
    case FUTEX_CMP_REQUEUE:
        return futex_requeue(addr, addr2, private, value, timeout, &value3);
    case FUTEX_WAKE_OP:
        return futex_wake_op(addr, addr2, private, value, timeout, value3);
    default:
        return -ENOSYS;
    }
}

#define ROBUST_LIST_SIZE 24 /* struct robust_list_head */

long sys_set_robust_list(uvaddr_t head, u64 size)
{
    if (size != ROBUST_LIST_SIZE)
        return -EINVAL;
    uthread_self()->robust_list = head;
    return 0;
}

long sys_get_robust_list(s32 tid, uvaddr_t head, uvaddr_t size)
{
    uvaddr_t list;
    int r = process_robust_list(tid, &list);
    if (r == 0)
        r = PUT_USER(size, (u64)ROBUST_LIST_SIZE);
    return r < 0 ? r : PUT_USER(head, list);
}

long sys_restart_syscall(void)
{
    return process_restart_syscall();
}

/* ---- scheduling ---- */

long sys_sched_yield(void)
{
    thread_yield();
    return 0;
}

long sys_setpriority(int which, s32 who, int nice)
{
    return process_priority_set(which, who, nice);
}

long sys_getpriority(int which, s32 who)
{
    return process_priority_get(which, who);
}

long sys_sched_setaffinity(s32 tid, u64 size, uvaddr_t mask)
{
    u64 cpus = 0;
    if (copy_from_user(&cpus, mask, MIN(size, sizeof(cpus))) < 0)
        return -EFAULT;
    return process_affinity_set(tid, cpus);
}

long sys_sched_getaffinity(s32 tid, u64 size, uvaddr_t mask)
{
    u64 cpus;
    if (size < sizeof(cpus) || size % sizeof(cpus))
        return -EINVAL;
    int r = process_affinity_get(tid, &cpus);
    if (r < 0)
        return r;
    return copy_to_user(mask, &cpus, sizeof(cpus)) < 0 ? -EFAULT : (long)sizeof(cpus);
}

/* There is one scheduling class, SCHED_OTHER with priority 0. */
static int check_thread(s32 tid)
{
    if (tid < 0)
        return -EINVAL;
    struct process *p = tid ? process_find_thread_get(tid) : NULL;
    if (tid && !p)
        return -ESRCH;
    if (p)
        process_put(p);
    return 0;
}

long sys_sched_getscheduler(s32 tid)
{
    return check_thread(tid);
}

long sys_sched_getparam(s32 tid, uvaddr_t param)
{
    int r = check_thread(tid);
    return r < 0 ? r : PUT_USER(param, (s32)0);
}

static long priority_limit(int policy, int real_time)
{
    switch (policy) {
    case SCHED_NORMAL:
    case SCHED_BATCH:
    case SCHED_IDLE:
        return 0;
    case SCHED_FIFO:
    case SCHED_RR:
        return real_time;
    default:
        return -EINVAL;
    }
}

long sys_sched_get_priority_max(int policy)
{
    return priority_limit(policy, 99);
}

long sys_sched_get_priority_min(int policy)
{
    return priority_limit(policy, 1);
}

long sys_getcpu(uvaddr_t cpu, uvaddr_t node, uvaddr_t unused)
{
    u32 id = READ_ONCE(thread_self()->cpu)->id;
    if (cpu && PUT_USER(cpu, id) < 0)
        return -EFAULT;
    return node ? PUT_USER(node, (u32)0) : 0;
}

/* ---- groups, sessions ---- */

long sys_setpgid(s32 pid, s32 pgid)
{
    return process_setpgid(pid, pgid);
}

long sys_getpgid(s32 pid)
{
    return process_getpgid(pid);
}

long sys_getsid(s32 pid)
{
    return process_getsid(pid);
}

long sys_setsid(void)
{
    return process_setsid();
}

long sys_getpid(void)
{
    return process_self()->pid;
}

long sys_getppid(void)
{
    return process_ppid();
}

long sys_gettid(void)
{
    return uthread_self()->tid;
}

/* ---- limits ---- */

static long limit_change(struct process *p, unsigned which, uvaddr_t new_addr, uvaddr_t old_addr)
{
    struct rlimit_value new, old;
    if (new_addr && copy_from_user(&new, new_addr, sizeof(new)) < 0)
        return -EFAULT;
    int r = process_rlimit(p, which, new_addr ? &new : NULL, &old);
    return r < 0 || !old_addr ? r : copy_to_user(old_addr, &old, sizeof(old));
}

long sys_getrlimit(unsigned which, uvaddr_t limit)
{
    return limit_change(process_self(), which, 0, limit);
}

long sys_setrlimit(unsigned which, uvaddr_t limit)
{
    return limit ? limit_change(process_self(), which, limit, 0) : -EFAULT;
}

long sys_prlimit64(s32 pid, unsigned which, uvaddr_t new, uvaddr_t old)
{
    if (pid == 0)
        return limit_change(process_self(), which, new, old);
    struct process *p = process_find_get(pid);
    if (!p)
        return -ESRCH;
    long r =
        p == process_self() || process_may_inspect(p) ? limit_change(p, which, new, old) : -EPERM;
    process_put(p);
    return r;
}
