/*
 * Device numbers, in the encoding that stat(2) shows as st_rdev and mknod(2) takes: 12 bits of
 * major number, 20 bits of minor number, so no layer has to translate.
 */
#pragma once

#include "lib/types.h"

static inline u32 devno_make(u32 major, u32 minor)
{
    return (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xfff00) << 12;
}
static inline u32 devno_major(u32 dev)
{
    return dev >> 8 & 0xfff;
}
static inline u32 devno_minor(u32 dev)
{
    return (dev & 0xff) | (dev >> 12 & 0xfff00);
}

/* Majors in use: Linux's (its admin-guide/devices.txt; 240 to 254 are for local use). */
#define DEVNO_MEM     1   /* null, zero, full, random, urandom, kmsg */
#define DEVNO_TTY     4   /* ttyS0 is minor 64 */
#define DEVNO_TTYAUX  5   /* tty, console, ptmx */
#define DEVNO_VPORT   251 /* vport0 ... */
#define DEVNO_VIRTBLK 254 /* vda is minor 0, vdb minor 16, ... */
