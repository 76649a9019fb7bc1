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
