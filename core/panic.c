/*
 * Panic: the machine stops and says why.
 *
 * The first CPU that panics wins; it stops the others by IPI (those that wait for a spinlock with
 * interrupts off look for a panic themselves) and reports: message, registers for a trap, its own
 * call chain, then each other CPU's. A CPU that stops leaves its place in a slot here. Should the
 * report itself fault, the nested panic prints its message and powers off at once.
 */
#include "core/panic.h"

#include "arch/cpu.h"
#include "arch/trapframe.h"
#include "core/cpu.h"
#include "core/irq.h"
#include "core/lockdep.h"
#include "core/log.h"
#include "lib/fmt.h"

#include "panic_priv.h"

#define PANIC_STATUS 125 /* what `exec` exits with */

bool panicking;
static struct cpu *panic_cpu; /* atomic: who reports */
static bool nested;           /* a panic during the report */

struct stopped_at {
    vaddr_t pc, fp;
};
static struct stopped_at stopped[MAX_CPUS];

void panic_stop_here(void)
{
    arch_irq_disable();
    struct cpu *cpu = this_cpu();
    if (READ_ONCE(panic_cpu) != cpu) {
        stopped[cpu->id].pc = (vaddr_t)__builtin_return_address(0);
        stopped[cpu->id].fp = arch_frame_parent(arch_frame_pointer());
        memory_barrier();
        ipi_stopped();
    }
    arch_halt();
}

static void print_cpu(const struct cpu *cpu)
{
    const struct thread *t = cpu->current;
    log_err("CPU %u: thread %s, preempt count %u, interrupt depth %u", cpu->id, t->name,
            t->preempt_count, cpu->irq_depth);
    lockdep_print_held(t);
}

/* Claims the report for this CPU, or stops here when another one has it. */
static void enter(void)
{
    arch_irq_disable();
    struct cpu *none = NULL, *self = this_cpu();
    if (!atomic_cas(&panic_cpu, &none, self) && none != self)
        panic_stop_here();
    if (panicking)
        nested = true;
    WRITE_ONCE(panicking, true);
    log_panic_mode();
}

static void print_message(const char *fmt, va_list ap)
{
    static char message[512];
    vsnprintf(message, sizeof(message), fmt, ap);
    log_err("%s: %s", nested ? "panic within the panic" : "kernel panic", message);
}

static void report_and_stop(vaddr_t pc, vaddr_t fp) __noreturn;
static void report_and_stop(vaddr_t pc, vaddr_t fp)
{
    if (!nested) {
        struct cpu *self = this_cpu();
        print_cpu(self);
        backtrace_print(pc, fp);
        ipi_stop_others();
        for_each_online_cpu (c) {
            if (c == self)
                continue;
            print_cpu(c);
            if (ipi_is_stopped(c->id))
                backtrace_print(stopped[c->id].pc, stopped[c->id].fp);
            else
                log_err("  does not answer");
        }
    }
    machine_poweroff(PANIC_STATUS);
}

void panic(const char *fmt, ...)
{
    va_list ap;
    enter();
    va_start(ap, fmt);
    print_message(fmt, ap);
    va_end(ap);
    report_and_stop((vaddr_t)__builtin_return_address(0), arch_frame_parent(arch_frame_pointer()));
}

void panic_trap(struct trapframe *tf, const char *fmt, ...)
{
    va_list ap;
    enter();
    va_start(ap, fmt);
    print_message(fmt, ap);
    va_end(ap);
    if (!nested)
        tf_print(tf);
    report_and_stop(tf_pc(tf), tf_fp(tf));
}
