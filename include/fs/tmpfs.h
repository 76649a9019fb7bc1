/* Files in memory; see fs/tmpfs/. */
#pragma once

#include "fs/vfs.h"

/* Boot: registers the type "tmpfs". */
void tmpfs_init(void);
/*
 * Mounts like the type tmpfs (options size=, nr_inodes=, mode=, uid=, gid=); other types that are a
 * tmpfs with contents of their own build on it. Returns 0, -ENOMEM, -EINVAL (options).
 */
int tmpfs_mount(struct super *sb, const char *data);

#define MEMFD_NAME_MAX 249 /* bytes; NAME_MAX less "memfd:" */
/* memfd_create(2): a file without a name, shown as @name. @flags: MFD_*, checked. 0, -ENOMEM,
 * -ENFILE. */
int memfd_create(const char *name, unsigned flags, struct file **out);
/* fcntl(2), F_ADD_SEALS: 0, -EPERM, -EBUSY, -EINVAL. F_GET_SEALS: F_SEAL_*, -EINVAL. */
int memfd_add_seals(struct file *f, u32 seals);
int memfd_get_seals(struct file *f);
