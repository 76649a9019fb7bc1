/* /proc/sys: settings as files. Those called vm.* are the boot parameters of that name. */
#include "procfs_priv.h"

#include "core/mutex.h"
#include "core/param.h"
#include "core/version.h"
#include "dev/random.h"

#include <linux/capability.h>
#include <linux/limits.h>

#define VM_PREFIX   "vm."
#define OVERFLOW_ID 65534

static struct proc_entry sys_dirs[] = {PROC_DIR("kernel"), PROC_DIR("vm"), PROC_DIR("fs")};
static struct proc_entry root_dirs[] = {PROC_DIR("sys")};
#define sys_vm (&sys_dirs[1])
#define sys_fs (&sys_dirs[2])

/* sys/kernel */

static int show_text(struct seq *s, const struct proc_node *n)
{
    const char *(*text)(void) = n->entry->arg;
    seq_printf(s, "%s\n", text());
    return 0;
}

static int show_constant(struct seq *s, const struct proc_node *n)
{
    seq_printf(s, "%lu\n", (unsigned long)(uintptr_t)n->entry->arg);
    return 0;
}

static int show_hostname(struct seq *s, const struct proc_node *n)
{
    char name[VERSION_NAME_MAX + 1];
    hostname_get(name, sizeof(name));
    seq_printf(s, "%s\n", name);
    return 0;
}

static int write_hostname(const struct proc_node *n, const char *text, size_t len)
{
    return hostname_set(text, len);
}

static int show_domainname(struct seq *s, const struct proc_node *n)
{
    char name[VERSION_NAME_MAX + 1];
    domainname_get(name, sizeof(name));
    seq_printf(s, "%s\n", name);
    return 0;
}

static int write_domainname(const struct proc_node *n, const char *text, size_t len)
{
    return domainname_set(text, len);
}

/* sys/kernel/random: random(4) */

static int show_entropy(struct seq *s, const struct proc_node *n)
{
    seq_printf(s, "%u\n", random_entropy_bits());
    return 0;
}

