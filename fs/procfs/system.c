/* Files of /proc about the machine as a whole: CPUs, time, interrupts, locks, the log. */
#include "procfs_priv.h"

#include "arch/cpu.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/param.h"
#include "core/sched.h"
#include "core/timer.h"
#include "core/version.h"
#include "fs/cred.h"

#include <linux/capability.h>
#include <linux/fcntl.h>

static void show_cpu_times(struct seq *s, const struct cpu_times *t)
{
    /* user nice system idle iowait irq softirq steal guest guest_nice: Quire knows three of them.
     */
    seq_printf(s, " %lu 0 %lu %lu 0 0 0 0 0 0\n", t->user_ns / NS_PER_TICK,
               t->system_ns / NS_PER_TICK, t->idle_ns / NS_PER_TICK);
}

static void count_blocked(struct thread *t, void *arg)
{
    if (t->is_user && READ_ONCE(t->state) == THREAD_SLEEPING)
        ++*(u64 *)arg;
}

static void show_interrupt_line(struct seq *s)
{
    u64 total = 0;
    unsigned last = 0;
    for_each_online_cpu (c)
        total += READ_ONCE(c->interrupts);
    for (unsigned i = 0; i < IRQ_MAX; i++)
        if (irq_name(i))
            last = i;
    seq_printf(s, "intr %lu", total);
    for (unsigned i = 0; i <= last; i++)
        seq_printf(s, " %lu", irq_count(i));
    seq_putc(s, '\n');
}

static int show_stat(struct seq *s, const struct proc_node *n)
{
    struct cpu_times all = {}, of[MAX_CPUS];
    for_each_online_cpu (c) {
        struct cpu_times *t = &of[c - cpus];
        sched_cpu_times(c, t);
        all.user_ns += t->user_ns;
        all.system_ns += t->system_ns;
        all.idle_ns += t->idle_ns;
    }
    seq_puts(s, "cpu ");
    show_cpu_times(s, &all);
    for_each_online_cpu (c) {
        seq_printf(s, "cpu%u", c->id);
        show_cpu_times(s, &of[c - cpus]);
    }
    show_interrupt_line(s);
    struct sched_stats stats;
    u64 blocked = 0;
    sched_get_stats(&stats);
    thread_for_each(count_blocked, &blocked);
    seq_printf(s, "ctxt %lu\nbtime %lu\nprocesses %lu\nprocs_running %lu\nprocs_blocked %lu\n",
               stats.context_switches, time_wall_offset() / NSEC_PER_SEC, stats.forks,
               stats.runnable, blocked);
    return 0;
}

static void show_seconds(struct seq *s, u64 ns)
{
    seq_printf(s, "%lu.%02lu", ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / (NSEC_PER_SEC / 100));
}

static int show_uptime(struct seq *s, const struct proc_node *n)
{
    u64 idle = 0;
    for_each_online_cpu (c)
        idle += sched_idle_ns(c);
    show_seconds(s, time_ns());
    seq_putc(s, ' ');
    show_seconds(s, idle);
    seq_putc(s, '\n');
    return 0;
}

static int show_version(struct seq *s, const struct proc_node *n)
{
    seq_printf(s, "%s\n", version_banner());
    return 0;
}

static int show_cmdline(struct seq *s, const struct proc_node *n)
{
    seq_printf(s, "%s\n", param_cmdline());
    return 0;
}

static int show_cpuinfo(struct seq *s, const struct proc_node *n)
{
    for_each_online_cpu (c)
        seq_printf(s, "processor\t: %u\nhart\t\t: %lu\nisa\t\t: %s\nmmu\t\t: sv39\n\n", c->id,
                   c->hartid, arch_isa_string());
    return 0;
}

static void show_cpu_row(struct seq *s, const char *label, const char *what, size_t field)
{
    seq_printf(s, "%*s: ", 3, label);
    for_each_online_cpu (c)
        seq_printf(s, "%10lu ", READ_ONCE(*(u64 *)((char *)c + field)));
    seq_printf(s, "  %s\n", what);
}

