/*
 * Formatted output into a sink. A conversion is parsed into a struct spec, rendered into a small
 * buffer from its end (64 bits in octal are 22 digits), and emitted as
 *
 *     [blanks] [sign or prefix] [zeroes] digits [blanks]
 *
 * Unknown conversions are copied out as they stand, so that a mistake shows.
 */
#include "lib/fmt.h"

#include "lib/string.h"

#define DIGITS_MAX 22
#define NUMBER_MAX 999999999 /* widths and precisions saturate about here */

struct spec {
    bool left, plus, space, alt, zero, upper;
    char length; /* 0, 'h', 'H' (hh), 'l' (also ll, z, j, t: all 64 bits) */
    int width;
    int precision; /* -1: none */
};

struct output {
    fmt_sink sink;
    void *arg;
    size_t total;
};

static void emit(struct output *out, const char *s, size_t n)
{
    if (n) {
        out->sink(out->arg, s, n);
        out->total += n;
    }
}

static void emit_fill(struct output *out, char c, long n)
{
    char block[16];

    if (n <= 0)
        return;
    memset(block, c, sizeof(block));
    for (; n > (long)sizeof(block); n -= sizeof(block))
        emit(out, block, sizeof(block));
    emit(out, block, n);
}

/* A text of @n bytes, padded with blanks. */
static void emit_padded(struct output *out, const struct spec *spec, const char *s, size_t n)
{
    long pad = spec->width - (long)n;

    if (!spec->left)
        emit_fill(out, ' ', pad);
    emit(out, s, n);
    if (spec->left)
        emit_fill(out, ' ', pad);
}

/* @prefix: sign or base. */
static void emit_number(struct output *out, const struct spec *spec, u64 v, unsigned base,
                        const char *prefix)
{
    const char *digits = spec->upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char buf[DIGITS_MAX];
    char *p = buf + sizeof(buf);

    /* Separate loops: a division by a constant is cheaper than one by a variable. */
    if (base == 10) {
        for (; v; v /= 10)
            *--p = '0' + v % 10;
    } else {
        unsigned shift = base == 16 ? 4 : 3;
        for (; v; v >>= shift)
            *--p = digits[v & (base - 1)];
    }

    long len = buf + sizeof(buf) - p, prefix_len = strlen(prefix);
    long zeroes = MAX(0, (spec->precision < 0 ? 1 : spec->precision) - len);
    if (base == 8 && spec->alt && zeroes == 0 && (len == 0 || *p != '0'))
        zeroes = 1;
    long pad = spec->width - (prefix_len + zeroes + len);
    if (spec->zero && !spec->left && spec->precision < 0 && pad > 0) {
        zeroes += pad;
        pad = 0;
    }
    if (!spec->left)
        emit_fill(out, ' ', pad);
    emit(out, prefix, prefix_len);
    emit_fill(out, '0', zeroes);
    emit(out, p, len);
    if (spec->left)
        emit_fill(out, ' ', pad);
}

/* Decimal number at @s, saturated; stands behind it afterwards. */
static int parse_int(const char **s)
{
    int n = 0;

    for (; **s >= '0' && **s <= '9'; (*s)++)
        n = n > NUMBER_MAX / 10 - 1 ? n : n * 10 + (**s - '0');
    return n;
}

static const char *parse_flags(const char *s, struct spec *spec)
{
    for (;; s++) {
        switch (*s) {
        case '-':
            spec->left = true;
            break;
        case '+':
            spec->plus = true;
            break;
        case ' ':
            spec->space = true;
            break;
        case '#':
            spec->alt = true;
            break;
        case '0':
            spec->zero = true;
            break;
        default:
            return s;
        }
    }
}

static const char *parse_length(const char *s, struct spec *spec)
{
    switch (*s) {
    case 'h':
        spec->length = s[1] == 'h' ? 'H' : 'h';
        return s + (s[1] == 'h' ? 2 : 1);
    case 'l':
        spec->length = 'l';
        return s + (s[1] == 'l' ? 2 : 1);
    case 'z':
    case 'j':
    case 't':
        spec->length = 'l';
        return s + 1;
    default:
        return s;
    }
}

static s64 signed_arg(const struct spec *spec, va_list *ap)
{
    if (spec->length == 'l')
        return va_arg(*ap, s64);
    int v = va_arg(*ap, int);
    if (spec->length == 'H')
        return (signed char)v;
    return spec->length == 'h' ? (short)v : v;
}

