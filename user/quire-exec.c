/*
 * The first process of a guest that `./quire exec` boots. Three virtio consoles connect it to the
 * host, one byte stream each: vport0 and vport1 carry the command's stdout and stderr, vport2 the
 * job (argument count, then the arguments, each ended by NUL) and the answers "start" and
 * "exit STATUS". Then it powers the machine off.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

static int open_port(const char *path, int flags, int fd)
{
    int got = open(path, flags);
    if (got < 0) {
        fprintf(stderr, "quire-exec: cannot open %s: %s\n", path, strerror(errno));
        exit(1);
    }
    if (got != fd) {
        dup2(got, fd);
        close(got);
    }
    return fd;
}

/* One NUL-terminated word from the control port. */
static char *read_word(int fd)
{
    size_t used = 0, size = 64;
    char *word = malloc(size);
    for (;;) {
        if (used == size)
            word = realloc(word, size *= 2);
        if (!word || read(fd, word + used, 1) != 1) {
            fprintf(stderr, "quire-exec: no job on the control port\n");
            exit(1);
        }
        if (word[used++] == 0)
            return word;
    }
}

static char **read_job(int control)
{
    char *count = read_word(control);
    int argc = atoi(count);
    free(count);
    char **argv = calloc(argc + 1, sizeof(*argv));
    for (int i = 0; i < argc; i++)
        argv[i] = read_word(control);
    return argv;
}

/* The command in a session of its own. Never returns. */
static void run_command(char **argv)
{
    setsid();
    open_port("/dev/null", O_RDONLY, 0);
    open_port("/dev/vport0", O_WRONLY, 1);
    open_port("/dev/vport1", O_WRONLY, 2);
    setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);
    setenv("HOME", "/root", 1);
    unsetenv("TERM");
    execvp(argv[0], argv);
    int error = errno;
    fprintf(stderr, "quire-exec: cannot run %s: %s\n", argv[0], strerror(error));
    _exit(error == ENOENT ? 127 : 126);
}

/* Reaps everything until @child ends. Returns its exit status as a shell would. */
static int wait_for(pid_t child)
{
    for (;;) {
        int status;
        pid_t pid = wait(&status);
        if (pid < 0 && errno != EINTR)
            return 126;
        if (pid == child)
            return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
}

int main(void)
{
    mount("tmpfs", "/tmp", "tmpfs", 0, NULL); /* /dev and /proc are the kernel's */
    int control = open("/dev/vport2", O_RDWR | O_CLOEXEC);
    if (control < 0) {
        fprintf(stderr, "quire-exec: cannot open /dev/vport2: %s\n", strerror(errno));
        return 1;
    }
    char **argv = read_job(control);
    dprintf(control, "start\n");
    pid_t child = fork();
    if (child == 0)
        run_command(argv);
    int status = child < 0 ? 126 : wait_for(child);
    kill(-1, SIGKILL);
    sync();
    dprintf(control, "exit %d\n", status);
    reboot(RB_POWER_OFF);
    return status;
}
