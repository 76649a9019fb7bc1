/* Basic types and compiler helpers. Included by everything; includes only freestanding headers. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#ifndef QUIRE_HOST
typedef long ssize_t;
typedef s64 loff_t;
#else
#include <sys/types.h>
#endif

typedef u64 paddr_t;  /* physical address */
typedef u64 vaddr_t;  /* kernel virtual address as a number */
typedef u64 uvaddr_t; /* user virtual address: never dereferenced by the kernel */

/* A physical frame number; a one-field struct, which the compiler keeps apart from addresses. */
typedef struct {
    u64 n;
} pfn_t;

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096UL
#define PAGE_MASK  (~(PAGE_SIZE - 1))
#define MAX_CPUS   8

#define ARRAY_SIZE(a)                 (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                     ((a) < (b) ? (a) : (b))
#define MAX(a, b)                     ((a) > (b) ? (a) : (b))
#define ALIGN_UP(x, a)                (((x) + ((a)-1)) & ~((typeof(x))(a)-1))
#define ALIGN_DOWN(x, a)              ((x) & ~((typeof(x))(a)-1))
#define IS_ALIGNED(x, a)              (((x) & ((typeof(x))(a)-1)) == 0)
#define PAGE_UP(x)                    ALIGN_UP((x), PAGE_SIZE)
#define PAGE_DOWN(x)                  ALIGN_DOWN((x), PAGE_SIZE)
#define DIV_UP(n, d)                  (((n) + (d)-1) / (d))
#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))
#define likely(x)                     __builtin_expect(!!(x), 1)
#define unlikely(x)                   __builtin_expect(!!(x), 0)

#define __packed       __attribute__((packed))
#define __aligned(n)   __attribute__((aligned(n)))
#define __section(s)   __attribute__((section(s)))
#define __used         __attribute__((used))
#define __unused       __attribute__((unused))
#define __noreturn     __attribute__((noreturn))
#define __must_check   __attribute__((warn_unused_result))
#define __printf(f, a) __attribute__((format(printf, f, a)))
#define __cleanup(fn)  __attribute__((cleanup(fn)))
#undef __always_inline /* the host's C library has its own */
#define __always_inline inline __attribute__((always_inline))
#define __cacheline     __aligned(64)

#define CONCAT_(a, b) a##b
#define CONCAT(a, b)  CONCAT_(a, b)
