/* Error numbers: Linux's, from its user API headers. Functions return 0 or a negative one. */
#pragma once

#include <linux/errno.h>

/* Kernel-internal, never seen by user space: restart the system call after the signal handler. */
#define ERESTARTSYS    512 /* if SA_RESTART, else EINTR */
#define ERESTARTNOINTR 513 /* in any case */
#define ERESTARTNOHAND 514 /* only if no handler ran, else EINTR */
#define ERESTART_BLOCK 516 /* through restart_syscall(2) */
