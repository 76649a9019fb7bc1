/*
 * vmstat -m: the memory of a process as a map. Each mapping is drawn in rows of characters, each of
 * which stands for a group of pages and shows the kind that most of its pages are of.
 *
 * What is there comes from /proc/PID/pagetable, what may be there from /proc/PID/maps: two moments,
 * so the map of a process that runs may be slightly off.
 */
#include "vmstat.h"

#define COLUMNS        64 /* characters in a row: with the address it fits 80 */
#define ROWS           4  /* most rows of one mapping */
#define NAME_MAX_SHOWN 22

/* In the order in which a draw is decided. */
enum kind {
    PRIVATE,
    COW,
    SHARED,
    DIRTY,
    FILE_PAGE,
    SUPERPAGE,
    PARKED,
    SWAPPED,
    ZERO,
    KERNEL,
    KINDS
};

static const struct {
    char letter;
    const char *text;
} kinds[KINDS] = {
    [PRIVATE] = {'P', "private"},
    [COW] = {'C', "private, but still shared with another process (copy on write)"},
    [SHARED] = {'S', "shared mapping, of memory or a file"},
    [DIRTY] = {'D', "shared mapping of a file, dirty: written through this entry"},
    [FILE_PAGE] = {'F', "file, in a private mapping"},
    [SUPERPAGE] = {'H', "part of a superpage"},
    [PARKED] = {'T', "below a parked table, shared since a fork"},
    [SWAPPED] = {'W', "swapped out"},
    [ZERO] = {'Z', "the page of zeroes"},
    [KERNEL] = {'K', "the kernel's own or a device"},
};

/* Neighbouring pages of one kind. */
struct run {
    unsigned long long start, end; /* addresses */
    unsigned char kind;            /* of an object: SHARED or DIRTY, until the mapping is known */
};

struct runs {
    struct run *run;
    size_t count, room;
};

static bool add_run(struct runs *r, const struct run *new)
{
    struct run *last = r->count ? &r->run[r->count - 1] : NULL;
    if (last && last->end == new->start && last->kind == new->kind) {
        last->end = new->end;
        return true;
    }
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 256;
        struct run *bigger = realloc(r->run, room * sizeof(*bigger));
        if (!bigger)
            return false;
        r->run = bigger;
        r->room = room;
    }
    r->run[r->count++] = *new;
    return true;
}

/* @e is no table; @table is the one it is in, parked or not. */
static enum kind kind_of(const struct entry *e, const struct entry *table)
{
    if (e->type == ENTRY_SWAP)
        return SWAPPED;
    if (strcmp(e->kind, "zero") == 0)
        return ZERO;
    bool anon = strcmp(e->kind, "anon") == 0;
    if (!anon && strcmp(e->kind, "file") != 0)
        return KERNEL;
    if (e->level > 0)
        return SUPERPAGE;
    if (table->type == ENTRY_PARKED)
        return PARKED;
    if (anon)
        return e->mapped > 1 || table->refs > 1 ? COW : PRIVATE;
    return e->flags[7] == 'D' ? DIRTY : SHARED;
}

static bool read_runs(const char *pid, struct runs *r)
{
    char *text = read_process_file(pid, "pagetable"), *at = text;
    struct entry e, table = {0};
    bool ok = text;
    for (char *line; ok && (line = next_line(&at));) {
        if (!parse_entry(line, &e))
            continue;
        if (e.type == ENTRY_TABLE || e.type == ENTRY_PARKED) {
            table = e;
            continue;
        }
        struct run new = {e.va, e.va + SPAN(e.level), (unsigned char)kind_of(&e, &table)};
        ok = add_run(r, &new);
        if (!ok)
            complain("out of memory");
    }
    free(text);
    return ok;
}

/* A line of /proc/PID/maps. */
struct mapping {
    unsigned long long start, end;
    char perms[8];
    unsigned major;
    const char *name;
};

static bool parse_mapping(const char *line, struct mapping *m)
{
    int used = 0;
    if (sscanf(line, "%llx-%llx %7s %*x %x:%*x %*u%n", &m->start, &m->end, m->perms, &m->major,
               &used) != 4 ||
        !used)
        return false;
    m->name = line + used + strspn(line + used, " ");
    if (!*m->name)
        m->name = "(anonymous)";
    return true;
}

/* A page of an object means different things in different mappings. */
static enum kind kind_in(const struct mapping *m, enum kind kind)
{
    if (kind != SHARED && kind != DIRTY)
        return kind;
    if (m->perms[3] != 's')
        return FILE_PAGE;
    return m->major ? kind : SHARED; /* what has no disk is never clean */
}

