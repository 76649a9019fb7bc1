/*
 * Call chains by frame pointer, with symbols. A chain is followed while its frames lie on a stack
 * the CPU can be on (the thread's or the emergency stack) and go upwards, so that a damaged stack
 * ends it rather than faults.
 */
#include "arch/cpu.h"
#include "core/cpu.h"
#include "core/ksyms.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/upcall.h"

#include "sched_priv.h"

#define MAX_FRAMES 48

const char *ksym_lookup(vaddr_t pc, u64 *offset)
{
    if (pc < ksym_base || pc >= (vaddr_t)kernel_text_end || ksym_count == 0)
        return NULL;
    u64 target = pc - ksym_base;
    u32 low = 0, high = ksym_count; /* the last start at or below @target is in [low, high) */
    if (ksym_addrs[0] > target)
        return NULL;
    while (high - low > 1) {
        u32 middle = low + (high - low) / 2;
        if (ksym_addrs[middle] <= target)
            low = middle;
        else
            high = middle;
    }
    *offset = target - ksym_addrs[low];
    return ksym_names + ksym_name_offsets[low];
}

static bool on_stack(vaddr_t fp, vaddr_t top)
{
    return top && fp <= top && fp > top - KSTACK_SIZE;
}

/* Whether @fp may be followed: on @t's stack or its CPU's emergency stack, behind @last. */
static bool plausible(const struct thread *t, vaddr_t fp, vaddr_t last)
{
    if (fp % 16 || fp <= last)
        return false;
    if (on_stack(fp, t->cpu->emergency_stack))
        return true;
    return fp >= t->stack_base + 16 && fp <= t->kernel_sp;
}

/* Follows the chain from @fp; @fn gets each return address until it returns false. */
static void walk(const struct thread *t, vaddr_t fp, bool (*fn)(vaddr_t pc, void *arg), void *arg)
{
    vaddr_t last = 0;
    while (plausible(t, fp, last)) {
        vaddr_t pc = arch_frame_return(fp);
        if (pc < (vaddr_t)kernel_text_start || pc >= (vaddr_t)kernel_text_end)
            return;
        if (pc == (vaddr_t)sched_thread_begin || !fn(pc, arg))
            return; /* a thread begins there, nobody called it */
        /* from the emergency stack the chain goes on, downwards perhaps, on the thread's */
        last = on_stack(fp, t->cpu->emergency_stack) ? 0 : fp;
        fp = arch_frame_parent(fp);
    }
}

void backtrace_print_pc(vaddr_t pc)
{
    u64 offset = 0;
    const char *name = ksym_lookup(pc, &offset);
    /* right at a function's start: where a call that ends the function before it would return */
    if (name && offset == 0 && (name = ksym_lookup(pc - 1, &offset)))
        offset++;
    if (name)
        log_err("  %016lx %s+%#lx", (unsigned long)pc, name, (unsigned long)offset);
    else
        log_err("  %016lx", (unsigned long)pc);
}

static bool print_frame(vaddr_t pc, void *arg)
{
    backtrace_print_pc(pc);
    return ++*(unsigned *)arg < MAX_FRAMES;
}

/* The thread whose stack @fp is on: the caller's, else that of another CPU's current thread. */
static const struct thread *owner_of(vaddr_t fp)
{
    for_each_online_cpu (c)
        if (on_stack(fp, c->current->kernel_sp) || on_stack(fp, c->emergency_stack))
            return c->current;
    return thread_self();
}

void backtrace_print(vaddr_t pc, vaddr_t fp)
{
    unsigned frames = 0;
    backtrace_print_pc(pc);
    walk(owner_of(fp), fp, print_frame, &frames);
}

struct collector {
    vaddr_t *pcs;
    unsigned count, max;
};

static bool collect_frame(vaddr_t pc, void *arg)
{
    struct collector *c = arg;
    if (c->count < c->max)
        c->pcs[c->count++] = pc;
    return c->count < c->max;
}

unsigned backtrace_collect(struct thread *t, vaddr_t *pcs, unsigned max)
{
    struct collector c = {.pcs = pcs, .max = max};
    if (max > 0 && collect_frame(arch_context_pc(&t->context), &c))
        walk(t, arch_context_fp(&t->context), collect_frame, &c);
    return c.count;
}

unsigned backtrace_here(vaddr_t *pcs, unsigned max)
{
    struct collector c = {.pcs = pcs, .max = max};
    if (max > 0)
        walk(thread_self(), arch_frame_pointer(), collect_frame, &c);
    return c.count;
}
