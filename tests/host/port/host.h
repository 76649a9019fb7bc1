/*
 * What host tests may ask of the host port: simulated CPUs and RAM under kernel code that is
 * compiled for the host. Everything is single-threaded; "locking" only checks for misuse.
 */
#pragma once

#include "lib/types.h"

/* Makes @nr_cpus CPUs, running on CPU 0. Forgets all earlier state. */
void host_init(unsigned nr_cpus);

/* Continues as if on CPU @cpu. => No spinlock held. */
void host_set_cpu(unsigned cpu);

#define HOST_RAM_BASE 0x80000000UL /* physical address of the simulated RAM */

/* Simulated RAM of @bytes (page multiple) at HOST_RAM_BASE, filled with a pattern. */
void host_memory_create(u64 bytes);
void host_memory_destroy(void);

/* Calls @fn(@arg); true when it ended in panic(), whose text is then in host_panic_text(). */
bool host_panics(void (*fn)(void *), void *arg);
const char *host_panic_text(void);

/* What reclaim_pages() does (NULL: frees nothing), and how often the pagedaemon was woken. */
extern u64 (*host_reclaim)(u64 want);
extern u64 host_pagedaemon_wakeups;
