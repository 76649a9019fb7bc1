/* vmstat -p: the page table as a tree. docs/pagetable.md has the format it is read from. */
#include "vmstat.h"

static unsigned index_at(unsigned long long va, unsigned level)
{
    return va >> (12 + 9 * level) & 511;
}

/* "[255][511][12]", as deep as the entry is. */
static void index_path(char *buf, size_t size, unsigned long long va, unsigned level)
{
    size_t used = 0;
    for (unsigned l = LEVELS; l-- > level && used < size;)
        used += (size_t)snprintf(buf + used, size - used, "[%u]", index_at(va, l));
}

static const char *superpage(unsigned level)
{
    return level == 0 ? "" : level == 1 ? ", 2 MiB superpage" : ", 1 GiB superpage";
}

/* What stands behind the machine's word. */
static bool parse_rest(const char *rest, struct entry *e)
{
    e->refs = e->mapped = -1;
    if (sscanf(rest, " swap slot %llu", &e->slot) == 1) {
        e->type = ENTRY_SWAP;
        return true;
    }
    if (sscanf(rest, " %15s pa %llx live %ld refs %ld", e->kind, &e->pa, &e->live, &e->refs) == 4) {
        e->type = strcmp(e->kind, "parked") == 0 ? ENTRY_PARKED : ENTRY_TABLE;
        return true;
    }
    e->type = ENTRY_PAGE;
    return sscanf(rest, " %15s pa %llx flags %15s refs %ld mapped %ld", e->kind, &e->pa, e->flags,
                  &e->refs, &e->mapped) >= 3;
}

bool parse_entry(const char *line, struct entry *e)
{
    int used = 0;
    return sscanf(line, "%u %llx %llx%n", &e->level, &e->va, &e->word, &used) == 3 &&
           e->level < LEVELS && parse_rest(line + used, e);
}

static void show_entry(const struct entry *e)
{
    char path[32];
    index_path(path, sizeof(path), e->va, e->level);
    int indent = 2 * (int)(LEVELS - e->level);
    printf("%*s%-*s %016llx  %016llx", indent, "", 22 - indent, path, e->va, e->word);
    if (e->type == ENTRY_SWAP)
        printf("  swap slot %llu\n", e->slot);
    else if (e->type != ENTRY_PAGE)
        printf("  %s at %#llx, %ld %s%s\n", e->kind, e->pa, e->live,
               e->live == 1 ? "entry" : "entries", e->refs > 1 ? ", shared" : "");
    else if (e->mapped >= 0)
        printf("  %s  %s at %#llx, %ld reference%s, mapped %ld time%s%s\n", e->flags, e->kind,
               e->pa, e->refs, e->refs == 1 ? "" : "s", e->mapped, e->mapped == 1 ? "" : "s",
               superpage(e->level));
    else
        printf("  %s  %s at %#llx%s\n", e->flags, e->kind, e->pa, superpage(e->level));
}

void show_page_table(const char *pid)
{
    unsigned long long root;
    long live;
    char *text = read_process_file(pid, "pagetable"), *at = text;
    if (!text)
        return;
    printf("\nPage table of %s\n", strcmp(pid, "self") == 0 ? "this process" : pid);
    for (char *line; (line = next_line(&at));) {
        struct entry e;
        if (sscanf(line, "root pa %llx live %ld", &root, &live) == 2)
            printf("  %-21s%-16s   %-16s  table at %#llx, %ld %s\n", "root", "virtual address",
                   "entry", root, live, live == 1 ? "entry" : "entries");
        else if (parse_entry(line, &e))
            show_entry(&e);
        else
            complain("/proc/%s/pagetable: not understood: %s", pid, line);
    }
    free(text);
}
