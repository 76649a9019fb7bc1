/* The first process. */
#pragma once

/* Boot: caches, tables, the tty's view of processes. => Before start_init(); may sleep. */
void proc_init(void);
/*
 * Boot: starts PID 1, which mounts the root file system (root=, rootfstype=, ro, rw), mounts /dev
 * and /proc where those directories exist, opens /dev/console as 0, 1, 2, and runs init=, or
 * without that word the first of /sbin/init, /etc/init, /bin/init, /bin/sh that runs. When that
 * cannot be done it says why in one line and powers off with status 1. Returns once PID 1 is
 * started. => May sleep.
 */
void start_init(void);
