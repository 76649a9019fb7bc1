/* The system as a whole: names, figures, log, random numbers, power, prctl. */
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <linux/prctl.h>
#include <linux/random.h>
#include <linux/reboot.h>
#include <linux/sysinfo.h>
#include <linux/utsname.h>

#include "core/irq.h"
#include "core/log.h"
#include "core/version.h"
#include "dev/dev.h"
#include "dev/random.h"
#include "fs/buf.h"
#include "fs/cred.h"
#include "lib/string.h"
#include "proc/identity.h"
#include "syscall/syscall_priv.h"

#define HOST_NAME_MAX 64

long sys_uname(uvaddr_t buf)
{
    struct new_utsname u;
    memset(&u, 0, sizeof(u));
    str_copy(u.sysname, "Linux", sizeof(u.sysname));
    hostname_get(u.nodename, sizeof(u.nodename));
    str_copy(u.release, version_release(), sizeof(u.release));
    str_copy(u.version, version_string(), sizeof(u.version));
    str_copy(u.machine, "riscv64", sizeof(u.machine));
    domainname_get(u.domainname, sizeof(u.domainname));
    return copy_to_user(buf, &u, sizeof(u));
}

static long set_name(uvaddr_t name, u64 len, int (*set)(const char *, size_t))
{
    char buf[HOST_NAME_MAX];
    if (!capable(CAP_SYS_ADMIN))
        return -EPERM;
    if (len > sizeof(buf))
        return -EINVAL;
    if (copy_from_user(buf, name, len) < 0)
        return -EFAULT;
    return set(buf, len);
}

long sys_sethostname(uvaddr_t name, u64 len)
{
    return set_name(name, len, hostname_set);
}

long sys_setdomainname(uvaddr_t name, u64 len)
{
    return set_name(name, len, domainname_set);
}

long sys_sysinfo(uvaddr_t addr)
{
    struct sysinfo info;
    struct page_stats pages;
    struct object_stats objects;
    struct sched_stats sched;
    memset(&info, 0, sizeof(info));
    page_get_stats(&pages);
    object_get_stats(&objects);
    sched_get_stats(&sched);
    info.uptime = time_ns() / NSEC_PER_SEC;
    info.loads[0] = sched.load_1;
    info.loads[1] = sched.load_5;
    info.loads[2] = sched.load_15;
    info.totalram = pages.total;
    info.freeram = pages.free;
    info.sharedram = objects.shmem;
    info.bufferram = buf_cached_bytes() >> PAGE_SHIFT;
    info.procs = sched.threads;
    info.mem_unit = PAGE_SIZE;
    return copy_to_user(addr, &info, sizeof(info));
}

/* ---- kernel log: syslog(2) ---- */

enum {
    LOG_READ = 2,
    LOG_READ_ALL,
    LOG_READ_CLEAR,
    LOG_CLEAR,
    LOG_CONSOLE_OFF,
    LOG_CONSOLE_ON,
    LOG_CONSOLE_LEVEL,
    LOG_SIZE_UNREAD,
    LOG_SIZE_BUFFER
};

#define LOG_BUFFER_SIZE (64 * 1024)

static u64 log_cleared, log_consumed; /* sequence numbers: READ_ALL and READ begin here */

/* Copies records from @seq on to user memory. Bytes, or -errno. */
static long log_copy(u64 *seq, uvaddr_t buf, long len)
{
    char *page = kmalloc(PAGE_SIZE, 0);
    if (!page)
        return -ENOMEM;
    long done = 0;
    while (done < len) {
        size_t n = log_read(seq, page, MIN((size_t)(len - done), PAGE_SIZE));
        if (n == 0)
            break;
        if (copy_to_user(buf + done, page, n) < 0) {
            done = -EFAULT;
            break;
        }
        done += n;
    }
    kfree(page);
    return done;
}

