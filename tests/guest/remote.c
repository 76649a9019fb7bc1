/* process_vm_readv and process_vm_writev: another process's memory. */
#include "check.h"

#include <sys/uio.h>

/* A child that waits, with the parent's memory as of now. */
static pid_t waiter(void)
{
    pid_t child = FORK();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return child;
}

static void end(pid_t child)
{
    OK(kill(child, SIGKILL));
    JOIN_KILLED(child, SIGKILL);
}

static void there_and_back(void)
{
    char *m = ANON(10 * PAGE);
    for (size_t i = 0; i < 10 * PAGE; i++)
        m[i] = pattern(i);
    pid_t child = waiter();
    memset(m, 0, 10 * PAGE);
    char *a = ANON(6 * PAGE), *b = ANON(6 * PAGE);
    struct iovec local[] = {{a + 10, 5 * PAGE}, {NULL, 0}, {b, 3 * PAGE}};
    struct iovec remote[] = {{m + 100, 7}, {m + 2 * PAGE - 3, 8 * PAGE - 7 - 20}};
    size_t all = 8 * PAGE - 20;
    EQ(process_vm_readv(child, local, 3, remote, 2, 0), all);
    for (size_t i = 0; i < all; i++) {
        size_t from = i < 7 ? 100 + i : 2 * PAGE - 3 + i - 7;
        EQ(i < 5 * PAGE ? a[10 + i] : b[i - 5 * PAGE], pattern(from));
    }
    EQ(a[9], 0);
    EQ(m[100], 0);
    /* Writing breaks the copy on write there, here nothing changes. */
    memset(a, 'w', PAGE);
    struct iovec one = {a, 100}, there = {m + PAGE - 50, 100};
    EQ(process_vm_writev(child, &one, 1, &there, 1, 0), 100);
    EQ(m[PAGE - 50], 0);
    one.iov_base = b;
    EQ(process_vm_readv(child, &one, 1, &there, 1, 0), 100);
    EQ(memcmp(a, b, 100), 0);
    end(child);
}

/* The shorter side decides. */
static void lengths(void)
{
    char *m = ANON(PAGE), buf[100];
    pid_t child = waiter();
    struct iovec local = {buf, 10}, remote = {m, 100};
    EQ(process_vm_readv(child, &local, 1, &remote, 1, 0), 10);
    local.iov_len = 100;
    remote.iov_len = 20;
    EQ(process_vm_readv(child, &local, 1, &remote, 1, 0), 20);
    remote.iov_len = 0;
    EQ(process_vm_readv(child, &local, 1, &remote, 1, 0), 0);
    EQ(process_vm_readv(child, &local, 0, &remote, 1, 0), 0);
    EQ(process_vm_readv(child, &local, 1, &remote, 0, 0), 0);
    end(child);
}

/* Up to what is not there; protections hold. */
static void partial(void)
{
    char *m = ANON(6 * PAGE), *buf = ANON(6 * PAGE);
    memset(m, 'm', 6 * PAGE);
    OK(munmap(m + 3 * PAGE, PAGE));
    OK(mprotect(m + PAGE, PAGE, PROT_READ));
    pid_t child = waiter();
    struct iovec local = {buf, 6 * PAGE};
    struct iovec two[] = {{m, 2 * PAGE}, {m + 3 * PAGE, PAGE}};
    EQ(process_vm_readv(child, &local, 1, two, 2, 0), 2 * (int)PAGE);
    EQ(buf[2 * PAGE - 1], 'm');
    EQ(buf[2 * PAGE], 0);
    FAILS(process_vm_readv(child, &local, 1, two + 1, 1, 0), EFAULT);
    two[0] = (struct iovec){m + PAGE, PAGE};
    FAILS(process_vm_writev(child, &local, 1, two, 1, 0), EFAULT);
    two[0] = (struct iovec){m, PAGE};
    two[1] = (struct iovec){m + PAGE, PAGE};
    EQ(process_vm_writev(child, &local, 1, two, 2, 0), (int)PAGE);
    /* On this side too. */
    struct iovec bad = {m + 3 * PAGE, 10};
    FAILS(process_vm_readv(child, &bad, 1, two, 1, 0), EFAULT);
    end(child);
}

static void errors(void)
{
    char buf[10];
    struct iovec v = {buf, 10}, wrong = {buf, (size_t)-1};
    static struct iovec many[1025];
    FAILS(process_vm_readv(getpid(), &v, 1, &v, 1, 1), EINVAL);
    FAILS(process_vm_readv(getpid(), &wrong, 1, &v, 1, 0), EINVAL);
    FAILS(process_vm_readv(getpid(), many, 1025, &v, 1, 0), EINVAL);
    FAILS(process_vm_readv(getpid(), &v, 1, many, 1025, 0), EINVAL);
    FAILS(process_vm_readv(getpid(), &v, 1, (struct iovec *)8, 1, 0), EFAULT);
    FAILS(process_vm_readv(4000000, &v, 1, &v, 1, 0), ESRCH);
    EQ(process_vm_readv(getpid(), &v, 1, &v, 1, 0), 10);
    pid_t child = FORK();
    if (child == 0)
        _exit(0);
    siginfo_t info;
    OK(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    FAILS(process_vm_readv(child, &v, 1, &v, 1, 0), ESRCH); /* a zombie has no memory */
    JOIN(child);
}

static void permission(void)
{
    if (geteuid() != 0)
        SKIP("needs root");
    char *m = ANON(PAGE), buf[10];
    struct iovec local = {buf, 10}, remote = {m, 10};
    pid_t root = waiter(), other = FORK();
    if (other == 0) {
        OK(setgid(54321));
        OK(setuid(54321));
        FAILS(process_vm_readv(root, &local, 1, &remote, 1, 0), EPERM);
        FAILS(process_vm_writev(root, &local, 1, &remote, 1, 0), EPERM);
        FAILS(process_vm_readv(1, &local, 1, &remote, 1, 0), EPERM);
        /* Of the same user, but not to be looked into after its change of identity. */
        pid_t mine = waiter();
        FAILS(process_vm_readv(mine, &local, 1, &remote, 1, 0), EPERM);
        end(mine);
        OK(prctl(PR_SET_DUMPABLE, 1));
        mine = waiter();
        EQ(process_vm_readv(mine, &local, 1, &remote, 1, 0), 10);
        end(mine);
        _exit(0);
    }
    JOIN(other);
    end(root);
}

static const struct test tests[] = {
    TEST(there_and_back), TEST(lengths), TEST(partial), TEST(errors), TEST(permission),
};
MAIN(tests)
