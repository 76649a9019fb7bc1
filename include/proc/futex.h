/* Futexes: futex(2), get_robust_list(2), set_tid_address(2). Numbers from <linux/futex.h>. */
#pragma once

#include "lib/types.h"

#include <linux/futex.h>

struct uthread;

/*
 * FUTEX_WAIT and FUTEX_WAIT_BITSET (@bitset FUTEX_BITSET_MATCH_ANY for the former): sleeps while
 * the word at @addr is @expected. @private: FUTEX_PRIVATE_FLAG was given. @deadline in time_ns(),
 * TIME_NEVER for none. @relative: the user gave a relative timeout, so a restart after a signal
 * goes through restart_syscall(2).
 * Returns 0 (woken), -EAGAIN (other value), -ETIMEDOUT, -EFAULT, -EINVAL (alignment, bitset 0),
 * -ERESTARTSYS, -ERESTART_BLOCK. => May sleep.
 */
int futex_wait(uvaddr_t addr, bool private, u32 expected, u32 bitset, u64 deadline, bool relative);
/* FUTEX_WAKE(_BITSET): wakes at most @count whose bitset meets @bitset. Number, -EFAULT, -EINVAL.
 */
int futex_wake(uvaddr_t addr, bool private, u32 count, u32 bitset);
/*
 * FUTEX_REQUEUE (@expected NULL) and FUTEX_CMP_REQUEUE: wakes @wake waiters of @addr, moves up to
 * @move further ones to @addr2. Number woken (and, with @expected, moved), -EAGAIN, -EFAULT,
 * -EINVAL.
 */
int futex_requeue(uvaddr_t addr, uvaddr_t addr2, bool private, u32 wake, u32 move,
                  const u32 *expected);
/* FUTEX_WAKE_OP with operation word @op. Number woken, -ENOSYS (bad operation), -EFAULT, -EINVAL.
 */
int futex_wake_op(uvaddr_t addr, uvaddr_t addr2, bool private, u32 wake, u32 wake2, u32 op);

/* Exit and exec: marks robust mutexes still held as owner-died and wakes; writes 0 to
 * clear_child_tid and wakes it. => The thread itself, still in its address space. */
void futex_thread_exit(struct uthread *t);

/* Boot. */
void futex_init(void);