/* Sixteen random bytes as a version 4 UUID: RFC 9562. */
static void uuid_make(u8 uuid[16])
{
    random_bytes(uuid, 16);
    uuid[6] = (uuid[6] & 0x0f) | 0x40;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

static void uuid_show(struct seq *s, const u8 uuid[16])
{
    for (unsigned i = 0; i < 16; i++)
        seq_printf(s, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
    seq_putc(s, '\n');
}

static int show_uuid(struct seq *s, const struct proc_node *n)
{
    u8 uuid[16];
    uuid_make(uuid);
    uuid_show(s, uuid);
    return 0;
}

static DEFINE_LOCK_CLASS(boot_id_class, "boot_id");
static struct mutex boot_id_lock = MUTEX_INIT(boot_id_lock, boot_id_class);

static int show_boot_id(struct seq *s, const struct proc_node *n)
{
    static u8 boot_id[16]; /* boot_id_lock; made when first wanted: there is more entropy then */
    static bool made;
    MUTEX_GUARD(&boot_id_lock);
    if (!made)
        uuid_make(boot_id);
    made = true;
    uuid_show(s, boot_id);
    return 0;
}

/* sys/fs */

/* Open files; there is no limit but memory and RLIMIT_NOFILE. */
static int show_file_nr(struct seq *s, const struct proc_node *n)
{
    struct kmem_cache_stats c;
    u64 used = 0;
    for (unsigned i = 0; kmem_cache_get_stats(i, &c); i++)
        if (strcmp(c.name, "file") == 0)
            used = c.objects_used;
    seq_printf(s, "%lu\t0\t%lu\n", used, (unsigned long)INT64_MAX);
    return 0;
}

/* sys/vm */

static int show_param(struct seq *s, const struct proc_node *n)
{
    char text[64];
    param_format(n->entry->arg, text, sizeof(text));
    seq_printf(s, "%s\n", text);
    return 0;
}

static int write_param(const struct proc_node *n, const char *text, size_t len)
{
    return param_set(n->entry->arg, text);
}

/* Linux's name for vm.overcommit, and its numbers: a choice by index. */
static int show_overcommit(struct seq *s, const struct proc_node *n)
{
    const struct param *p = n->entry->arg;
    seq_printf(s, "%d\n", READ_ONCE(*p->value));
    return 0;
}

static int write_overcommit(const struct proc_node *n, const char *text, size_t len)
{
    const struct param *p = n->entry->arg;
    if (len != 1 || text[0] < '0' || text[0] > '2')
        return -EINVAL;
    return param_set(p, p->choices[text[0] - '0']);
}

static struct proc_entry overcommit_file[] = {{.name = "overcommit_memory",
                                               .mode = S_IFREG | 0644,
                                               .show = show_overcommit,
                                               .write = write_overcommit}};

static void add_params(void)
{
    unsigned count = 0;
    for (unsigned i = 0; param_at(i); i++)
        count += str_starts(param_at(i)->name, VM_PREFIX);
    struct proc_entry *files = kzalloc(MAX(count, 1U) * sizeof(*files), 0), *e = files;
    if (!files)
        panic("no memory for the entries of /proc/sys/vm");
    for (unsigned i = 0; param_at(i); i++) {
        const struct param *p = param_at(i);
        if (!str_starts(p->name, VM_PREFIX))
            continue;
        *e++ = (struct proc_entry){.name = p->name + strlen(VM_PREFIX),
                                   .mode = S_IFREG | (p->writable ? 0644 : 0444),
                                   .show = show_param,
                                   .write = write_param,
                                   .arg = p};
    }
    procfs_add(sys_vm, files, count);
    overcommit_file[0].arg = param_find("vm.overcommit");
    if (overcommit_file[0].arg)
        procfs_add(sys_vm, overcommit_file, 1);
}

#define CONSTANT(name_, value_)                                                             \
    {                                                                                       \
        .name = name_, .mode = S_IFREG | 0444, .show = show_constant, .arg = (void *)value_ \
    }
#define TEXT(name_, fn_)                                                       \
    {                                                                          \
        .name = name_, .mode = S_IFREG | 0444, .show = show_text, .arg = (fn_) \
    }

static struct proc_entry kernel_files[] = {
    TEXT("ostype", version_sysname),
    TEXT("osrelease", version_release),
    TEXT("version", version_string),
    {.name = "hostname", .mode = S_IFREG | 0644, .show = show_hostname, .write = write_hostname},
    {.name = "domainname",
     .mode = S_IFREG | 0644,
     .show = show_domainname,
     .write = write_domainname},
    CONSTANT("ngroups_max", NGROUPS_MAX),
    CONSTANT("cap_last_cap", CAP_LAST_CAP),
    CONSTANT("overflowuid", OVERFLOW_ID),
    CONSTANT("overflowgid", OVERFLOW_ID),
};
static struct proc_entry kernel_dirs[] = {PROC_DIR("random")};

static struct proc_entry random_files[] = {
    PROC_FILE("entropy_avail", 0444, show_entropy),
    CONSTANT("poolsize", 256),
    PROC_FILE("uuid", 0444, show_uuid),
    PROC_FILE("boot_id", 0444, show_boot_id),
};

static struct proc_entry fs_files[] = {PROC_FILE("file-nr", 0444, show_file_nr)};

struct proc_entry *procfs_sys_kernel(void)
{
    return &sys_dirs[0];
}

void procfs_sysctl_init(void)
{
    procfs_add(&procfs_root, root_dirs, ARRAY_SIZE(root_dirs));
    procfs_add(&root_dirs[0], sys_dirs, ARRAY_SIZE(sys_dirs));
    procfs_add(procfs_sys_kernel(), kernel_files, ARRAY_SIZE(kernel_files));
    procfs_add(procfs_sys_kernel(), kernel_dirs, ARRAY_SIZE(kernel_dirs));
    procfs_add(&kernel_dirs[0], random_files, ARRAY_SIZE(random_files));
    procfs_add(sys_fs, fs_files, ARRAY_SIZE(fs_files));
    add_params();
}
