/*
 * Boot parameters. The command line is kept as it came; words are separated by blanks, and a part
 * in double quotes may contain blanks (the quotes are dropped from the value).
 */
#include "core/param.h"

#include "core/errno.h"
#include "core/log.h"
#include "lib/atomic.h"
#include "lib/fmt.h"
#include "lib/string.h"

#define CMDLINE_MAX 2048 /* Linux's riscv limit is 1024 */

static char cmdline[CMDLINE_MAX];

extern const struct param params_start[], params_end[];

const char *param_cmdline(void)
{
    return cmdline;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

/*
 * Copies the next word at *@s without its quotes into @word (cut to @size) and moves *@s behind it.
 * Returns its full length, -ENOENT at the end.
 */
static int next_word(const char **s, char *word, size_t size)
{
    const char *p = *s;
    bool quoted = false;
    size_t n = 0;
    while (is_blank(*p))
        p++;
    if (!*p)
        return -ENOENT;
    for (; *p && (quoted || !is_blank(*p)); p++) {
        if (*p == '"') {
            quoted = !quoted;
            continue;
        }
        if (n + 1 < size)
            word[n] = *p;
        n++;
    }
    word[MIN(n, size - 1)] = '\0';
    *s = p;
    return n;
}

const struct param *param_at(unsigned i)
{
    return i < params_end - params_start ? &params_start[i] : NULL;
}

const struct param *param_find(const char *name)
{
    for (const struct param *p = params_start; p < params_end; p++)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}

static int parse_number(const struct param *p, const char *text, int *out)
{
    bool negative = *text == '-';
    const char *end;
    u64 n;
    if (str_to_u64(text + negative, 0, &n, &end) || (*end && *end != '\n') || n > INT32_MAX)
        return -EINVAL;
    int value = negative ? -(int)n : (int)n;
    if (value < p->min || value > p->max)
        return -EINVAL;
    *out = value;
    return 0;
}

static int parse_choice(const struct param *p, const char *text, int *out)
{
    size_t length = strlen(text);
    if (length > 0 && text[length - 1] == '\n')
        length--;
    for (int i = 0; p->choices[i]; i++) {
        if (strlen(p->choices[i]) == length && strncmp(p->choices[i], text, length) == 0) {
            *out = i;
            return 0;
        }
    }
    return -EINVAL;
}

static int assign(const struct param *p, const char *text)
{
    int value;
    int r = p->choices ? parse_choice(p, text, &value) : parse_number(p, text, &value);
    if (r == 0)
        WRITE_ONCE(*p->value, value);
    return r;
}

int param_set(const struct param *p, const char *text)
{
    return p->writable ? assign(p, text) : -EPERM;
}

int param_format(const struct param *p, char *buf, size_t size)
{
    int value = READ_ONCE(*p->value);
    if (p->choices)
        return snprintf(buf, size, "%s", p->choices[value]);
    return snprintf(buf, size, "%d", value);
}

static void report_wrong(const struct param *p, const char *text)
{
    if (!p->choices) {
        log_warn("boot parameter %s=%s ignored: not a number from %d to %d", p->name, text, p->min,
                 p->max);
        return;
    }
    char words[128] = "";
    size_t n = 0;
    for (unsigned i = 0; p->choices[i] && n < sizeof(words); i++)
        n += snprintf(words + n, sizeof(words) - n, " %s", p->choices[i]);
    log_warn("boot parameter %s=%s ignored: none of%s", p->name, text, words);
}

void param_parse(const char *text)
{
    static char word[CMDLINE_MAX];
    if (str_copy(cmdline, text, sizeof(cmdline)) >= sizeof(cmdline))
        log_warn("command line cut to %zu characters", sizeof(cmdline) - 1);
    const char *s = cmdline;
    while (next_word(&s, word, sizeof(word)) >= 0) {
        char *equals = strchr(word, '=');
        if (!equals)
            continue;
        *equals = '\0';
        const struct param *p = param_find(word);
        if (p && assign(p, equals + 1))
            report_wrong(p, equals + 1);
        else if (!p && str_starts(word, "vm."))
            log_warn("boot parameter %s ignored: unknown", word);
    }
}

int param_string(const char *name, char *buf, size_t size)
{
    const char *s = cmdline, *at;
    size_t length = strlen(name);
    char word[128];
    int result = -ENOENT;
    for (;;) {
        while (is_blank(*s))
            s++;
        at = s;
        if (next_word(&s, word, sizeof(word)) < 0)
            return result;
        if (strncmp(at, name, length) != 0 ||
            (at[length] && at[length] != '=' && !is_blank(at[length])))
            continue;
        /* the last one counts; a bare word has an empty value */
        const char *value = at + length + (at[length] == '=');
        if (at[length] != '=' || !*value || is_blank(*value)) {
            if (size > 0)
                buf[0] = '\0';
            result = 0;
        } else {
            result = next_word(&value, buf, size);
        }
    }
}
