/*
 * The tree of registered entries. It is built at boot, before the first mount, by one thread, and
 * only read afterwards: no lock.
 */
#include "procfs_priv.h"

/*
 * Inode numbers: the entry's id, the process or thread, and the descriptor or the like.
 *
 *   63            35 34          12 11        0
 *  +----------------+--------------+-----------+
 *  |  number + 1    | id, is a tid | entry id  |
 *  +----------------+--------------+-----------+
 */
#define INO_ENTRY_BITS 12
#define INO_ID_BITS    23 /* ids are below 4194304 */

struct proc_entry procfs_root = {.name = "/", .mode = S_IFDIR | 0555, .id = 1};

static u32 last_id = 1;
static const struct proc_process_ops *process_ops;

void procfs_set_process_ops(const struct proc_process_ops *ops)
{
    process_ops = ops;
    procfs_root.numbers = &ops->numbers;
}

const struct proc_process_ops *procfs_process_ops(void)
{
    return process_ops;
}

void procfs_number(struct proc_entry *e)
{
    e->id = ++last_id;
    assert(last_id < 1u << INO_ENTRY_BITS);
}

void procfs_add(struct proc_entry *dir, struct proc_entry *entries, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct proc_entry *e = &entries[i];
        procfs_number(e);
        if (dir->last_child)
            dir->last_child->next = e;
        else
            dir->children = e;
        dir->last_child = e;
    }
}

/* The first entry at or behind @e that @dir shows. */
static struct proc_entry *shown(const struct proc_node *dir, struct proc_entry *e)
{
    while (e && dir->entry->same_as && (e->flags & PROC_NOT_A_THREAD))
        e = e->next;
    return e;
}

static struct proc_entry *first_child(const struct proc_node *dir)
{
    const struct proc_entry *owner = dir->entry->same_as ? dir->entry->same_as : dir->entry;
    return shown(dir, owner->children);
}

struct proc_entry *proc_child(const struct proc_node *dir, const char *name, size_t len)
{
    for (struct proc_entry *e = first_child(dir); e; e = shown(dir, e->next))
        if (e->name[0] == name[0] && strncmp(e->name, name, len) == 0 && e->name[len] == '\0')
            return e;
    return NULL;
}

struct proc_entry *proc_child_at(const struct proc_node *dir, unsigned i)
{
    struct proc_entry *e = first_child(dir);
    while (e && i-- > 0)
        e = shown(dir, e->next);
    return e;
}

const struct proc_numbers *proc_numbers_of(const struct proc_node *dir)
{
    return dir->entry->numbers;
}

u64 proc_ino(const struct proc_node *n)
{
    u64 id = n->tid ? (u64)n->tid << 1 | 1 : (u64)n->pid << 1;
    return n->entry->id | id << INO_ENTRY_BITS |
           (u64)(n->number + 1) << (INO_ENTRY_BITS + INO_ID_BITS);
}
