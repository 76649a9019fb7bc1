/*
 * The table and the dispatcher. Arguments arrive in a0 .. a5, the number in a7, the result goes to
 * a0 (riscv64 Linux ABI). A wrapper per call, generated from list.h, narrows the registers to the
 * types of its prototype.
 */
#include <asm/unistd.h>

#include "arch/trapframe.h"
#include "core/upcall.h"
#include "syscall/syscall_priv.h"

/* Newer than the headers of the reference host. */
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif

typedef long (*syscall_fn)(const u64 *a);

#define ARGS_0
#define ARGS_1 a[0]
#define ARGS_2 ARGS_1, a[1]
#define ARGS_3 ARGS_2, a[2]
#define ARGS_4 ARGS_3, a[3]
#define ARGS_5 ARGS_4, a[4]
#define ARGS_6 ARGS_5, a[5]

#define CALL(name, n)                     \
    static long call_##name(const u64 *a) \
    {                                     \
        return sys_##name(ARGS_##n);      \
    }
#include "syscall/list.h"
#undef CALL

#define CALL(name, n) [__NR_##name] = call_##name,
static const syscall_fn table[] = {
#include "syscall/list.h"
};
#undef CALL

void syscall_dispatch(struct trapframe *tf)
{
    u64 nr = tf_syscall_nr(tf);
    long result = -ENOSYS;
    if (likely(nr < ARRAY_SIZE(table) && table[nr]))
        result = table[nr](tf_args(tf));
    tf_set_result(tf, result);
}
