/* Pipes: what fcntl(2) and open(2) of FIFOs need beyond struct file. fs/pipe/. */
#pragma once

#include "fs/vfs.h"

/* F_GETPIPE_SZ and F_SETPIPE_SZ: capacity in bytes (set: rounded up to a power of two of pages), or
 * -EBADF (no pipe), -EBUSY (more than that is in it), -EPERM (above 1 MiB without
 * CAP_SYS_RESOURCE), -EINVAL, -ENOMEM. => May sleep. */
int pipe_get_size(struct file *f);
int pipe_set_size(struct file *f, u64 size);

/* open(2) of a FIFO: waits for the other side unless O_NONBLOCK. 0, -ENXIO, -ERESTARTSYS, -ENOMEM.
 */
int fifo_open(struct inode *inode, struct file *f);
void pipe_init(void);
