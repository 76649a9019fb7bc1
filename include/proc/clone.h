/* fork, vfork, clone(2), clone3(2): one function. */
#pragma once

#include "lib/types.h"

/* clone3's struct clone_args, decoded. */
struct clone_request {
    u64 flags;           /* CLONE_*; without the exit signal in the low byte */
    uvaddr_t parent_tid; /* CLONE_PARENT_SETTID */
    uvaddr_t child_tid;  /* CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID */
    int exit_signal;     /* sent to the parent at exit; 0: none */
    uvaddr_t stack;      /* stack pointer of the child (highest address); 0: the parent's */
    u64 tls;             /* CLONE_SETTLS */
};

/*
 * Makes a process (or, with CLONE_THREAD, a thread of the calling one) that continues where the
 * caller does, with result 0. Returns the new id; with CLONE_VFORK after the child let go.
 * Accepted: VM VFORK FILES FS SIGHAND THREAD PARENT SETTLS PARENT_SETTID CHILD_SETTID
 * CHILD_CLEARTID CLEAR_SIGHAND SYSVSEM IO DETACHED (these three have nothing to share). Others and
 * contradictions: -EINVAL. -EAGAIN: RLIMIT_NPROC or out of ids. -ENOMEM. => May sleep.
 */
int process_clone(const struct clone_request *request);
/* unshare(2) for CLONE_FILES, CLONE_FS, CLONE_SYSVSEM; what is single already passes. Others:
 * -EINVAL. */
int process_unshare(u64 flags);
