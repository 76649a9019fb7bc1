/*
 * Traps, behind trap_entry.S: which exception means what.
 *
 * A user exception becomes a page fault or a signal; the signal is only queued here, the way back
 * to user mode delivers it. Exceptions in kernel mode are always bugs: the kernel does not touch
 * user addresses, and its own memory is mapped. Interrupts run with interrupts off.
 */
#include "arch/cpu.h"
#include "core/errno.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/sched.h"
#include "core/timer.h"
#include "core/upcall.h"
#include "lib/atomic.h"
#include "lib/string.h"

#include "arch_priv.h"

#include "arch/mmu.h"
#include <linux/signal.h>

static const char *cause_name(u64 cause)
{
    static const char *const names[] = {
        [CAUSE_FETCH_MISALIGNED] = "misaligned instruction address",
        [CAUSE_FETCH_ACCESS] = "instruction access fault",
        [CAUSE_ILLEGAL] = "illegal instruction",
        [CAUSE_BREAKPOINT] = "breakpoint",
        [CAUSE_LOAD_MISALIGNED] = "misaligned load",
        [CAUSE_LOAD_ACCESS] = "load access fault",
        [CAUSE_STORE_MISALIGNED] = "misaligned store",
        [CAUSE_STORE_ACCESS] = "store access fault",
        [CAUSE_ECALL_USER] = "system call",
        [CAUSE_FETCH_PAGE] = "instruction page fault",
        [CAUSE_LOAD_PAGE] = "load page fault",
        [CAUSE_STORE_PAGE] = "store page fault",
    };
    if (cause & CAUSE_INTERRUPT)
        return "interrupt";
    if (cause < ARRAY_SIZE(names) && names[cause])
        return names[cause];
    return "unknown exception";
}

/* Acknowledges and handles one interrupt. => Interrupts off. */
static void handle_interrupt(u64 cause, bool from_user)
{
    struct cpu *cpu = this_cpu();
    sched_sample(from_user);
    cpu->irq_depth++;
    cpu->interrupts++;
    switch (cause & ~CAUSE_INTERRUPT) {
    case IRQ_TIMER:
        timer_interrupt();
        break;
    case IRQ_EXT:
        irq_handle_external();
        break;
    case IRQ_SOFT:
        csr_clear(sip, SIE_SSIE);
        ipi_interrupt();
        break;
    default:
        panic("unexpected interrupt, scause %#lx", (unsigned long)cause);
    }
    cpu->irq_depth--;
}

static void user_page_fault(struct trapframe *tf, uvaddr_t va, enum vm_access access)
{
    int error = va < USER_TOP ? vm_fault_user(va, access) : -EFAULT;
    switch (error) {
    case 0:
    case -EINTR: /* a signal interrupted the wait: it is delivered, then the access is retried */
    case -ERESTARTSYS:
        return;
    case -EFAULT:
        signal_exception(tf, SIGSEGV, SEGV_MAPERR, va);
        return;
    case -EACCES:
        signal_exception(tf, SIGSEGV, SEGV_ACCERR, va);
        return;
    case -ENOMEM:
        signal_exception(tf, SIGKILL, SI_KERNEL, va);
        return;
    default:
        signal_exception(tf, SIGBUS, BUS_ADRERR, va);
        return;
    }
}

