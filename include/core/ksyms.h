/*
 * The kernel's own symbol table, made from the linked kernel and linked into it in a second pass
 * (Makefile, tools/ksyms.awk). In the first pass it is empty: ksym_count is 0.
 */
#pragma once

#include "lib/types.h"

/* Start addresses of functions, ascending, as offsets from ksym_base. */
extern const u32 ksym_addrs[];
/* Number of functions. */
extern const u32 ksym_count;
/* Offset of each function's NUL-terminated name in ksym_names. */
extern const u32 ksym_name_offsets[];
extern const char ksym_names[];
/* Start and end of the kernel's text (linker script). */
extern const char kernel_text_start[], kernel_text_end[];

#define ksym_base ((vaddr_t)kernel_text_start)
