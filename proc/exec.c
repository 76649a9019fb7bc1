/*
 * execve: a process becomes another program.
 *
 * The new address space, with the program, its interpreter and a complete stack, is built while
 * the old one still runs; so are the copies of what must not be shared any more. Only when nothing
 * can fail any longer are the other threads ended and old and new exchanged. The one failure
 * behind that is to be killed meanwhile.
 *
 * The stack, from the top down:
 *
 *     stack_top  8 zero bytes
 *                strings: argv, envp, the program's name
 *                16 random bytes (AT_RANDOM)
 *                auxiliary vector, NULL, envp pointers, NULL, argv pointers
 *     sp         argc
 */
#include "proc/exec.h"

#include <linux/auxvec.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/stat.h>

#include "arch/cpu.h"
#include "arch/trapframe.h"
#include "arch/vdso.h"
#include "dev/random.h"
#include "lib/string.h"
#include "mm/slab.h"
#include "proc/exec_priv.h"
#include "proc/futex.h"
#include "proc/identity.h"

/* The highest 16 KiB of user space stay free: programs written for xv6 count on that. Below lie the
 * vDSO and the stack, together, so that they mostly need one leaf table. */
#define VDSO_TOP        (USER_TOP - 4 * PAGE_SIZE)
#define STACK_GAP_LEAST (128UL << 20) /* address space left for the stack, as on Linux */
#define STACK_GAP_MOST  (USER_TOP / 6 * 5)
#define STACK_GUARD     (256 * PAGE_SIZE)
#define STACK_EXTRA     (8 * PAGE_SIZE) /* mapped below sp from the start */
#define HEAD_SIZE       256             /* bytes of a file that a `#!` line must lie in */
#define SCRIPTS_MAX     5               /* scripts run by scripts */
#define AUXV_WORDS      (2 * 20)
#define RANDOM_BYTES    16 /* AT_RANDOM */

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

/* One `#!` line, cut into its two words. */
struct script {
    char line[HEAD_SIZE];
    const char *interp, *arg; /* arg NULL: none */
};

struct exec {
    const char *name;  /* as given, AT_EXECFN */
    struct file *file; /* the program itself */
    struct file_head *head;
    struct script *scripts; /* SCRIPTS_MAX of them; the first is the outermost */
    unsigned script_count;
    struct exec_args args;
    struct elf_image image;
    struct aspace *as;
    uvaddr_t sp;
    struct cred *cred;
    bool secure;
    struct sighand *sighand; /* a private copy, or NULL */
    struct fdtable *fds;     /* the same */
};

int exec_file_open(const struct path *path, struct file **out)
{
    struct inode *inode = path->dentry->inode;
    if (S_ISTYPE(inode, S_IFLNK))
        return -ELOOP;
    if (!S_ISTYPE(inode, S_IFREG) || (path->mount->flags & MS_NOEXEC) || inode->super->noexec)
        return -EACCES;
    int r = inode_permission(inode, MAY_EXEC);
    if (r == 0)
        r = file_open_path(path, O_RDONLY, out);
    if (r == 0 && (r = inode_deny_write(inode)) != 0)
        file_put(*out);
    return r;
}

