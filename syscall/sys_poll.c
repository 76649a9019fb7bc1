/* ppoll and pselect6 over struct poll_table. */
#include <linux/poll.h>

#include "core/poll.h"
#include "lib/string.h"
#include "syscall/syscall_priv.h"

/* Events that are always reported. */
#define POLL_ALWAYS (POLLERR | POLLHUP)

/* Looks at one descriptor; registers with @table when given. */
static u32 poll_fd(int fd, u32 events, struct poll_table *table)
{
    FD_GUARD(f, fd);
    if (!f.file)
        return POLLNVAL;
    if (table)
        table->events = events | POLL_ALWAYS;
    return file_poll(f.file, table) & (events | POLL_ALWAYS);
}

static int poll_scan(struct pollfd *fds, unsigned n, struct poll_table *table)
{
    int ready = 0;
    for (unsigned i = 0; i < n; i++) {
        fds[i].revents = fds[i].fd < 0 ? 0 : poll_fd(fds[i].fd, (u16)fds[i].events, table);
        if (fds[i].revents) {
            ready++;
            table = NULL; /* the call will not sleep */
        }
    }
    return ready;
}

/* Sleeps until a descriptor is ready. Number of them, 0 at the deadline, -EINTR, -ENOMEM. */
static int poll_loop(struct pollfd *fds, unsigned n, u64 deadline)
{
    struct poll_table table;
    poll_table_init(&table, NULL);
    int r = poll_scan(fds, n, deadline == 0 ? NULL : &table);
    while (r == 0 && deadline != 0) {
        r = table.error ? table.error : poll_table_sleep(&table, deadline);
        if (r == -ETIMEDOUT)
            deadline = 0;
        else if (r < 0)
            break;
        r = poll_scan(fds, n, NULL);
    }
    poll_table_fini(&table);
    return r;
}

/* With a relative timeout of zero nothing sleeps: deadline 0. */
static int poll_deadline(uvaddr_t timeout, u64 *deadline)
{
    u64 ns;
    *deadline = TIME_NEVER;
    if (!timeout)
        return 0;
    int r = timespec_get(timeout, &ns);
    if (r == 0)
        *deadline = ns ? time_ns() + ns : 0;
    return r;
}

/* Writes what is left of the time back, as Linux does; a fault there is no error. */
static void put_remaining(uvaddr_t timeout, u64 deadline)
{
    if (!timeout)
        return;
    u64 now = time_ns();
    timespec_put(timeout, deadline > now && deadline != 0 ? deadline - now : 0);
}

static long do_ppoll(uvaddr_t addr, unsigned n, uvaddr_t timeout, u64 deadline)
{
    if (n > rlimit_current(RLIMIT_NOFILE))
        return -EINVAL;
    struct pollfd small[8], *fds = small;
    if (n > ARRAY_SIZE(small) && !(fds = kmalloc(n * sizeof(*fds), 0)))
        return -ENOMEM;
    long r = copy_from_user(fds, addr, n * sizeof(*fds));
    if (r == 0)
        r = poll_loop(fds, n, deadline);
    if (r >= 0 && copy_to_user(addr, fds, n * sizeof(*fds)) < 0)
        r = -EFAULT;
    if (fds != small)
        kfree(fds);
    put_remaining(timeout, deadline);
    return r == -EINTR ? -ERESTARTNOHAND : r;
}

long sys_ppoll(uvaddr_t fds, unsigned n, uvaddr_t timeout, uvaddr_t mask, u64 mask_size)
{
    u64 deadline, set;
    long r = poll_deadline(timeout, &deadline);
    if (r == 0 && mask)
        r = sigset_get(mask, mask_size, &set);
    if (r < 0)
        return r;
    if (mask)
        signal_mask_temporary(set);
    r = do_ppoll(fds, n, timeout, deadline);
    if (mask)
        signal_mask_temporary_end(r == -ERESTARTNOHAND);
    return r;
}

/* ---- select ---- */

#define SELECT_IN  (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR)
#define SELECT_OUT (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR)
#define SELECT_EX  POLLPRI

