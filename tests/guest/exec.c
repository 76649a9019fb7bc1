/* execve: what a new program gets, what it keeps, and all the ways to be refused. */
#include "check.h"

#include <spawn.h>
#include <sys/sendfile.h>

static char self[PATH_MAX]; /* this program, to be run again */

/* ---- The programs that the tests run: this one with "@role" and arguments ---- */

static int role_show(int argc, char **argv, char **envp)
{
    for (int i = 0; i < argc; i++)
        dprintf(1, "%s|", argv[i]);
    for (int i = 0; envp[i]; i++)
        dprintf(1, "%s;", envp[i]);
    return 0;
}

/* @lengths COUNT LENGTH ARG...: as many more arguments, each of this length and all 'x' */
static int role_lengths(int argc, char **argv, char **envp UNUSED)
{
    EQ(argc - 4, atol(argv[2]));
    for (int i = 4; i < argc; i++) {
        EQ(strlen(argv[i]), atol(argv[3]));
        EQ(strspn(argv[i], "x"), atol(argv[3]));
    }
    return 0;
}

/* @kept PID: descriptors, signals and process attributes after exec, as kept() prepares them */
static int role_kept(int argc UNUSED, char **argv, char **envp UNUSED)
{
    struct sigaction action;
    struct itimerval timer;
    stack_t stack;
    sigset_t set;
    char name[17] = "";
    EQ(getpid(), atol(argv[2]));
    EQ(syscall(SYS_gettid), getpid());
    FAILS(fcntl(50, F_GETFD), EBADF);
    EQ(fcntl(51, F_GETFD), 0);
    EQ(lseek(51, 0, SEEK_CUR), 5);
    OK(sigaction(SIGUSR1, NULL, &action));
    CHECK(action.sa_handler == SIG_IGN);
    OK(sigaction(SIGUSR2, NULL, &action));
    CHECK(action.sa_handler == SIG_DFL); /* was a handler */
    OK(sigprocmask(SIG_BLOCK, NULL, &set));
    EQ(sigismember(&set, SIGHUP), 1);
    OK(sigpending(&set));
    EQ(sigismember(&set, SIGHUP), 1);
    OK(sigaltstack(NULL, &stack));
    EQ(stack.ss_flags, SS_DISABLE);
    OK(getitimer(ITIMER_REAL, &timer));
    CHECK(timer.it_value.tv_sec > 0);
    EQ(umask(0), 031);
    OK(prctl(PR_GET_NAME, name));
    CHECK(strcmp(name, "program") == 0);
    EQ(access("here", F_OK), 0);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv, char **envp);
} roles[] = {
    {"@show", role_show},
    {"@show  two words", role_show},
    {"@lengths", role_lengths},
    {"@kept", role_kept},
};

/* ---- Helpers ---- */

static void copy_self(const char *name, mode_t mode)
{
    int from = OK(open(self, O_RDONLY)), to = OK(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700));
    while (OK(sendfile(to, from, NULL, MIB)) > 0)
        ;
    OK(fchmod(to, mode));
    close(from);
    close(to);
}

