/*
 * Port contract: switched-out register state. machine/context.h defines struct arch_context and the
 * inline arch_thread_self(); a port supplies the functions below.
 */
#pragma once

#include "lib/types.h"

struct thread;

#include <machine/context.h>

/* Saves the callee-saved registers into @prev's context and continues where @next's was saved.
 * Floating-point state is saved when @prev made it dirty, restored when @next has some.
 * => Interrupts off. Returns (in @next) the thread that was switched away from. */
struct thread *arch_switch(struct thread *prev, struct thread *next);

/* Prepares @t so that the first arch_switch() to it calls @start() on its stack. */
void arch_context_init(struct thread *t, void (*start)(void));

/* Forgets, or copies from @from, the floating-point state of @t (exec, fork). */
void arch_fpu_reset(struct thread *t);
void arch_fpu_copy(struct thread *to, struct thread *from);
