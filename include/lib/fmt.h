/*
 * printf-style formatting: %d %i %u %x %X %o %c %s %p %%, flags - 0 + space #, width and precision
 * (also *), length h hh l ll z j t. No floating point.
 */
#pragma once

#include "lib/types.h"

/* Receives @n bytes of output. */
typedef void (*fmt_sink)(void *arg, const char *s, size_t n);

/* Formats into @sink. Returns the number of bytes produced. */
int fmt_vformat(fmt_sink sink, void *arg, const char *fmt, va_list ap);

#ifdef QUIRE_HOST
#include <stdio.h>
#else
/* As in C: always terminates when @size > 0, returns the length the full text has. */
int snprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap);
#endif