static int show_interrupts(struct seq *s, const struct proc_node *n)
{
    seq_puts(s, "    ");
    for_each_online_cpu (c)
        seq_printf(s, "       CPU%-1u ", c->id);
    seq_putc(s, '\n');
    for (unsigned i = 0; i < IRQ_MAX; i++) {
        const char *name = irq_name(i);
        if (!name)
            continue;
        seq_printf(s, "%3u: ", i);
        for_each_online_cpu (c)
            seq_printf(s, "%10lu ", irq_count_cpu(i, c->id));
        seq_printf(s, " PLIC %u  %s\n", i, name);
    }
    show_cpu_row(s, "TIM", "Timer interrupts", offsetof(struct cpu, timer_irqs));
    show_cpu_row(s, "IPI", "Interprocessor interrupts", offsetof(struct cpu, ipis));
    return 0;
}

static void show_lock_class(struct lock_class *class, void *arg)
{
    struct lock_stat sum = {};
    for (unsigned i = 0; i < MAX_CPUS; i++) {
        const struct lock_stat *stat = &class->cpu[i];
        sum.acquired += READ_ONCE(stat->acquired);
        sum.contended += READ_ONCE(stat->contended);
        sum.spins += READ_ONCE(stat->spins);
        sum.max_hold = MAX(sum.max_hold, READ_ONCE(stat->max_hold));
    }
    size_t from = seq_length(arg);
    seq_escape(arg, class->name);
    seq_pad(arg, from, 24);
    seq_printf(arg, " %12lu %10lu %12lu %10lu\n", sum.acquired, sum.contended, sum.spins,
               sum.max_hold * NSEC_PER_SEC / time_hz());
}

static int show_lockstat(struct seq *s, const struct proc_node *n)
{
    seq_printf(s, "%-24s %12s %10s %12s %10s\n", "name", "acquired", "contended", "spins",
               "max_hold");
    lock_class_for_each(show_lock_class, s);
    return 0;
}

/*
 * /proc/kmsg: each open file reads the log from its beginning and then waits for more. The log can
 * be written in any context and so has no wait queue: a reader at its end looks again from time to
 * time.
 */
#define KMSG_PIECE   1024 /* longer than any line of the log */
#define KMSG_POLL_NS (100 * NSEC_PER_MSEC)

static int kmsg_open(struct inode *inode, struct file *f)
{
    u64 *seq;
    if (!capable(CAP_SYSLOG))
        return -EPERM;
    seq = kmalloc(sizeof(*seq), 0);
    if (!seq)
        return -ENOMEM;
    *seq = log_first_seq();
    f->private = seq;
    f->has_pos = false;
    return 0;
}

static void kmsg_release(struct file *f)
{
    kfree(f->private);
}

static ssize_t kmsg_read(struct file *f, struct uio *uio, loff_t *pos)
{
    u64 *at = f->private;
    while (READ_ONCE(*at) >= log_next_seq()) {
        if (READ_ONCE(f->flags) & O_NONBLOCK)
            return -EAGAIN;
        if (sleep_until(time_ns() + KMSG_POLL_NS) < 0)
            return -ERESTARTSYS;
    }
    char *text = kmalloc(KMSG_PIECE, 0);
    if (!text)
        return -ENOMEM;
    u64 next = READ_ONCE(*at);
    size_t len = log_read(&next, text, MIN(uio->resid, KMSG_PIECE));
    ssize_t r = uio_write(uio, text, len) == len ? (ssize_t)len : -EFAULT;
    if (r > 0)
        WRITE_ONCE(*at, next);
    kfree(text);
    return r;
}

static const struct file_ops kmsg_ops = {
    .open = kmsg_open, .release = kmsg_release, .read = kmsg_read};

static struct proc_entry files[] = {
    PROC_FILE("stat", 0444, show_stat),
    PROC_FILE("uptime", 0444, show_uptime),
    PROC_FILE("version", 0444, show_version),
    PROC_FILE("cmdline", 0444, show_cmdline),
    PROC_FILE("cpuinfo", 0444, show_cpuinfo),
    PROC_FILE("interrupts", 0444, show_interrupts),
    PROC_FILE("lockstat", 0444, show_lockstat),
    {.name = "kmsg", .mode = S_IFREG | 0400, .file_ops = &kmsg_ops},
};

void procfs_system_init(void)
{
    procfs_add(&procfs_root, files, ARRAY_SIZE(files));
}
