/* Signals. */
#include "arch/trapframe.h"
#include "lib/string.h"
#include "syscall/syscall_priv.h"

long sys_kill(s32 pid, int sig)
{
    return signal_kill(pid, sig);
}

long sys_tkill(s32 tid, int sig)
{
    return tid <= 0 ? -EINVAL : signal_tgkill(-1, tid, sig);
}

long sys_tgkill(s32 tgid, s32 tid, int sig)
{
    return tgid <= 0 || tid <= 0 ? -EINVAL : signal_tgkill(tgid, tid, sig);
}

long sys_sigaltstack(uvaddr_t new_addr, uvaddr_t old_addr)
{
    struct signal_stack new, old;
    if (new_addr && copy_from_user(&new, new_addr, sizeof(new)) < 0)
        return -EFAULT;
    uvaddr_t sp = tf_sp(arch_user_frame(thread_self()));
    int r = signal_altstack(new_addr ? &new : NULL, &old, sp);
    if (r == 0 && old_addr)
        r = copy_to_user(old_addr, &old, sizeof(old));
    return r;
}

long sys_rt_sigsuspend(uvaddr_t set, u64 size)
{
    u64 mask;
    int r = sigset_get(set, size, &mask);
    return r < 0 ? r : signal_suspend(mask);
}

long sys_rt_sigaction(int sig, uvaddr_t new_addr, uvaddr_t old_addr, u64 size)
{
    struct signal_action new, old;
    if (size != sizeof(u64))
        return -EINVAL;
    if (new_addr && copy_from_user(&new, new_addr, sizeof(new)) < 0)
        return -EFAULT;
    int r = signal_action_set(sig, new_addr ? &new : NULL, &old);
    if (r == 0 && old_addr)
        r = copy_to_user(old_addr, &old, sizeof(old));
    return r;
}

long sys_rt_sigprocmask(int how, uvaddr_t set_addr, uvaddr_t old_addr, u64 size)
{
    u64 set, old;
    if (size != sizeof(set))
        return -EINVAL;
    if (set_addr && copy_from_user(&set, set_addr, sizeof(set)) < 0)
        return -EFAULT;
    int r = signal_mask_change(how, set_addr ? &set : NULL, &old);
    if (r == 0 && old_addr)
        r = copy_to_user(old_addr, &old, sizeof(old));
    return r;
}

long sys_rt_sigpending(uvaddr_t addr, u64 size)
{
    u64 set = signal_pending_set();
    if (size > sizeof(set))
        return -EINVAL;
    return copy_to_user(addr, &set, size);
}

long sys_rt_sigtimedwait(uvaddr_t set_addr, uvaddr_t info_addr, uvaddr_t timeout, u64 size)
{
    u64 set, deadline;
    siginfo_t info;
    int r = sigset_get(set_addr, size, &set);
    if (r == 0)
        r = deadline_get(timeout, &deadline);
    if (r < 0)
        return r;
    memset(&info, 0, sizeof(info));
    r = signal_wait(set, deadline, &info);
    if (r > 0 && info_addr && copy_to_user(info_addr, &info, sizeof(info)) < 0)
        return -EFAULT;
    return r;
}

static long queueinfo(s32 tgid, s32 tid, int sig, uvaddr_t addr)
{
    siginfo_t info;
    if (copy_from_user(&info, addr, sizeof(info)) < 0)
        return -EFAULT;
    return signal_queueinfo(tgid, tid, sig, &info);
}

long sys_rt_sigqueueinfo(s32 tgid, int sig, uvaddr_t info)
{
    return queueinfo(tgid, 0, sig, info);
}

long sys_rt_tgsigqueueinfo(s32 tgid, s32 tid, int sig, uvaddr_t info)
{
    return tgid <= 0 || tid <= 0 ? -EINVAL : queueinfo(tgid, tid, sig, info);
}

long sys_rt_sigreturn(void)
{
    struct trapframe *tf = arch_user_frame(thread_self());
    signal_return(tf);
    return tf_result(tf);
}
