/*
 * The host port: what kernel code under test calls of arch/ and the scheduler, for one host thread
 * that plays one CPU at a time. The locks and wait queues of core/ are the real ones.
 *
 * Nothing can wait here: taking a lock that is held, or going to sleep, is a bug of the code under
 * test (or a test that asks for the impossible) and panics. A panic aborts, so the sanitizer shows
 * the stack, unless the test expects it.
 */
#include "host.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "arch/cpu.h"
#include "arch/mmu.h"
#include "core/cpu.h"
#include "core/errno.h"
#include "core/log.h"
#include "core/mutex.h"
#include "core/panic.h"
#include "core/timer.h"
#include "mm/object.h"

/* --- CPUs and threads --- */

static struct thread host_threads[MAX_CPUS];
struct thread *host_current = &host_threads[0];
bool host_irqs_on = true;
void (*host_irqs_came_on)(void);

void host_init(unsigned nr_cpus)
{
    cpu_count = nr_cpus;
    cpu_online_mask = 0;
    host_irqs_on = true;
    host_reclaim = NULL;
    host_pagedaemon_wakeups = 0;
    for (unsigned i = 0; i < nr_cpus; i++) {
        host_threads[i] = (struct thread){.cpu = &cpus[i], .state = THREAD_RUNNABLE};
        cpus[i] = (struct cpu){.id = i, .hartid = i, .current = &host_threads[i]};
        cpu_set_online(&cpus[i]);
    }
    host_current = &host_threads[0];
}

void host_set_cpu(unsigned cpu)
{
    if (cpu >= cpu_count || host_current->preempt_count != 0)
        panic("host_set_cpu(%u): no such CPU, or a lock is held", cpu);
    host_current = &host_threads[cpu];
}

/* Nobody else wants the CPU, so there is never a reason to preempt. */
void preempt_schedule(void)
{
}

void schedule(void)
{
    panic("would sleep for ever");
}

bool thread_wake(struct thread *t)
{
    panic("thread %s cannot be asleep", t->name);
}

/* --- panic and log --- */

bool panicking;
static jmp_buf *panic_jump;
static char panic_text[256];

void panic(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(panic_text, sizeof(panic_text), fmt, ap);
    va_end(ap);
    if (panic_jump)
        longjmp(*panic_jump, 1);
    fprintf(stderr, "panic: %s\n", panic_text);
    abort();
}

bool host_panics(void (*fn)(void *), void *arg)
{
    jmp_buf here;
    struct thread *volatile thread = host_current;
    volatile u32 preempt_count = host_current->preempt_count;
    volatile bool irqs_on = host_irqs_on, panicked = true;

    panic_jump = &here;
    if (setjmp(here) == 0) {
        fn(arg);
        panicked = false;
    } else {
        host_current = thread;
        host_current->preempt_count = preempt_count;
        host_irqs_on = irqs_on;
    }
    panic_jump = NULL;
    return panicked;
}

const char *host_panic_text(void)
{
    return panic_text;
}

/* Silent unless QUIRE_LOG is set: tests that provoke errors would hide what matters. */
void log_printf(enum log_level level, const char *fmt, ...)
{
    va_list ap;

    if (!getenv("QUIRE_LOG"))
        return;
    fprintf(stderr, "<%d>", level);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* --- locks: with one host thread, whoever has to wait would wait for itself --- */

void ticket_wait(struct ticket *t, struct lock_class *class, u16 mine)
{
    panic("deadlock: %s is held by CPU %u (ticket %u)", class->name, t->holder - 1, mine);
}

bool ticket_trylock(struct ticket *t, struct lock_class *class)
{
    if (t->next != t->owner)
        return false;
    ticket_lock(t, class);
    return true;
}

/* The order of locks is checked in the kernel itself; here only sleeping in atomic context. */
void lockdep_acquire(const void *lock, struct lock_class *class, unsigned subclass,
                     enum lock_kind kind)
{
    if (kind == LOCK_SLEEP && !may_sleep())
        panic("%s taken in atomic context", class->name);
}

void lockdep_tried(const void *lock, struct lock_class *class, enum lock_kind kind)
{
}

void lockdep_acquired(const void *lock)
{
}

void lockdep_release(const void *lock)
{
}

void lockdep_check_sleep(void)
{
    if (!may_sleep())
        panic("sleeps in atomic context");
}

/* --- time --- */

u64 time_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

u64 arch_time(void)
{
    return time_ns();
}

/* schedule() panics, so a timer to end a sleep is never waited for. */
void timer_start(struct timer *t, u64 when)
{
    t->when = when;
    t->cpu = host_current->cpu;
}

bool timer_cancel(struct timer *t)
{
    bool armed = t->cpu;

    t->cpu = NULL;
    return armed;
}

/* --- memory --- */

u64 host_direct_base;
static void *ram;
static u64 ram_size;

void host_memory_create(u64 bytes)
{
    ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ram == MAP_FAILED)
        panic("no memory for %lu bytes of simulated RAM", bytes);
    ram_size = bytes;
    memset(ram, 0xa5, bytes);
    host_direct_base = (u64)ram - HOST_RAM_BASE;
}

void host_memory_destroy(void)
{
    munmap(ram, ram_size);
    ram = NULL;
}

paddr_t arch_virt_to_phys(const void *va)
{
    return direct_to_phys(va);
}

u64 (*host_reclaim)(u64 want);
u64 host_pagedaemon_wakeups;

/* Weak: test_vm.c has the real ones. */
__attribute__((weak)) u64 reclaim_pages(u64 want)
{
    lockdep_check_sleep();
    return host_reclaim ? host_reclaim(want) : 0;
}

__attribute__((weak)) void pagedaemon_wake(void)
{
    host_pagedaemon_wakeups++;
}
