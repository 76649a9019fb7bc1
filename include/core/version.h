/*
 * What uname(2) tells: the system's fixed names, and the two that can be set.
 *
 * The release begins with a Linux version: C libraries refuse to run on a kernel older than the one
 * they were built for. It names the interface, not the code.
 */
#pragma once

#include "lib/types.h"

#define VERSION_NAME_MAX 64 /* longest host or domain name, without the NUL: __NEW_UTS_LEN */

const char *version_sysname(void); /* "Linux" */
const char *version_release(void); /* "6.12.0-quire" */
/* Flavour and compiler of this build: "#1 SMP PREEMPT release (12.2.0)". */
const char *version_string(void);
/* The line of /proc/version, without a newline. */
const char *version_banner(void);

/*
 * Copies the name into @buf, NUL-terminated, cut to @size - 1 bytes. Returns the length of the
 * whole name. => Any context but interrupt handlers.
 */
int hostname_get(char *buf, size_t size);
int domainname_get(char *buf, size_t size);
/* Sets the name to the @len bytes at @name (kernel memory). 0, -EINVAL (longer than
 * VERSION_NAME_MAX). Who may do so is the caller's business. */
int hostname_set(const char *name, size_t len);
int domainname_set(const char *name, size_t len);