static void write_file(const char *name, mode_t mode, const char *text, size_t n)
{
    int fd = OK(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    EQ(write(fd, text, n), n);
    OK(fchmod(fd, mode));
    close(fd);
}

static void script(const char *name, const char *interpreter, const char *rest)
{
    char text[PATH_MAX + 300];
    int n = snprintf(text, sizeof(text), "#!%s%s", interpreter, rest);
    write_file(name, 0755, text, n);
}

static void __attribute__((noreturn)) become(const char *path, char **argv, char **envp)
{
    execve(path, argv, envp);
    FAIL("execve %s: %m", path);
}

/* What the program writes to its standard output. */
static const char *output_of(const char *path, char **argv, char **envp)
{
    static char text[16384];
    int fd[2];
    OK(pipe(fd));
    pid_t child = FORK();
    if (child == 0) {
        dup2(fd[1], 1);
        become(path, argv, envp);
    }
    close(fd[1]);
    size_t n = 0;
    ssize_t got;
    while ((got = OK(read(fd[0], text + n, sizeof(text) - 1 - n))) > 0)
        n += got;
    text[n] = 0;
    close(fd[0]);
    JOIN(child);
    return text;
}

#define ARGS(...) ((char *[]){__VA_ARGS__, NULL})
#define SAME(a, b)                                   \
    do {                                             \
        const char *a_ = (a), *b_ = (b);             \
        if (strcmp(a_, b_) != 0)                     \
            FAIL("\"%s\", expected \"%s\"", a_, b_); \
    } while (0)
#define NO_ENV ((char *[]){NULL})

/* ---- Tests ---- */

static void arguments_and_environment(void)
{
    SAME(output_of(self, ARGS("zero", "@show", "", "a b", "c"), ARGS("A=1", "", "B=x y")),
         "zero|@show||a b|c|A=1;;B=x y;");
    SAME(output_of(self, ARGS("", "@show"), NO_ENV), "|@show|");
}

/* @count arguments of @length characters. The child's exit or, negative, execve's errno. */
static int with_arguments(int count, long length)
{
    char number[2][24], *text = malloc(length + 1), **argv = calloc(count + 5, sizeof(*argv));
    memset(text, 'x', length);
    text[length] = 0;
    sprintf(number[0], "%d", count);
    sprintf(number[1], "%ld", length);
    char *head[] = {"program", "@lengths", number[0], number[1]};
    memcpy(argv, head, sizeof(head));
    for (int i = 0; i < count; i++)
        argv[4 + i] = text;
    int *error = (int *)MAP(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), status;
    pid_t child = FORK();
    if (child == 0) {
        execve(self, argv, NO_ENV);
        *error = errno;
        _exit(99);
    }
    EQ(waitpid(child, &status, 0), child);
    free(text);
    free(argv);
    return *error ? -*error : status;
}

static void large_arguments(void)
{
    EQ(with_arguments(1, 131071), 0); /* with its end exactly 128 KiB */
    EQ(with_arguments(1, 131072), -E2BIG);
    EQ(with_arguments(8, 131000), 0);
    EQ(with_arguments(20000, 1), 0);
    EQ(with_arguments(18, 131000), -E2BIG); /* beyond a quarter of the stack's limit */
    EQ(with_arguments(300000, 0), -E2BIG);  /* the pointers count as well */
}

static void refused(void)
{
    char *args[] = {"x", NULL};
    FAILS(execve("missing", args, NO_ENV), ENOENT);
    FAILS(execve("", args, NO_ENV), ENOENT);
    FAILS(execve(".", args, NO_ENV), EACCES);
    FAILS(execve("/dev/null", args, NO_ENV), EACCES);
    copy_self("plain", 0644);
    FAILS(execve("plain", args, NO_ENV), EACCES); /* for root too */
    FAILS(execve("plain/x", args, NO_ENV), ENOTDIR);
    OK(symlink("loop", "loop"));
    FAILS(execve("loop", args, NO_ENV), ELOOP);
    FAILS(syscall(SYS_execve, 8, args, NO_ENV), EFAULT);
    FAILS(syscall(SYS_execve, self, 8, NO_ENV), EFAULT);
    FAILS(execve(self, (char *[]){"x", (char *)8, NULL}, NO_ENV), EFAULT);
}

static void no_program(void)
{
    char *args[] = {"x", NULL}, head[4096];
    write_file("empty", 0755, "", 0);
    FAILS(execve("empty", args, NO_ENV), ENOEXEC);
    write_file("text", 0755, "hello\n", 6);
    FAILS(execve("text", args, NO_ENV), ENOEXEC);
    write_file("blank", 0755, "#!   \n", 6);
    FAILS(execve("blank", args, NO_ENV), ENOEXEC);
    int fd = OK(open(self, O_RDONLY));
    EQ(read(fd, head, sizeof(head)), sizeof(head));
    write_file("short", 0755, head, 40);
    FAILS(execve("short", args, NO_ENV), ENOEXEC);
    head[18] = 3; /* e_machine: i386 */
    head[4] = 1;  /* and 32 bits */
    write_file("foreign", 0755, head, sizeof(head));
    FAILS(execve("foreign", args, NO_ENV), ENOEXEC);
    script("nowhere", "/does/not/exist", "\n");
    FAILS(execve("nowhere", args, NO_ENV), ENOENT);
    script("data", "text", "\n");
    FAILS(execve("data", args, NO_ENV), ENOEXEC);
}

static void scripts(void)
{
    char wanted[PATH_MAX + 100];
    script("s1", self, " @show\n");
    snprintf(wanted, sizeof(wanted), "%s|@show|./s1|a|b|", self);
    SAME(output_of("./s1", ARGS("ignored", "a", "b"), NO_ENV), wanted);
    script("s2", self, "  \t @show  two words \t\nmore\n"); /* all the rest is one argument */
    snprintf(wanted, sizeof(wanted), "%s|@show  two words|./s2|", self);
    SAME(output_of("./s2", ARGS("x"), NO_ENV), wanted);
    script("s3", "./s1", "");
    snprintf(wanted, sizeof(wanted), "%s|@show|./s1|./s3|c|", self);
    SAME(output_of("./s3", ARGS("x", "c"), NO_ENV), wanted);
    char name[] = "./n1", before[] = "./s1";
    for (int i = 2; i <= 6; i++) { /* n2 makes two scripts in a row, n5 five: as many as may be */
        name[3] = '0' + i;
        script(name, before, "\n");
        memcpy(before, name, sizeof(name));
    }
    CHECK(strstr(output_of("./n5", ARGS("x", "end"), NO_ENV), "|./n4|./n5|end|"));
    FAILS(execve("./n6", ARGS("x"), NO_ENV), ELOOP);
}

static void busy_text(void)
{
    copy_self("program", 0755);
    int fd = OK(open("program", O_WRONLY)), gate[2];
    FAILS(execve("program", ARGS("x"), NO_ENV), ETXTBSY);
    close(fd);
    OK(pipe(gate));
    pid_t child = FORK();
    if (child == 0) { /* fills the pipe and stays */
        OK(dup2(gate[1], 1));
        close(gate[0]);
        char *big = malloc(100001);
        memset(big, 'x', 100000);
        big[100000] = 0;
        become("program", ARGS("x", "@show", big), NO_ENV);
    }
    close(gate[1]);
    char c;
    EQ(read(gate[0], &c, 1), 1); /* it runs */
    FAILS(open("program", O_WRONLY), ETXTBSY);
    FAILS(open("program", O_RDWR | O_TRUNC), ETXTBSY);
    FAILS(truncate("program", 0), ETXTBSY);
    OK(close(open("program", O_RDONLY)));
    OK(unlink("program")); /* that is allowed */
    close(gate[0]);
    int status;
    EQ(waitpid(child, &status, 0), child);
}

static void on_usr2(int sig UNUSED)
{
}

/* Everything that role_kept() looks at. */
static void prepare(void)
{
    sigset_t set;
    struct itimerval timer = {{0, 0}, {50, 0}};
    static char stack[32768];
    copy_self("program", 0755);
    OK(close(OK(open("here", O_CREAT | O_WRONLY, 0600))));
    int fd = make_file("data", 10);
    OK(lseek(fd, 5, SEEK_SET));
    OK(dup3(fd, 50, O_CLOEXEC));
    OK(dup2(fd, 51));
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, on_usr2);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    kill(getpid(), SIGHUP);
    OK(sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof(stack)}, NULL));
    OK(setitimer(ITIMER_REAL, &timer, NULL));
    umask(031);
}

