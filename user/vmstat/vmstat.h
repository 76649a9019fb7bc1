/* What the parts of vmstat share. */
#pragma once

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEVELS         3 /* of a Sv39 page table */
#define PAGE_KIB       4
#define UNKNOWN        UINT64_MAX
#define ARRAY_SIZE(a)  (sizeof(a) / sizeof((a)[0]))
#define SPAN(level)    (1ULL << (12 + 9 * (level)))
#define PAGES_OF(span) ((span) >> 12)

/* ---- proc.c ---- */

extern int status; /* of the program */

/* A message; the program's status becomes 1. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The contents of @path (caller frees); NULL, reported unless @quiet. */
char *read_file(const char *path, bool quiet);
/* The same of /proc/@pid/@name. */
char *read_process_file(const char *pid, const char *name);
/* The number behind @name and an optional colon at the start of a line of @text; else UNKNOWN. */
uint64_t number_of(const char *text, const char *name);
/* Cuts the first line off *@text; NULL at the end. */
char *next_line(char **text);

/* ---- snapshot.c ---- */

struct row {
    const char *label, *name;
};
/* Counters of /proc/vmstat worth showing. */
extern const struct row counter_rows[];
extern const unsigned counter_row_count;
void show_snapshot(void);

/* ---- pagetable.c ---- */

enum entry_type { ENTRY_TABLE, ENTRY_PARKED, ENTRY_PAGE, ENTRY_SWAP };

/* A line of /proc/PID/pagetable. */
struct entry {
    enum entry_type type;
    unsigned level;
    unsigned long long va, word;
    char kind[16]; /* of page */
    char flags[16];
    unsigned long long pa, slot;
    long live;   /* TABLE, PARKED: entries that are not empty */
    long refs;   /* not SWAP */
    long mapped; /* PAGE; -1: not told */
};
/* False: not understood. */
bool parse_entry(const char *line, struct entry *e);
void show_page_table(const char *pid);

/* ---- map.c, cost.c, rates.c ---- */

void show_map(const char *pid);
/* Runs the command; its exit status, or 128 + the signal that ended it. */
int show_cost(char **command);
void show_rates(unsigned long delay, unsigned long count);