/* Everything from user mode but system calls. => Interrupts off on entry, either on return. */
void trap_user(struct trapframe *tf)
{
    u64 cause = tf->cause;
    if (cause & CAUSE_INTERRUPT) {
        handle_interrupt(cause, true);
        return;
    }
    u64 tval = tf->tval = csr_read(stval);
    arch_irq_enable();
    switch (cause) {
    case CAUSE_LOAD_PAGE:
        user_page_fault(tf, tval, VM_ACCESS_READ);
        break;
    case CAUSE_STORE_PAGE:
        user_page_fault(tf, tval, VM_ACCESS_WRITE);
        break;
    case CAUSE_FETCH_PAGE:
        user_page_fault(tf, tval, VM_ACCESS_EXEC);
        break;
    case CAUSE_ILLEGAL:
        if (!fpu_first_use(tf))
            signal_exception(tf, SIGILL, ILL_ILLOPC, tf_pc(tf));
        break;
    case CAUSE_BREAKPOINT:
        signal_exception(tf, SIGTRAP, TRAP_BRKPT, tf_pc(tf));
        break;
    case CAUSE_FETCH_MISALIGNED:
    case CAUSE_LOAD_MISALIGNED:
    case CAUSE_STORE_MISALIGNED:
        signal_exception(tf, SIGBUS, BUS_ADRALN, tval);
        break;
    case CAUSE_FETCH_ACCESS:
    case CAUSE_LOAD_ACCESS:
    case CAUSE_STORE_ACCESS:
        signal_exception(tf, SIGSEGV, SEGV_ACCERR, tval);
        break;
    default:
        signal_exception(tf, SIGILL, ILL_ILLTRP, tf_pc(tf));
        break;
    }
}

/* => Interrupts off on entry and return. */
void trap_kernel(struct trapframe *tf)
{
    if (unlikely(!(tf->cause & CAUSE_INTERRUPT))) {
        tf->tval = csr_read(stval);
        panic_trap(tf, "%s in the kernel at address %#lx", cause_name(tf->cause),
                   (unsigned long)tf->tval);
    }
    handle_interrupt(tf->cause, false);
    struct thread *self = thread_self();
    if (self->preempt_count == 0 && (READ_ONCE(self->work) & WORK_RESCHED))
        sched_preempt_irq();
}

/* On the CPU's emergency stack. */
void trap_stack_overflow(struct trapframe *tf)
{
    tf->tval = csr_read(stval);
    panic_trap(tf, "kernel stack overflow in thread %s, stack at %#lx, then %s at %#lx",
               thread_self()->name, (unsigned long)thread_self()->stack_base, cause_name(tf->cause),
               (unsigned long)tf->tval);
}

/*
 * Does what thread->work asks for until nothing is left. => Interrupts off on entry and return; in
 * between they are on.
 */
void trap_return_work(struct trapframe *tf)
{
    struct thread *self = thread_self();
    u32 work;
    while ((work = READ_ONCE(self->work)) != 0) {
        if (work & WORK_FRAME)
            atomic_and(&self->work, ~WORK_FRAME);
        arch_irq_enable();
        if (work & WORK_RESCHED)
            schedule();
        if (work & WORK_SIGNAL)
            signal_deliver(tf);
        arch_irq_disable();
    }
}

void tf_init_user(struct trapframe *tf, uvaddr_t pc, uvaddr_t sp)
{
    memset(tf, 0, sizeof(*tf));
    tf->x[X_PC] = pc;
    tf->x[X_SP] = sp;
    tf->status = SSTATUS_SPIE | SSTATUS_UXL_64;
    tf->cause = CAUSE_NONE;
    atomic_or(&thread_self()->work, WORK_FRAME);
}

void tf_print(const struct trapframe *tf)
{
    static const char names[32][4] = {"pc", "ra", "sp",  "gp",  "tp", "t0", "t1", "t2",
                                      "s0", "s1", "a0",  "a1",  "a2", "a3", "a4", "a5",
                                      "a6", "a7", "s2",  "s3",  "s4", "s5", "s6", "s7",
                                      "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
    u64 offset = 0;
    const char *symbol = ksym_lookup(tf_pc(tf), &offset);
    log_err("%s, scause %#lx, stval %#lx, sstatus %#lx, in %s+%#lx", cause_name(tf->cause),
            (unsigned long)tf->cause, (unsigned long)tf->tval, (unsigned long)tf->status,
            symbol ? symbol : "?", (unsigned long)offset);
    for (unsigned i = 0; i < 32; i += 4)
        log_err("%3s %016lx %3s %016lx %3s %016lx %3s %016lx", names[i], (unsigned long)tf->x[i],
                names[i + 1], (unsigned long)tf->x[i + 1], names[i + 2],
                (unsigned long)tf->x[i + 2], names[i + 3], (unsigned long)tf->x[i + 3]);
}
