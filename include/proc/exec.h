/*
 * execve(2): ELF programs (static, position-independent, with an interpreter) and `#!` scripts.
 *
 * Everything that can be refused is refused before the point of no return; what fails behind it
 * (reading headers late, memory) ends the process with SIGKILL, as on Linux.
 */
#pragma once

#include "fs/vfs.h"

/* Sources of argv and envp: user pointers or kernel ones. */
struct exec_vectors {
    bool kernel;
    u64 argv, envp; /* uvaddr_t, or const char *const * with @kernel; 0: empty */
};

#define EXEC_NAME_MAX 4096 /* longest file name, as PATH_MAX */

/*
 * Runs @name (kernel string) relative to @base (NULL: cwd) in the calling process. @flags:
 * AT_EMPTY_PATH (with "" @base itself), AT_SYMLINK_NOFOLLOW. On success returns 0 and the user
 * frame of the calling thread starts the new program; the caller goes back to user mode.
 * Errors: -E2BIG -EACCES -EFAULT -EINVAL -EIO -ELIBBAD -ELOOP -ENOENT -ENOEXEC -ENOMEM -ENOTDIR
 * -ETXTBSY ... => The calling thread is a user thread. May sleep; no locks.
 */
int process_exec(const struct path *base, const char *name, unsigned flags,
                 const struct exec_vectors *vectors);
