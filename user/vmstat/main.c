/*
 * vmstat: what virtual memory does, from /proc alone.
 *
 * It runs on Linux too; what /proc does not tell there is shown as "-", and the modes that need
 * /proc/PID/pagetable say that it is missing.
 */
#include "vmstat.h"

#include <getopt.h>

static const char usage_text[] =
    "usage: vmstat [-p PID]\n"
    "       vmstat DELAY [COUNT]\n"
    "       vmstat -m PID\n"
    "       vmstat -d [--] COMMAND [ARGUMENT...]\n"
    "\n"
    "Shows the memory of the system by kind, fault counters, and the page table of vmstat\n"
    "itself or, with -p, of process PID. With DELAY: every DELAY seconds a line of rates per\n"
    "second (the first: since boot), COUNT times or until interrupted.\n"
    "\n"
    "  -p PID  whose page table is shown (yours, or anybody's for root)\n"
    "  -m PID  draws the memory of process PID as a map, one character for a group of pages\n"
    "  -d      runs COMMAND and shows on stderr what it cost; exits with its status\n"
    "  -h      this text\n";

/* A whole number from 1 to @max; 0: it is none. */
static unsigned long parse_number(const char *text, unsigned long max)
{
    char *end;
    errno = 0;
    unsigned long n = isdigit((unsigned char)*text) ? strtoul(text, &end, 10) : 0;
    return n && !*end && !errno && n <= max ? n : 0;
}

static int fail_usage(void)
{
    fputs("Try 'vmstat -h'.\n", stderr);
    return 1;
}

static int run_rates(int argc, char **argv)
{
    unsigned long delay = parse_number(argv[0], 1000000), count = ULONG_MAX;
    if (argc > 2) {
        complain("too many arguments");
        return fail_usage();
    }
    if (!delay) {
        complain("the delay '%s' is not a number of seconds from 1 to 1000000", argv[0]);
        return fail_usage();
    }
    if (argc == 2 && !(count = parse_number(argv[1], ULONG_MAX))) {
        complain("the count '%s' is not a number from 1 up", argv[1]);
        return fail_usage();
    }
    show_rates(delay, count);
    return status;
}

static int run_cost(char **command)
{
    if (*command)
        return show_cost(command);
    complain("-d needs a command");
    return fail_usage();
}

static int run_process(char mode, const char *pid)
{
    if (!parse_number(pid, INT_MAX)) {
        complain("'%s' is not a process id", pid);
        return fail_usage();
    }
    if (mode == 'm') {
        show_map(pid);
    } else {
        show_snapshot();
        show_page_table(pid);
    }
    return status;
}

int main(int argc, char **argv)
{
    const char *pid = NULL;
    char mode = 0;
    int option;
    while ((option = getopt(argc, argv, "+dhm:p:")) != -1) {
        if (option == 'h') {
            fputs(usage_text, stdout);
            return 0;
        }
        if (option == '?')
            return fail_usage();
        if (mode && mode != option) {
            complain("-%c and -%c do not go together", mode, option);
            return fail_usage();
        }
        mode = (char)option;
        pid = optarg;
    }
    if (mode == 'd')
        return run_cost(argv + optind);
    if (optind < argc && mode) {
        complain("-%c and a delay do not go together", mode);
        return fail_usage();
    }
    if (optind < argc)
        return run_rates(argc - optind, argv + optind);
    if (mode)
        return run_process(mode, pid);
    show_snapshot();
    show_page_table("self");
    return status;
}