static long log_read_all(uvaddr_t buf, int len, bool clear)
{
    u64 seq = MAX(log_cleared, log_first_seq());
    long n = log_copy(&seq, buf, len);
    if (n >= 0 && clear)
        log_cleared = seq;
    return n;
}

static int saved_console_level;

static long log_console(int type, int level)
{
    switch (type) {
    case LOG_CONSOLE_OFF:
        if (!saved_console_level)
            saved_console_level = log_console_level;
        log_console_level = 1;
        return 0;
    case LOG_CONSOLE_ON:
        if (saved_console_level)
            log_console_level = saved_console_level;
        saved_console_level = 0;
        return 0;
    default:
        if (level < 1 || level > 8)
            return -EINVAL;
        log_console_level = level;
        saved_console_level = 0;
        return 0;
    }
}

long sys_syslog(int type, uvaddr_t buf, int len)
{
    if (type != LOG_READ_ALL && type != LOG_SIZE_BUFFER && !capable(CAP_SYSLOG))
        return -EPERM;
    if (type >= LOG_READ && type <= LOG_READ_CLEAR && (!buf || len < 0))
        return -EINVAL;
    switch (type) {
    case 0: /* close, open: nothing to do, as syslog(2) says */
    case 1:
        return 0;
    case LOG_READ:
        return log_copy(&log_consumed, buf, len);
    case LOG_READ_ALL:
    case LOG_READ_CLEAR:
        return log_read_all(buf, len, type == LOG_READ_CLEAR);
    case LOG_CLEAR:
        log_cleared = log_next_seq();
        return 0;
    case LOG_CONSOLE_OFF:
    case LOG_CONSOLE_ON:
    case LOG_CONSOLE_LEVEL:
        return log_console(type, len);
    case LOG_SIZE_BUFFER:
        return LOG_BUFFER_SIZE;
    default:
        return -EINVAL;
    }
}

/* ---- power ---- */

long sys_reboot(u32 magic1, u32 magic2, u32 cmd, uvaddr_t arg)
{
    if (!capable(CAP_SYS_BOOT))
        return -EPERM;
    if (magic1 != LINUX_REBOOT_MAGIC1 ||
        (magic2 != LINUX_REBOOT_MAGIC2 && magic2 != LINUX_REBOOT_MAGIC2A &&
         magic2 != LINUX_REBOOT_MAGIC2B && magic2 != LINUX_REBOOT_MAGIC2C))
        return -EINVAL;
    switch (cmd) {
    case LINUX_REBOOT_CMD_CAD_ON:
    case LINUX_REBOOT_CMD_CAD_OFF:
        return 0; /* there is no Ctrl-Alt-Del key whose meaning could change */
    case LINUX_REBOOT_CMD_HALT:
    case LINUX_REBOOT_CMD_POWER_OFF:
        vfs_shutdown();
        dev_shutdown();
        machine_poweroff(0);
    case LINUX_REBOOT_CMD_RESTART:
    case LINUX_REBOOT_CMD_RESTART2:
        vfs_shutdown();
        dev_shutdown();
        machine_reboot();
    default:
        return -EINVAL;
    }
}

/* ---- random numbers ---- */

