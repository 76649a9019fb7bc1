/* What the files of /proc/PID share among themselves. */
#pragma once

#include "fs/procfs.h"
#include "mm/aspace.h"
#include "proc/proc_priv.h"

#define NS_PER_TICK (NSEC_PER_SEC / 100) /* USER_HZ, AT_CLKTCK */

/* The process @n is about, with a reference; NULL: it is gone. */
struct process *procfs_process_get(const struct proc_node *n);
/* Its address space with a reference; NULL: it has none (any more). */
struct aspace *procfs_aspace_get(const struct proc_node *n);
/* process_info_get() for @n. 0, -ESRCH. */
int procfs_info(const struct proc_node *n, struct process_info *out);

static inline void process_guard_release(struct process **p)
{
    if (*p)
        process_put(*p);
}
/* struct process *name, put however the block is left; NULL: gone. */
#define PROCESS_GUARD(name, n) \
    struct process *name __cleanup(process_guard_release) = procfs_process_get(n)

/* Sizes of an address space in pages, for status and statm. */
struct memory_sizes {
    u64 total, peak, locked;
    u64 anon, file, shared, swapped, peak_resident; /* resident */
    u64 data, stack, code, library, tables;
};
void procfs_sizes(struct aspace *as, struct memory_sizes *out);

/* The line of maps for @v; @buf: PATH_MAX bytes. => Its address space read-locked. */
void procfs_show_vma(struct seq *s, const struct vma *v, char *buf);

/* Contents of the directories: set up by the file that has them. */
extern struct proc_entry procfs_pid_dir, procfs_tid_dir;
void procfs_status_init(void);
void procfs_memory_files_init(void);
void procfs_smaps_init(void);
void procfs_pagemap_init(void);
void procfs_oom_init(void);
void procfs_fd_init(void);
void procfs_thread_init(void);
