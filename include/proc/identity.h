/*
 * Changing identity: setuid(2), setresuid(2), setfsuid(2), setgroups(2), capset(2). Each makes a
 * changed copy of the calling thread's cred and installs it. Threads have their own; glibc keeps
 * them equal. (u32)-1 means "leave it".
 */
#pragma once

#include "lib/types.h"

struct cred;

int identity_setuid(u32 uid); /* 0, -EPERM, -EINVAL, -ENOMEM, -EAGAIN */
int identity_setgid(u32 gid);
int identity_setreuid(u32 ruid, u32 euid);
int identity_setregid(u32 rgid, u32 egid);
int identity_setresuid(u32 ruid, u32 euid, u32 suid);
int identity_setresgid(u32 rgid, u32 egid, u32 sgid);
u32 identity_setfsuid(u32 uid); /* the former value, changed or not */
u32 identity_setfsgid(u32 gid);
/* @groups: @count ids in kernel memory (copied). 0, -EPERM, -EINVAL (count > 65536), -ENOMEM. */
int identity_setgroups(const u32 *groups, u32 count);
/* capset(2) on the calling thread. 0, -EPERM, -ENOMEM. */
int identity_capset(u64 effective, u64 permitted, u64 inheritable);
/* prctl(PR_CAPBSET_DROP). 0, -EINVAL, -EPERM, -ENOMEM. */
int identity_drop_bounding(unsigned cap);
/* prctl(PR_SET_NO_NEW_PRIVS, 1). 0, -ENOMEM. */
int identity_no_new_privs(void);
/* exec: @cred (private copy) takes the file's set-id bits (@setuid/@setgid: the new id or -1);
 * returns whether the identity changed (AT_SECURE). */
bool identity_exec(struct cred *cred, u32 setuid, u32 setgid);
/* Installs @cred (its reference) as the calling thread's. */
void identity_install(struct cred *cred);
/* Largest capability number plus one. */
#define CAP_COUNT 41
#define CAP_ALL   ((1UL << CAP_COUNT) - 1)