void exec_file_close(struct file *file)
{
    inode_allow_write(file->inode);
    file_put(file);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Cuts s->line ("#!...", @n bytes) up. 0, -ENOEXEC. */
static int parse_script(struct script *s, size_t n)
{
    char *end = memchr(s->line, '\n', n), *p = s->line + 2;
    bool whole = end || n < HEAD_SIZE;
    if (!end)
        end = s->line + MIN(n, (size_t)HEAD_SIZE - 1);
    while (end > p && is_blank(end[-1]))
        end--;
    *end = '\0';
    while (is_blank(*p))
        p++;
    if (*p == '\0')
        return -ENOEXEC;
    s->interp = p;
    while (*p && !is_blank(*p))
        p++;
    if (*p == '\0' && !whole)
        return -ENOEXEC; /* the interpreter's name may be cut off */
    if (*p)
        *p++ = '\0';
    while (is_blank(*p))
        p++;
    s->arg = *p ? p : NULL;
    return 0;
}

static int open_name(const char *name, struct file **out)
{
    struct path path;
    int r = path_lookup(NULL, name, WALK_FOLLOW, &path);
    if (r)
        return r;
    r = exec_file_open(&path, out);
    path_put(&path);
    return r;
}

/* Follows `#!` lines from x->file until a program is reached. 0, -ENOEXEC, -ELOOP, ... */
static int resolve_scripts(struct exec *x)
{
    if (!(x->head = kmalloc(sizeof(*x->head), 0)))
        return -ENOMEM;
    for (;;) {
        const u8 *head = x->head->bytes;
        ssize_t n = file_read_kernel(x->file, x->head->bytes, sizeof(x->head->bytes), 0);
        if (n < 0)
            return (int)n;
        x->head->size = (size_t)n;
        if (elf_is(head, (size_t)n))
            return 0;
        n = MIN(n, HEAD_SIZE);
        if (n < 3 || head[0] != '#' || head[1] != '!')
            return -ENOEXEC;
        if (x->script_count == SCRIPTS_MAX)
            return -ELOOP;
        if (!x->scripts && !(x->scripts = kmalloc(SCRIPTS_MAX * sizeof(*x->scripts), 0)))
            return -ENOMEM;
        struct script *s = &x->scripts[x->script_count++];
        memcpy(s->line, head, (size_t)n);
        int r = parse_script(s, (size_t)n);
        struct file *next;
        if (r == 0)
            r = open_name(s->interp, &next);
        if (r)
            return r;
        exec_file_close(x->file);
        x->file = next;
    }
}

/* Collects argv (for scripts: interpreter, its argument, script, rest), envp, the name. */
static int collect_args(struct exec *x, const struct exec_vectors *v)
{
    struct arg_block *b = x->args.block = arg_block_create();
    u32 count = 0;
    int r = b ? 0 : -ENOMEM;
    for (unsigned i = x->script_count; r == 0 && i-- > 0;) {
        const struct script *s = &x->scripts[i];
        r = arg_block_add(b, s->interp);
        if (r == 0 && s->arg)
            r = arg_block_add(b, s->arg);
    }
    if (r == 0 && x->script_count)
        r = arg_block_add(b, x->name);
    if (r == 0)
        r = arg_block_add_vector(b, v->argv, v->kernel, x->script_count ? 1 : 0, &count);
    if (r == 0 && b->count == 0)
        r = arg_block_add(b, ""); /* programs take argv[0] for granted */
    x->args.argc = b ? b->count : 0;
    if (r == 0)
        r = arg_block_add_vector(b, v->envp, v->kernel, 0, &x->args.envc);
    return r ? r : arg_block_add(b, x->name);
}

static u64 stack_gap(u64 limit)
{
    return MIN(MAX(limit, STACK_GAP_LEAST), STACK_GAP_MOST) + STACK_GUARD;
}

/* The new address space with its limits. */
static int create_aspace(struct exec *x)
{
    struct aspace *as = x->as = aspace_create();
    if (!as)
        return -ENOMEM;
    as->stack_limit = rlimit_current(RLIMIT_STACK);
    as->as_limit = rlimit_current(RLIMIT_AS);
    as->data_limit = rlimit_current(RLIMIT_DATA);
    as->no_superpages = thread_self()->aspace && thread_self()->aspace->no_superpages;
    as->vdso = as->stack_top = VDSO_TOP - vdso_code_size() - VDSO_DATA_SIZE;
    as->mmap_top = PAGE_DOWN(as->stack_top - stack_gap(as->stack_limit));
    return 0;
}

/* One data page, then the code right behind it. */
static int map_vdso(struct aspace *as)
{
    u64 code = vdso_code_size();
    uvaddr_t at;
    pfn_t frame = {vdso_data_phys() >> PAGE_SHIFT};
    int r = aspace_map_frames(as, as->vdso, &frame, 1, PROT_R, VMA_VDSO, &at);
    if (r)
        return r;
    u32 pages = (u32)(code >> PAGE_SHIFT);
    pfn_t frames[16];
    assert(pages <= ARRAY_SIZE(frames));
    for (u32 i = 0; i < pages; i++)
        frames[i] = (pfn_t){(vdso_code_phys() >> PAGE_SHIFT) + i};
    return aspace_map_frames(as, as->vdso + VDSO_DATA_SIZE, frames, pages, PROT_R | PROT_X,
                             VMA_VDSO, &at);
}

/* Fills @words with AT_* pairs; returns how many words. */
static unsigned build_auxv(const struct exec *x, u64 *words, uvaddr_t random, uvaddr_t name)
{
    const struct cred *c = x->cred;
    const u64 pairs[][2] = {
        {AT_SYSINFO_EHDR, x->as->vdso + VDSO_DATA_SIZE},
        {AT_HWCAP, arch_hwcap()},
        {AT_PAGESZ, PAGE_SIZE},
        {AT_CLKTCK, 100},
        {AT_PHDR, x->image.phdr},
        {AT_PHENT, 56},
        {AT_PHNUM, x->image.phnum},
        {AT_BASE, x->image.interp_base},
        {AT_FLAGS, 0},
        {AT_ENTRY, x->image.exec_entry},
        {AT_UID, c->uid},
        {AT_EUID, c->euid},
        {AT_GID, c->gid},
        {AT_EGID, c->egid},
        {AT_SECURE, x->secure},
        {AT_RANDOM, random},
        {AT_EXECFN, name},
        {AT_MINSIGSTKSZ, sizeof(struct arch_sigframe)},
        {AT_NULL, 0},
    };
    _Static_assert(sizeof(pairs) <= AUXV_WORDS * sizeof(u64), "room for the auxiliary vector");
    memcpy(words, pairs, sizeof(pairs));
    return sizeof(pairs) / sizeof(u64);
}

/* The pointer words at sp; returns behind the last. @strings: where the block lies. */
static u64 *build_pointers(const struct exec *x, u64 *w, uvaddr_t strings, uvaddr_t *name)
{
    struct aspace *as = x->as;
    size_t pos = 0;
    *w++ = x->args.argc;
    as->arg_start = strings;
    for (u32 i = 0; i < x->args.argc; i++) {
        *w++ = strings + pos;
        arg_block_next(x->args.block, &pos);
    }
    *w++ = 0;
    as->arg_end = as->env_start = strings + pos;
    for (u32 i = 0; i < x->args.envc; i++) {
        *w++ = strings + pos;
        arg_block_next(x->args.block, &pos);
    }
    *w++ = 0;
    as->env_end = *name = strings + pos;
    return w;
}

static int map_stack(struct aspace *as, uvaddr_t sp)
{
    uvaddr_t at, start = PAGE_DOWN(sp) - STACK_EXTRA;
    struct map_request request = {
        .addr = start,
        .length = as->stack_top - start,
        .prot = PROT_R | PROT_W,
        .flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN,
    };
    return aspace_map(as, &request, &at);
}

/* Maps the stack and puts strings, vectors and argc on it. 0, -E2BIG, -ENOMEM. */
static int build_stack(struct exec *x)
{
    const struct arg_block *b = x->args.block;
    struct aspace *as = x->as;
    size_t count = 3 + x->args.argc + x->args.envc + AUXV_WORDS + 2 * RANDOM_BYTES / sizeof(u64);
    uvaddr_t strings = as->stack_top - sizeof(u64) - b->bytes, name;
    uvaddr_t random = ALIGN_DOWN(strings - RANDOM_BYTES, 16UL);
    u64 *words = kmalloc(count * sizeof(u64), PA_ZERO);
    if (!words)
        return -ENOMEM;
    u64 *auxv = build_pointers(x, words, strings, &name);
    as->auxv_words = build_auxv(x, auxv, random, name);
    memcpy(as->auxv, auxv, as->auxv_words * sizeof(u64));
    size_t size = (size_t)(auxv - words + as->auxv_words) * sizeof(u64);
    x->sp = ALIGN_DOWN(random - size, 16UL);
    size = random + RANDOM_BYTES - x->sp;
    random_bytes((u8 *)words + size - RANDOM_BYTES, RANDOM_BYTES);
    int r = map_stack(as, x->sp);
    if (r == 0)
        r = arg_block_write(b, as, strings);
    if (r == 0 && aspace_write(as, x->sp, words, size) != size)
        r = -ENOMEM;
    kfree(words);
    return r;
}

/* The identity the program runs with. */
static int prepare_cred(struct exec *x)
{
    const struct inode *inode = x->file->inode;
    u32 uid = ~0u, gid = ~0u;
    x->cred = cred_copy(cred_current());
    if (!x->cred)
        return -ENOMEM;
    bool honoured = !(x->file->path.mount->flags & MS_NOSUID) && !inode->super->nosuid &&
                    !x->cred->no_new_privs;
    if (honoured && (inode->mode & S_ISUID))
        uid = inode->uid;
    if (honoured && (inode->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
        gid = inode->gid;
    x->secure = identity_exec(x->cred, uid, gid);
    return 0;
}

/* Private copies of what other processes share and exec changes. */
static int prepare_unshare(struct exec *x)
{
    struct fdtable *fds = fdtable_current();
    if (READ_ONCE(fds->refs) > 1 && !(x->fds = fdtable_copy(fds)))
        return -ENOMEM;
    return signal_exec_prepare(&x->sighand);
}

static int prepare(struct exec *x, const struct exec_vectors *vectors)
{
    int r = resolve_scripts(x);
    if (r == 0)
        r = collect_args(x, vectors);
    if (r == 0)
        r = prepare_cred(x);
    if (r == 0)
        r = create_aspace(x);
    if (r == 0)
        r = elf_load(x->as, x->file, x->head, &x->image);
    if (r == 0)
        r = map_vdso(x->as);
    if (r == 0)
        r = build_stack(x);
    return r ? r : prepare_unshare(x);
}

/* Exchanges old and new; what was old stays in @x to be released. */
static void swap_in(struct exec *x)
{
    struct uthread *t = uthread_self();
    struct process *p = t->process;
    TREE_GUARD(); /* /proc takes references to all of these under it */
    struct aspace *as = t->thread.aspace;
    aspace_switch(x->as);
    x->as = as;
    struct file *exe = p->exe;
    p->exe = x->file;
    x->file = exe;
    if (x->fds) {
        struct fdtable *fds = t->fds;
        t->fds = x->fds;
        x->fds = fds;
    }
    p->exit_signal = SIGCHLD;
    WRITE_ONCE(p->did_exec, true);
    WRITE_ONCE(p->dumpable, !x->secure);
    if (x->secure)
        p->pdeath_signal = 0;
}

/* The thread is named after the program: the last component of the name. */
static void set_name(const char *name)
{
    const char *slash = strrchr(name, '/');
    process_set_name(slash ? slash + 1 : name);
}

/* From here on nothing can fail but by being killed. 0, -EINTR. */
static int commit(struct exec *x)
{
    struct uthread *t = uthread_self();
    int r = process_single_thread();
    if (r)
        return r;
    futex_thread_exit(t);
    uvaddr_t entry = x->image.entry;
    bool secure = x->secure;
    swap_in(x);
    process_vfork_done(t->process);
    identity_install(x->cred);
    x->cred = NULL;
    WRITE_ONCE(t->process->dumpable, !secure);
    signal_exec_commit(x->sighand);
    x->sighand = NULL;
    fdtable_close_on_exec(t->fds);
    set_name(x->name);
    arch_fpu_reset(&t->thread);
    tf_init_user(arch_user_frame(&t->thread), entry, x->sp);
    return 0;
}

static void release(struct exec *x)
{
    if (x->file)
        exec_file_close(x->file);
    if (x->as)
        aspace_put(x->as);
    if (x->fds)
        fdtable_put(x->fds);
    if (x->sighand)
        sighand_put(x->sighand);
    if (x->cred)
        cred_put(x->cred);
    arg_block_free(x->args.block);
    kfree(x->scripts);
    kfree(x->head);
}

static int exec_path(const struct path *path, const char *name, const struct exec_vectors *vectors)
{
    struct exec x = {.name = name};
    int r = exec_file_open(path, &x.file);
    if (r)
        return r;
    r = prepare(&x, vectors);
    if (r == 0)
        r = commit(&x);
    release(&x);
    return r;
}

/* execveat with an empty name: the file itself; its name is the path it has now. */
static int exec_open_file(const struct path *file, const struct exec_vectors *vectors)
{
    int r = 0;
    char *buf = kmalloc(EXEC_NAME_MAX, 0);
    if (!buf)
        return -ENOMEM;
    char *name = path_name(file, buf, EXEC_NAME_MAX, &r);
    if (name)
        r = exec_path(file, name, vectors);
    kfree(buf);
    return r;
}

int process_exec(const struct path *base, const char *name, unsigned flags,
                 const struct exec_vectors *vectors)
{
    if (flags & ~(unsigned)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    if (name[0] == '\0' && (flags & AT_EMPTY_PATH) && base)
        return exec_open_file(base, vectors);
    struct path path;
    int r = path_lookup(base, name, flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW, &path);
    if (r)
        return r;
    r = exec_path(&path, name, vectors);
    path_put(&path);
    return r;
}