long sys_getrandom(uvaddr_t buf, u64 n, unsigned flags)
{
    u8 chunk[256];
    if (flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    if (!(flags & GRND_INSECURE) && !random_ready()) {
        if (flags & GRND_NONBLOCK)
            return -EAGAIN;
        int r = random_wait_ready();
        if (r < 0)
            return r;
    }
    u64 done = 0;
    n = MIN(n, (u64)INT32_MAX);
    while (done < n && !(done && signal_pending())) {
        u64 piece = MIN(n - done, sizeof(chunk));
        random_bytes(chunk, piece);
        if (copy_to_user(buf + done, chunk, piece) < 0)
            return done ? (long)done : -EFAULT;
        done += piece;
    }
    return done;
}

/* ---- prctl ---- */

static long prctl_name(int option, uvaddr_t addr)
{
    char name[16];
    memset(name, 0, sizeof(name));
    if (option == PR_GET_NAME) {
        str_copy(name, thread_self()->name, sizeof(name));
        return copy_to_user(addr, name, sizeof(name));
    }
    if (copy_string_from_user(name, addr, sizeof(name)) == -EFAULT)
        return -EFAULT;
    name[sizeof(name) - 1] = 0;
    process_set_name(name);
    return 0;
}

static bool is_name_char(char c)
{
    return c >= ' ' && c < 0x7f && !strchr("\\`$[]", c);
}

/* prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, ...) */
static long prctl_vma_name(uvaddr_t start, u64 length, uvaddr_t addr)
{
    char name[VMA_NAME_SIZE];
    ssize_t n = addr ? copy_string_from_user(name, addr, sizeof(name)) : 0;
    if (n < 0)
        return n == -EFAULT ? n : -EINVAL;
    for (ssize_t i = 0; i < n; i++)
        if (!is_name_char(name[i]))
            return -EINVAL;
    return aspace_name(thread_self()->aspace, start, length, addr ? name : NULL);
}

long sys_prctl(int option, u64 a2, u64 a3, u64 a4, u64 a5)
{
    struct process *p = process_self();
    switch (option) {
    case PR_SET_NAME:
    case PR_GET_NAME:
        return prctl_name(option, a2);
    case PR_SET_PDEATHSIG:
        if (a2 > SIGNAL_COUNT)
            return -EINVAL;
        p->pdeath_signal = a2;
        return 0;
    case PR_GET_PDEATHSIG:
        return PUT_USER(a2, (int)p->pdeath_signal);
    case PR_SET_DUMPABLE:
        if (a2 > 1)
            return -EINVAL;
        WRITE_ONCE(p->dumpable, a2);
        return 0;
    case PR_GET_DUMPABLE:
        return READ_ONCE(p->dumpable);
    case PR_SET_CHILD_SUBREAPER:
        process_set_subreaper(a2);
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return PUT_USER(a2, (int)p->is_subreaper);
    case PR_SET_NO_NEW_PRIVS:
        return a2 != 1 || a3 || a4 || a5 ? -EINVAL : identity_no_new_privs();
    case PR_GET_NO_NEW_PRIVS:
        return a2 || a3 || a4 || a5 ? -EINVAL : cred_current()->no_new_privs;
    case PR_CAPBSET_READ:
        return a2 >= CAP_COUNT ? -EINVAL : (long)(cred_current()->cap_bounding >> a2 & 1);
    case PR_CAPBSET_DROP:
        return identity_drop_bounding(a2);
    case PR_SET_VMA:
        return a2 == PR_SET_VMA_ANON_NAME ? prctl_vma_name(a3, a4, a5) : -EINVAL;
    case PR_SET_THP_DISABLE:
        if (a3 || a4 || a5)
            return -EINVAL;
        WRITE_ONCE(thread_self()->aspace->no_superpages, a2 != 0);
        return 0;
    case PR_GET_THP_DISABLE:
        return a2 || a3 || a4 || a5 ? -EINVAL : READ_ONCE(thread_self()->aspace->no_superpages);
    case PR_GET_TID_ADDRESS:
        return PUT_USER(a2, uthread_self()->clear_child_tid);
    default:
        return -EINVAL;
    }
}

/* ---- memory barriers on other threads ---- */

static void barrier_here(void *arg)
{
    memory_barrier();
}

long sys_membarrier(int cmd, unsigned flags, int cpu)
{
    if (flags)
        return -EINVAL;
    switch (cmd) {
    case MEMBARRIER_CMD_QUERY:
        return MEMBARRIER_CMD_GLOBAL;
    case MEMBARRIER_CMD_GLOBAL:
        memory_barrier();
        ipi_call(cpu_online_mask, barrier_here, NULL);
        return 0;
    default:
        return -EINVAL;
    }
}
