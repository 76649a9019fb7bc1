/*
 * Boot parameters: "name=value" words of the kernel command line. Those named vm.* are files under
 * /proc/sys/vm too. A wrong value is reported on the console and ignored.
 */
#pragma once

#include "lib/types.h"

struct param {
    const char *name;           /* "vm.lazy" */
    const char *const *choices; /* NULL-terminated words; the value is the index. NULL: a number */
    int *value;
    int min, max;     /* numbers */
    bool writable;    /* after boot */
    const char *help; /* one line */
};

#define PARAM_NUMBER(var, text, lo, hi, rw, doc)                       \
    static const struct param CONCAT(param_, var) __section(".params") \
        __used = {.name = text, .value = &var, .min = lo, .max = hi, .writable = rw, .help = doc}
#define PARAM_CHOICE(var, text, words, rw, doc)                        \
    static const struct param CONCAT(param_, var) __section(".params") \
        __used = {.name = text, .choices = words, .value = &var, .writable = rw, .help = doc}

void param_parse(const char *cmdline);
/* Value of an unregistered word such as "root=" or "init="; returns its length, -ENOENT. */
int param_string(const char *name, char *buf, size_t size);
const char *param_cmdline(void);
const struct param *param_find(const char *name);
const struct param *param_at(unsigned i);                        /* NULL behind the last */
int param_set(const struct param *p, const char *text);          /* 0, -EINVAL, -EPERM */
int param_format(const struct param *p, char *buf, size_t size); /* length of the text */