/* Pages of each kind within [start, end) of @m. @from: the first run that may matter, moved on. */
static void count_kinds(const struct runs *r, size_t *from, const struct mapping *m,
                        unsigned long long start, unsigned long long end,
                        unsigned long long pages[KINDS])
{
    memset(pages, 0, KINDS * sizeof(*pages));
    while (*from < r->count && r->run[*from].end <= start)
        ++*from;
    for (size_t i = *from; i < r->count && r->run[i].start < end; i++) {
        unsigned long long low = r->run[i].start > start ? r->run[i].start : start;
        unsigned long long high = r->run[i].end < end ? r->run[i].end : end;
        pages[kind_in(m, r->run[i].kind)] += PAGES_OF(high - low);
    }
}

/* A capital when something is in all @all pages, a small letter when in some. */
static char letter_for(const unsigned long long pages[KINDS], unsigned long long all)
{
    unsigned long long present = 0;
    unsigned best = 0;
    for (unsigned k = 0; k < KINDS; k++) {
        present += pages[k];
        if (pages[k] > pages[best])
            best = k;
    }
    if (!present)
        return '.';
    char letter = kinds[best].letter;
    return present == all ? letter : (char)tolower((unsigned char)letter);
}

/* Pages one character stands for: the least power of two with which @pages fit the rows. */
static unsigned long long scale_for(unsigned long long pages)
{
    unsigned long long scale = 1;
    while ((pages + scale - 1) / scale > COLUMNS * ROWS)
        scale *= 2;
    return scale;
}

static void draw_rows(const struct runs *r, size_t *from, const struct mapping *m,
                      unsigned long long scale)
{
    unsigned long long step = scale * SPAN(0), pages[KINDS];
    unsigned column = 0;
    for (unsigned long long va = m->start; va < m->end; va += step) {
        unsigned long long end = va + step < m->end ? va + step : m->end;
        if (column == 0)
            printf("  %10llx ", va);
        count_kinds(r, from, m, va, end, pages);
        putchar(letter_for(pages, PAGES_OF(end - va)));
        if (++column == COLUMNS || end == m->end) {
            putchar('\n');
            column = 0;
        }
    }
}

/* "12 KiB", "3 MiB": rounded down, three digits or four. */
static const char *size_text(char *buf, size_t room, unsigned long long kib)
{
    static const char *const units[] = {"KiB", "MiB", "GiB"};
    unsigned unit = 0;
    for (; kib >= 10240 && unit + 1 < ARRAY_SIZE(units); unit++)
        kib /= 1024;
    snprintf(buf, room, "%llu %s", kib, units[unit]);
    return buf;
}

static void draw_mapping(const struct runs *r, size_t *from, const struct mapping *m,
                         unsigned long long totals[KINDS])
{
    char size[32], there[32];
    unsigned long long pages[KINDS], present = 0;
    unsigned long long all = PAGES_OF(m->end - m->start), scale = scale_for(all);
    count_kinds(r, from, m, m->start, m->end, pages);
    for (unsigned k = 0; k < KINDS; k++) {
        present += pages[k];
        totals[k] += pages[k];
    }
    size_t len = strlen(m->name);
    bool cut = len > NAME_MAX_SHOWN;
    printf("%10llx-%-10llx %s %9s %9s %6llu  %s%s\n", m->start, m->end, m->perms,
           size_text(size, sizeof(size), all * PAGE_KIB),
           size_text(there, sizeof(there), present * PAGE_KIB), scale, cut ? "..." : "",
           cut ? m->name + len - (NAME_MAX_SHOWN - 3) : m->name);
    draw_rows(r, from, m, scale);
}

static void show_legend(const unsigned long long totals[KINDS])
{
    printf("\n  . nothing there; a small letter: only some pages of the group are there\n");
    for (unsigned k = 0; k < KINDS; k++)
        if (totals[k])
            printf("  %c %s: %llu page%s\n", kinds[k].letter, kinds[k].text, totals[k],
                   totals[k] == 1 ? "" : "s");
}

void show_map(const char *pid)
{
    struct runs runs = {0};
    unsigned long long totals[KINDS] = {0};
    size_t from = 0;
    struct mapping m;
    char *maps = read_process_file(pid, "maps"), *at = maps;
    if (maps && read_runs(pid, &runs)) {
        printf(
            "Memory of process %s. A character shows as many pages of 4 KiB as \"scale\" says.\n\n",
            pid);
        printf("%21s perm %9s %9s %6s  %s\n", "addresses", "size", "there", "scale", "mapping");
        for (char *line; (line = next_line(&at));)
            if (parse_mapping(line, &m))
                draw_mapping(&runs, &from, &m, totals);
        show_legend(totals);
    }
    free(runs.run);
    free(maps);
}
