/* Resource limits: getrlimit(2). Held per process, inherited by fork, kept over exec. */
#pragma once

#include "lib/types.h"

#include <asm/resource.h>

#define RLIMIT_UNLIMITED (~0UL) /* RLIM_INFINITY */

struct process;

struct rlimit_value {
    u64 soft, hard;
};

/* Makes fs/ obey RLIMIT_FSIZE. */
void rlimit_init(void);
/* The limits PID 1 starts with. @ram_pages sizes NPROC and SIGPENDING as Linux does. */
void rlimit_defaults(struct rlimit_value limits[RLIM_NLIMITS], u64 ram_pages);
/* Soft limit @which of the calling process: one load. */
u64 rlimit_current(unsigned which);
/*
 * prlimit(2) on @p: sets *@new (may be NULL), hands the former value out in *@old (may be NULL).
 * Returns 0, -EINVAL (@which, soft > hard), -EPERM (raising the hard limit, or @p's identity
 * differs, without CAP_SYS_RESOURCE).
 */
int process_rlimit(struct process *p, unsigned which, const struct rlimit_value *new,
                   struct rlimit_value *old);