static void become_kept(void)
{
    char pid[24];
    sprintf(pid, "%d", getpid());
    become("./program", ARGS("x", "@kept", pid), NO_ENV);
}

static void what_is_kept(void)
{
    prepare();
    pid_t child = FORK();
    if (child == 0) {
        kill(getpid(), SIGHUP);
        OK(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {50, 0}}, NULL));
        become_kept();
    }
    JOIN(child);
}

static void *__attribute__((noreturn)) idle(void *arg UNUSED)
{
    for (;;)
        pause();
}

static void *execute(void *arg UNUSED)
{
    become_kept();
    return NULL;
}

/* Any thread may do it: the others end, the process keeps its number. */
static void from_a_thread(void)
{
    prepare();
    pid_t child = FORK();
    if (child == 0) {
        pthread_t thread;
        kill(getpid(), SIGHUP);
        OK(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {50, 0}}, NULL));
        for (int i = 0; i < 5; i++)
            EQ(pthread_create(&thread, NULL, idle, NULL), 0);
        EQ(pthread_create(&thread, NULL, execute, NULL), 0);
        idle(NULL);
    }
    JOIN(child);
}

/* vfork: the parent goes on when the child has become something else, or has failed to. */
static void after_vfork(void)
{
    pid_t child;
    static volatile int error;
    for (volatile int i = 0; i < 20; i++) {
        child = vfork();
        if (child == 0) {
            execve(i % 2 ? self : "missing", ARGS("x", "@lengths", "0", "0"), NO_ENV);
            error = errno;
            _exit(3);
        }
        JOIN_EXIT(child, i % 2 ? 0 : 3);
    }
    EQ(error, ENOENT);
    EQ(posix_spawn(&child, "missing", NULL, NULL, ARGS("x"), NO_ENV), ENOENT);
    EQ(posix_spawn(&child, self, NULL, NULL, ARGS("x", "@lengths", "0", "0"), NO_ENV), 0);
    JOIN(child);
}

static void by_descriptor(void)
{
    int fd = OK(open(self, O_RDONLY | O_CLOEXEC));
    pid_t child = FORK();
    if (child == 0) {
        fexecve(fd, ARGS("x", "@lengths", "0", "0"), NO_ENV);
        FAIL("fexecve: %m");
    }
    JOIN(child);
}

static const struct test tests[] = {
    TEST(arguments_and_environment),
    TEST(large_arguments),
    TEST(refused),
    TEST(no_program),
    TEST(scripts),
    TEST(busy_text),
    TEST(what_is_kept),
    TEST(from_a_thread),
    TEST(after_vfork),
    TEST(by_descriptor),
};

int main(int argc, char **argv, char **envp)
{
    for (size_t i = 0; i < COUNT(roles); i++)
        if (argc > 1 && strcmp(argv[1], roles[i].name) == 0)
            return roles[i].run(argc, argv, envp);
    EQ(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0, 1);
    return run_tests(argc, argv, tests, COUNT(tests));
}
