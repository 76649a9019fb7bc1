/* The end of threads and processes, and waiting for it: _exit(2), wait(2), waitid(2). */
#pragma once

#include "lib/types.h"

/* Resources used, for getrusage(2), wait4(2), times(2). Times in ns. */
struct resource_usage {
    u64 user_ns, system_ns;
    u64 minor_faults, major_faults;
    u64 switches_voluntary, switches_involuntary;
    u64 max_resident; /* bytes */
};

/* exit(2): ends the calling thread; the last one's @code becomes the process's. */
void thread_exit_user(int code) __noreturn;
/* exit_group(2): @code is 0 .. 255. */
void process_exit(int code) __noreturn;
/* Ends the calling process as killed by @sig. */
void process_exit_signal(int sig) __noreturn;

/* Status words of wait(2). */
#define STATUS_EXITED(code)  (((code)&0xff) << 8)
#define STATUS_SIGNALED(sig) ((sig)&0x7f)
#define STATUS_STOPPED(sig)  (((sig) << 8) | 0x7f)
#define STATUS_CONTINUED     0xffff

struct wait_request {
    int type;         /* P_ALL, P_PID, P_PGID (linux/wait.h) */
    s32 id;           /* P_PID: process, P_PGID: group (0: the caller's) */
    unsigned options; /* WNOHANG WUNTRACED(= WSTOPPED) WEXITED WCONTINUED WNOWAIT __WALL __WCLONE
                         __WNOTHREAD */
};

struct wait_result {
    s32 pid;    /* 0: nothing yet (WNOHANG) */
    u32 uid;    /* real user id of the child */
    int status; /* as wait4(2) encodes it */
    int code;   /* CLD_* and the plain exit code or signal, for waitid(2) */
    int value;
    struct resource_usage usage; /* the child's, with its waited-for descendants */
};

/*
 * Waits for a child to change state as the request says. wait4(2) callers set WEXITED.
 * Returns 0, -ECHILD, -EINVAL (options, type), -ERESTARTSYS. => May sleep.
 */
int process_wait(const struct wait_request *request, struct wait_result *result);

/* getrusage(2): @who RUSAGE_SELF, RUSAGE_CHILDREN, RUSAGE_THREAD. 0, -EINVAL. */
int process_usage(int who, struct resource_usage *out);
