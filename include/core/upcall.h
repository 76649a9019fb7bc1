/*
 * The only calls that go up the layers. arch/ and core/ call these; mm/, proc/ and syscall/ define
 * them.
 */
#pragma once

#include "lib/types.h"

struct trapframe;
struct aspace;

enum vm_access { VM_ACCESS_READ = 1, VM_ACCESS_WRITE = 2, VM_ACCESS_EXEC = 4 };

/*
 * mm/fault.c: a user-mode access to @va was refused by the machine. Returns 0 (retry),
 * -EFAULT (no mapping), -EACCES (mapping forbids it), -ENXIO (beyond the object's end), -EIO,
 * -ENOMEM.  => Interrupts on, may sleep.
 */
int vm_fault_user(uvaddr_t va, enum vm_access access);

/* syscall/: ecall from user mode; number and arguments are in @tf, the result goes there. */
void syscall_dispatch(struct trapframe *tf);

/* proc/: a synchronous exception of user mode: queue @sig with si_code @code, si_addr @addr. */
void signal_exception(struct trapframe *tf, int sig, int code, uvaddr_t addr);

/* proc/: on the way back to user mode with WORK_SIGNAL set. May not return (exit). */
void signal_deliver(struct trapframe *tf);

/*
 * mm/aspace.c: the scheduler has switched to a thread that runs in @next: its page table must be
 * the hart's. NULL, a kernel thread: what is loaded may stay. => Interrupts off, no locks.
 */
void aspace_load(struct aspace *next);

/* proc/rlimit.c: bytes the running thread's address space may lock: RLIMIT_MEMLOCK, or all. */
u64 lock_limit_user(void);

/* mm/kstack.c (contract in mm/kva.h): thread_init() needs a kernel stack of KSTACK_SIZE bytes. */
#define KSTACK_SIZE (16 * 1024UL)
vaddr_t kstack_alloc(void);
void kstack_free(vaddr_t base);

/* mm/slab.c (contract in mm/slab.h): memory for struct thread and the checker's lock stacks.
 * @flags are mm/page.h's PA_*; 0: may sleep. */
void *kmalloc(size_t size, unsigned flags);
void kfree(void *p);