static u64 unsigned_arg(const struct spec *spec, va_list *ap)
{
    if (spec->length == 'l')
        return va_arg(*ap, u64);
    unsigned v = va_arg(*ap, unsigned);
    if (spec->length == 'H')
        return (u8)v;
    return spec->length == 'h' ? (u16)v : v;
}

static void format_signed(struct output *out, const struct spec *spec, s64 v)
{
    const char *sign = v < 0 ? "-" : spec->plus ? "+" : spec->space ? " " : "";

    emit_number(out, spec, v < 0 ? -(u64)v : (u64)v, 10, sign);
}

static void format_string(struct output *out, const struct spec *spec, const char *s)
{
    if (!s)
        s = "(null)";
    emit_padded(out, spec, s, spec->precision < 0 ? strlen(s) : strnlen(s, spec->precision));
}

/* Carries out the conversion @c. Returns false when there is none of that name. */
static bool convert(struct output *out, struct spec *spec, char c, va_list *ap)
{
    u64 v;
    char byte;

    switch (c) {
    case 'd':
    case 'i':
        format_signed(out, spec, signed_arg(spec, ap));
        return true;
    case 'u':
        emit_number(out, spec, unsigned_arg(spec, ap), 10, "");
        return true;
    case 'o':
        emit_number(out, spec, unsigned_arg(spec, ap), 8, "");
        return true;
    case 'X':
        spec->upper = true;
        v = unsigned_arg(spec, ap);
        emit_number(out, spec, v, 16, spec->alt && v ? "0X" : "");
        return true;
    case 'x':
        v = unsigned_arg(spec, ap);
        emit_number(out, spec, v, 16, spec->alt && v ? "0x" : "");
        return true;
    case 'p':
        emit_number(out, spec, (uintptr_t)va_arg(*ap, void *), 16, "0x");
        return true;
    case 'c':
        byte = va_arg(*ap, int);
        emit_padded(out, spec, &byte, 1);
        return true;
    case 's':
        format_string(out, spec, va_arg(*ap, const char *));
        return true;
    case '%':
        emit(out, "%", 1);
        return true;
    default:
        return false;
    }
}

/* Flags, width, precision and length of the conversion at @s; returns where its letter is. */
static const char *parse_spec(const char *s, struct spec *spec, va_list *ap)
{
    s = parse_flags(s, spec);
    if (*s == '*') {
        spec->width = va_arg(*ap, int);
        if (spec->width < 0) {
            spec->left = true;
            spec->width = spec->width < -NUMBER_MAX ? NUMBER_MAX : -spec->width;
        }
        s++;
    } else {
        spec->width = parse_int(&s);
    }
    if (*s == '.') {
        s++;
        if (*s == '*') {
            spec->precision = va_arg(*ap, int);
            s++;
        } else {
            spec->precision = parse_int(&s);
        }
    }
    return parse_length(s, spec);
}

int fmt_vformat(fmt_sink sink, void *arg, const char *fmt, va_list args)
{
    struct output out = {sink, arg, 0};
    va_list ap;

    va_copy(ap, args); /* a va_list parameter may be an array: its address needs a local one */
    while (*fmt) {
        const char *start = fmt;
        while (*fmt && *fmt != '%')
            fmt++;
        emit(&out, start, fmt - start);
        if (!*fmt)
            break;

        struct spec spec = {.precision = -1};
        start = fmt;
        fmt = parse_spec(fmt + 1, &spec, &ap);
        if (!convert(&out, &spec, *fmt, &ap))
            emit(&out, start, fmt - start + (*fmt != '\0'));
        if (*fmt)
            fmt++;
    }
    va_end(ap);
    return out.total;
}

struct buffer {
    char *p;
    size_t left; /* bytes that still fit, the NUL not counted */
};

static void buffer_sink(void *arg, const char *s, size_t n)
{
    struct buffer *b = arg;

    n = MIN(n, b->left);
    if (n == 0)
        return; /* perhaps there is no buffer at all */
    memcpy(b->p, s, n);
    b->p += n;
    b->left -= n;
}

int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
    struct buffer b = {buf, size ? size - 1 : 0};
    int n = fmt_vformat(buffer_sink, &b, fmt, ap);

    if (size)
        *b.p = '\0';
    return n;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(buf, size, fmt, ap);
    va_end(ap);
    return n;
}
