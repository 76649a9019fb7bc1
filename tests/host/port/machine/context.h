/* Host port: one thread per simulated CPU, never switched. See host.h. */
#pragma once

struct thread;

struct arch_context {
    unsigned long unused;
};

extern struct thread *host_current;

static inline struct thread *arch_thread_self(void)
{
    return host_current;
}
