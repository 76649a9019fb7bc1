/* Broken invariants of the kernel itself. Never for anything a user program can cause. */
#pragma once

#include "lib/types.h"

/* Stops all harts, prints the message, symbolized backtraces of every hart, powers off with 125. */
void panic(const char *fmt, ...) __noreturn __printf(1, 2);
/* The same, for a trap: prints the registers in @tf first. */
struct trapframe;
void panic_trap(struct trapframe *tf, const char *fmt, ...) __noreturn __printf(2, 3);
extern bool panicking;
/* A panic runs elsewhere: records where this CPU is for its report and halts. */
void panic_stop_here(void) __noreturn;

#define assert(c)                                                         \
    do {                                                                  \
        if (unlikely(!(c)))                                               \
            panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #c); \
    } while (0)

/* For checks too costly for the release build. */
#ifdef QUIRE_DEBUG
#define debug_assert(c) assert(c)
#else
#define debug_assert(c) ((void)0)
#endif

/*
 * Name and offset of the kernel function around @pc from the symbol table linked into the kernel;
 * NULL when unknown.
 */
const char *ksym_lookup(vaddr_t pc, u64 *offset);

/* Logs the call chain starting at frame pointer @fp (bounded by the stack it is on). */
void backtrace_print(vaddr_t pc, vaddr_t fp);
/* Collects up to @max return addresses of the caller's own call chain. Returns their number. */
unsigned backtrace_here(vaddr_t *pcs, unsigned max);
/* Logs one line for @pc: address, function, offset. */
void backtrace_print_pc(vaddr_t pc);
/* Collects up to @max return addresses of a thread that does not run. Returns their number. */
struct thread;
unsigned backtrace_collect(struct thread *t, vaddr_t *pcs, unsigned max);

/* Stops the machine; @status becomes the exit status of the emulator where it can. */
void machine_poweroff(int status) __noreturn;
void machine_reboot(void) __noreturn;
