/*
 * Floating point belongs to user mode; the kernel itself never uses it.
 *
 * FS in the user frame's status tells the state of a thread's registers:
 *   Off    not used since exec: the next such instruction traps, fpu_first_use() turns it on with
 *          all registers zero
 *   Clean  the thread's saved copy (context.fpu) is right
 *   Dirty  only the hart's registers are right; hardware sets this at the first write
 * So a switch saves only what is dirty, and loads only when the hart's registers are not those
 * that the thread left there: cpu->fpu_owner and context.fpu_cpu must agree. A thread without
 * floating point has FS off and cannot see what others left in the registers.
 */
#include "arch/context.h"
#include "arch/cpu.h"
#include "core/cpu.h"
#include "core/panic.h"
#include "lib/string.h"

#include "arch_priv.h"

static bool frame_dirty(const struct trapframe *tf)
{
    return (tf->status & SSTATUS_FS) == SSTATUS_FS_DIRTY;
}

static void frame_set_fs(struct trapframe *tf, u64 fs)
{
    tf->status = (tf->status & ~(u64)SSTATUS_FS) | fs;
}

/* The calling CPU's registers become @t's saved copy. => Interrupts off. */
static void registers_to_context(struct thread *t, struct trapframe *tf)
{
    csr_set(sstatus, SSTATUS_FS);
    fpu_registers_save(&t->context.fpu);
    frame_set_fs(tf, SSTATUS_FS_CLEAN);
}

/* => Interrupts off. */
static void context_to_registers(struct thread *t, struct cpu *cpu)
{
    csr_set(sstatus, SSTATUS_FS);
    fpu_registers_load(&t->context.fpu);
    cpu->fpu_owner = t;
    t->context.fpu_cpu = cpu->id;
}

struct thread *arch_switch(struct thread *prev, struct thread *next)
{
    struct cpu *cpu = prev->cpu;
    if (prev->context.fpu_used) {
        struct trapframe *tf = arch_user_frame(prev);
        if (frame_dirty(tf))
            registers_to_context(prev, tf);
    }
    if (next->context.fpu_used && (cpu->fpu_owner != next || next->context.fpu_cpu != cpu->id))
        context_to_registers(next, cpu);
    return switch_registers(prev, next);
}

void arch_context_init(struct thread *t, void (*start)(void))
{
    /* Below the user frame, which may be filled in already (fork). */
    t->context = (struct arch_context){
        .ra = (u64)start,
        .sp = (vaddr_t)arch_user_frame(t),
        .fpu_cpu = FPU_NO_CPU,
    };
}

bool fpu_first_use(struct trapframe *tf)
{
    struct thread *self = thread_self();
    if (tf->status & SSTATUS_FS)
        return false;
    unsigned long flags = arch_irq_save();
    self->context.fpu_used = true;
    context_to_registers(self, self->cpu);
    frame_set_fs(tf, SSTATUS_FS_CLEAN);
    arch_irq_restore(flags);
    return true;
}

void fpu_sync(struct thread *t)
{
    if (!t->context.fpu_used)
        return;
    struct trapframe *tf = arch_user_frame(t);
    unsigned long flags = arch_irq_save();
    if (frame_dirty(tf)) {
        assert(t == thread_self());
        registers_to_context(t, tf);
    }
    arch_irq_restore(flags);
}

void fpu_set(struct trapframe *tf, const struct arch_fpu *fpu)
{
    struct thread *self = thread_self();
    unsigned long flags = arch_irq_save();
    self->context.fpu = *fpu;
    self->context.fpu_used = true;
    context_to_registers(self, self->cpu);
    frame_set_fs(tf, SSTATUS_FS_CLEAN);
    arch_irq_restore(flags);
}

void arch_fpu_reset(struct thread *t)
{
    unsigned long flags = arch_irq_save();
    if (t->context.fpu_used)
        frame_set_fs(arch_user_frame(t), 0);
    t->context.fpu_used = false;
    t->context.fpu_cpu = FPU_NO_CPU;
    memset(&t->context.fpu, 0, sizeof(t->context.fpu));
    arch_irq_restore(flags);
}

void arch_fpu_copy(struct thread *to, struct thread *from)
{
    fpu_sync(from);
    to->context.fpu_used = from->context.fpu_used;
    to->context.fpu_cpu = FPU_NO_CPU;
    to->context.fpu = from->context.fpu;
    /* Whether the frame has been copied already or will be: both states are the saved copy's. */
    frame_set_fs(arch_user_frame(to), from->context.fpu_used ? SSTATUS_FS_CLEAN : 0);
}
