/* Reading /proc, and saying what went wrong. */
#include "vmstat.h"

#include <stdarg.h>

int status;

void complain(const char *fmt, ...)
{
    va_list ap;
    fflush(stdout);
    fputs("vmstat: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    status = 1;
}

/* Reads all of @fd, NUL-terminated; NULL with errno set. */
static char *read_all(int fd)
{
    size_t size = 16384, used = 0;
    char *text = malloc(size);
    while (text) {
        ssize_t got = read(fd, text + used, size - used - 1);
        if (got < 0) {
            free(text);
            return NULL;
        }
        used += (size_t)got;
        text[used] = '\0';
        if (got == 0)
            return text;
        if (size - used < 2) {
            char *bigger = realloc(text, size *= 2);
            if (!bigger)
                free(text);
            text = bigger;
        }
    }
    return NULL;
}

char *read_file(const char *path, bool quiet)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = fd < 0 ? NULL : read_all(fd);
    if (!text && !quiet)
        complain("%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return text;
}

uint64_t number_of(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (strncmp(line, name, len) != 0)
            continue;
        const char *p = line + len + (line[len] == ':');
        if (isspace((unsigned char)*p))
            return strtoull(p, NULL, 10);
    }
    return UNKNOWN;
}

char *read_process_file(const char *pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%s/%s", pid, name);
    return read_file(path, false);
}

char *next_line(char **text)
{
    char *line = *text, *end = strchr(line, '\n');
    if (!*line)
        return NULL;
    *text = end ? end + 1 : line + strlen(line);
    if (end)
        *end = '\0';
    return line;
}
