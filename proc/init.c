/*
 * The first process: from a machine with drivers to the first user program.
 *
 * Whatever keeps the system from coming up is said in one line that names cause and remedy, and
 * the machine is powered off: nobody is there yet who could do anything else.
 */
#include "proc/init.h"

#include <linux/fcntl.h>
#include <linux/mount.h>

#include "arch/cpu.h"
#include "arch/trapframe.h"
#include "core/cpu.h"
#include "core/log.h"
#include "core/param.h"
#include "core/sched.h"
#include "core/timer.h"
#include "dev/dev.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "proc/exec.h"
#include "proc/futex.h"
#include "proc/proc_priv.h"

#define WORDS_MAX 32 /* arguments for init on the command line */
#define LINE_MAX  1024

static const char *const init_programs[] = {"/sbin/init", "/etc/init", "/bin/init", "/bin/sh"};
static char *init_argv[WORDS_MAX + 2];
static char *init_envp[] = {"HOME=/", "TERM=linux", "PATH=/sbin:/usr/sbin:/bin:/usr/bin", NULL};
static char init_words[LINE_MAX];

static void __noreturn give_up(void)
{
    vfs_shutdown();
    dev_shutdown();
    machine_poweroff(1);
}

static void mount_root(void)
{
    char device[64] = "/dev/vda", type[16] = "ext2";
    param_string("root", device, sizeof(device));
    param_string("rootfstype", type, sizeof(type));
    char word[8];
    bool read_only =
        param_string("ro", word, sizeof(word)) >= 0 && param_string("rw", word, sizeof(word)) < 0;
    int r = vfs_mount_root(device, type, read_only ? MS_RDONLY : 0);
    if (r == 0)
        return;
    log_err("cannot mount the root file system %s (%s): error %d; attach an ext2 disk or name "
            "another one with root= and rootfstype=",
            device, type, -r);
    give_up();
}

/* Mounts @type on @at where that directory exists. */
static void mount_kernel_fs(const char *type, const char *at)
{
    struct path path;
    if (path_lookup(NULL, at, WALK_FOLLOW | WALK_DIRECTORY, &path) != 0)
        return;
    int r = vfs_mount(type, &path, type, MS_NOSUID, NULL);
    if (r && r != -EBUSY)
        log_warn("cannot mount %s on %s: error %d", type, at, -r);
    path_put(&path);
}

/* The console as descriptors 0, 1 and 2. */
static void open_console(void)
{
    struct file *file;
    int r = file_open(NULL, "/dev/console", O_RDWR | O_NOCTTY, 0, &file);
    if (r) {
        log_warn("cannot open /dev/console: error %d; does the root file system have /dev?", -r);
        return;
    }
    if (fd_open(file, 0) == 0) {
        fd_dup(0, 0, false);
        fd_dup(0, 0, false);
    }
}

/* What follows "--" on the command line, as argv[1] on. */
static void split_arguments(void)
{
    const char *line = param_cmdline(), *rest = strstr(line, "-- ");
    unsigned n = 1;
    if (!rest || (rest != line && rest[-1] != ' '))
        return;
    str_copy(init_words, rest + 3, sizeof(init_words));
    for (char *p = init_words; *p && n <= WORDS_MAX;) {
        while (*p == ' ')
            *p++ = '\0';
        if (*p)
            init_argv[n++] = p;
        while (*p && *p != ' ')
            p++;
    }
    init_argv[n] = NULL;
}

/* How long the boot took: `quire bench` reads this line. */
static void log_boot_time(const char *program)
{
    u64 ns = (arch_time() - arch_boot_ticks()) * NSEC_PER_SEC / time_hz();
    log_info("boot: %s starts %lu ns after the kernel's first instruction, %lu of them idle",
             program, (unsigned long)ns, (unsigned long)sched_idle_ns(&cpus[0]));
}

/* Becomes @program, or returns why not. */
static int run(const char *program)
{
    struct exec_vectors vectors = {.kernel = true, .argv = (u64)init_argv, .envp = (u64)init_envp};
    init_argv[0] = (char *)program;
    int r = process_exec(NULL, program, 0, &vectors);
    if (r == 0) {
        log_boot_time(program);
        arch_enter_user();
    }
    return r;
}

/* Why a file cannot be a process, as words. */
static const char *exec_error(int error)
{
    switch (-error) {
    case ENOENT:
        return "does not exist";
    case EACCES:
        return "is no executable file";
    case ENOEXEC:
        return "is no program for this machine";
    case ENOMEM:
        return "needs more memory";
    default:
        return "cannot be read";
    }
}

/* PID 1 in kernel mode. A program named by init= runs or nothing does, as on Linux. */
static void init_main(void *arg)
{
    char program[256], tried[LINE_MAX];
    size_t used = 0;
    mount_kernel_fs("devtmpfs", "/dev");
    mount_kernel_fs("proc", "/proc");
    open_console();
    split_arguments();
    if (param_string("init", program, sizeof(program)) > 0) {
        int r = run(program);
        log_err("cannot run init=%s: it %s (error %d); name another program with init=", program,
                exec_error(r), -r);
        give_up();
    }
    for (unsigned i = 0; i < ARRAY_SIZE(init_programs); i++) {
        int r = run(init_programs[i]);
        if (used < sizeof(tried))
            used += (size_t)snprintf(tried + used, sizeof(tried) - used, " %s %s (error %d);",
                                     init_programs[i], exec_error(r), -r);
    }
    log_err("no program to run as init:%s put one on the root file system or name it with init=",
            tried);
    give_up();
}

void proc_init(void)
{
    pid_init();
    process_caches_init();
    rlimit_init();
    fdtable_init();
    procfs_processes_init();
    signal_init();
    futex_init();
    jobctl_init();
}

void start_init(void)
{
    mount_root();
    if (process_spawn_init(init_main) != 0) {
        log_err("no memory for the first process; give the machine more");
        give_up();
    }
}
