/* Kernel log: a ring buffer with sequence numbers, copied to the console. */
#pragma once

#include "lib/types.h"

enum log_level { LOG_ERR = 3, LOG_WARN = 4, LOG_INFO = 6, LOG_DEBUG = 7 };

/* Logs one line (the newline is added when missing). => Any context. */
void log_printf(enum log_level level, const char *fmt, ...) __printf(2, 3);
#define log_err(...)   log_printf(LOG_ERR, __VA_ARGS__)
#define log_warn(...)  log_printf(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_printf(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_printf(LOG_DEBUG, __VA_ARGS__)

/*
 * Copies log records from sequence number *@seq on into @buf as "<level>[sec.usec] text" lines
 * and advances *@seq. Returns bytes written; 0 at the end.
 */
size_t log_read(u64 *seq, char *buf, size_t size);
u64 log_first_seq(void); /* oldest record still held */
u64 log_next_seq(void);  /* the one to come */
/* Panic: from now on the log takes no lock and everything reaches the console. */
void log_panic_mode(void);
extern int log_console_level; /* records below this level (numerically) reach the console */

/*
 * The console sink. @write outputs raw bytes; in a panic it is called with everything stopped, so
 * it must work polled, without locks.
 */
void log_set_console(void (*write)(const char *s, size_t n));
