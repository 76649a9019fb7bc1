/*
 * Included in front of lib/string.c and lib/fmt.c: gives the kernel's functions names of their own,
 * so that they stand beside the C library's and tests can compare the two.
 */
#pragma once

#define memcpy    quire_memcpy
#define memmove   quire_memmove
#define memset    quire_memset
#define memcmp    quire_memcmp
#define memchr    quire_memchr
#define strlen    quire_strlen
#define strnlen   quire_strnlen
#define strcmp    quire_strcmp
#define strncmp   quire_strncmp
#define strchr    quire_strchr
#define strrchr   quire_strrchr
#define strstr    quire_strstr
#define snprintf  quire_snprintf
#define vsnprintf quire_vsnprintf