/* The three bit sets of select, in and out, each of @words 64-bit words. */
struct select_sets {
    unsigned words;
    u64 *bits; /* in, out, except, then the three results */
};

static bool set_has(const struct select_sets *s, unsigned set, unsigned fd)
{
    return s->bits[set * s->words + fd / 64] >> (fd % 64) & 1;
}

/* One pollfd for each descriptor in any set. Returns how many, or -EBADF. */
static int select_collect(const struct select_sets *s, unsigned n, struct pollfd *fds)
{
    int count = 0;
    for (unsigned fd = 0; fd < n; fd++) {
        u32 events = (set_has(s, 0, fd) ? SELECT_IN : 0) | (set_has(s, 1, fd) ? SELECT_OUT : 0) |
                     (set_has(s, 2, fd) ? SELECT_EX : 0);
        if (!events)
            continue;
        FD_GUARD(f, fd);
        if (!f.file)
            return -EBADF;
        if (fds)
            fds[count] = (struct pollfd){.fd = fd, .events = events};
        count++;
    }
    return count;
}

/* Turns poll results into result sets. Returns the number of bits set. */
static int select_results(struct select_sets *s, const struct pollfd *fds, int count)
{
    static const u32 meaning[3] = {SELECT_IN, SELECT_OUT, SELECT_EX};
    int bits = 0;
    for (int i = 0; i < count; i++)
        for (unsigned set = 0; set < 3; set++)
            if (set_has(s, set, fds[i].fd) && (fds[i].revents & meaning[set])) {
                s->bits[(3 + set) * s->words + fds[i].fd / 64] |= 1UL << (fds[i].fd % 64);
                bits++;
            }
    return bits;
}

static long select_run(struct select_sets *s, unsigned n, const uvaddr_t addr[3], u64 deadline)
{
    for (unsigned i = 0; i < 3; i++)
        if (addr[i] && copy_from_user(s->bits + i * s->words, addr[i], s->words * 8) < 0)
            return -EFAULT;
    int count = select_collect(s, n, NULL);
    if (count < 0)
        return count;
    struct pollfd *fds = kmalloc(MAX(count, 1) * sizeof(*fds), 0);
    if (!fds)
        return -ENOMEM;
    long r = select_collect(s, n, fds);
    if (r >= 0)
        r = poll_loop(fds, count, deadline);
    if (r >= 0)
        r = select_results(s, fds, count);
    kfree(fds);
    for (unsigned i = 0; r >= 0 && i < 3; i++)
        if (addr[i] && copy_to_user(addr[i], s->bits + (3 + i) * s->words, s->words * 8) < 0)
            return -EFAULT;
    return r;
}

long sys_pselect6(int n, uvaddr_t in, uvaddr_t out, uvaddr_t except, uvaddr_t timeout,
                  uvaddr_t mask)
{
    /* The last argument points at a pair: mask address, mask size. */
    u64 pair[2] = {0, 0}, deadline, set;
    if (n < 0)
        return -EINVAL;
    n = MIN(n, (int)MAX(fdtable_current()->capacity, 64u));
    if (mask && copy_from_user(pair, mask, sizeof(pair)) < 0)
        return -EFAULT;
    long r = poll_deadline(timeout, &deadline);
    if (r == 0 && pair[0])
        r = sigset_get(pair[0], pair[1], &set);
    if (r < 0)
        return r;
    struct select_sets s = {.words = DIV_UP(n, 64)};
    s.bits = kzalloc(MAX(6 * s.words, 1u) * sizeof(u64), 0);
    if (!s.bits)
        return -ENOMEM;
    if (pair[0])
        signal_mask_temporary(set);
    r = select_run(&s, n, (uvaddr_t[3]){in, out, except}, deadline);
    kfree(s.bits);
    put_remaining(timeout, deadline);
    if (r == -EINTR)
        r = -ERESTARTNOHAND;
    if (pair[0])
        signal_mask_temporary_end(r == -ERESTARTNOHAND);
    return r;
}
