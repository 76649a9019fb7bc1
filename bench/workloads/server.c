/*
 * A forking server: one process holds a table of 16 MiB and forks for each of 100 requests. The
 * child looks things up, changes a few of its pages and exits; the parent notes each request in its
 * table. The places are the same each time.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE     4096
#define PAGES    4096
#define REQUESTS 100
#define READS    64
#define WRITES   8
#define NOTES    2

static uint32_t state = 1;

static char *any_page(char *table)
{
    state = state * 1664525 + 1013904223;
    return table + (state >> 8) % PAGES * PAGE;
}

static void serve(char *table, uint32_t request)
{
    unsigned sum = 0;
    state = request;
    for (int i = 0; i < READS; i++)
        sum += (unsigned char)*any_page(table);
    for (int i = 0; i < WRITES; i++)
        any_page(table)[1] = (char)sum;
    _exit(0);
}

int main(void)
{
    int status;
    char *table = malloc(PAGES * PAGE);
    if (!table)
        return 1;
    for (int i = 0; i < PAGES; i++)
        table[i * PAGE] = (char)i;
    for (uint32_t request = 0; request < REQUESTS; request++) {
        pid_t child = fork();
        if (child == 0)
            serve(table, request);
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            return 1;
        for (int i = 0; i < NOTES; i++)
            *any_page(table) = (char)request;
    }
    return 0;
}
