/*
 * From a path to its name: up the tree in a read section, the name being built from its end. A
 * rename meanwhile shows in dcache_rename_seq; then it is done again.
 */
#include "vfs_priv.h"

#include "lib/fmt.h"
#include "lib/string.h"

#define DELETED " (deleted)"

struct name_builder {
    char *buf, *start;
};

static bool prepend(struct name_builder *b, const char *s, size_t n)
{
    if ((size_t)(b->start - b->buf) < n)
        return false;
    b->start -= n;
    memcpy(b->start, s, n);
    return true;
}

/* One attempt. False: no room. => In a section. */
static bool build_name(const struct path *p, const struct path *root, struct name_builder *b)
{
    struct path at = *p;
    bool any = false;
    for (;;) {
        if (at.dentry == root->dentry && at.mount == root->mount)
            break;
        if (at.dentry == at.mount->root) {
            struct mount *parent = READ_ONCE(at.mount->parent);
            if (!parent)
                break;
            at.dentry = at.mount->mountpoint;
            at.mount = parent;
            continue;
        }
        if (at.dentry->parent == at.dentry) /* hidden: "pipe:[7]" stands alone */
            return prepend(b, at.dentry->name, at.dentry->name_len);
        if (!prepend(b, at.dentry->name, at.dentry->name_len) || !prepend(b, "/", 1))
            return false;
        any = true;
        at.dentry = READ_ONCE(at.dentry->parent);
    }
    return any || prepend(b, "/", 1);
}

char *path_name(const struct path *p, char *buf, size_t size, int *err)
{
    struct name_builder b;
    bool fits, deleted = dentry_is_deleted(p->dentry);
    u64 seq;
    do {
        b = (struct name_builder){.buf = buf, .start = buf + size};
        struct path root;
        fs_context_get_root(thread_self()->fs, &root);
        section_enter();
        seq = load_acquire(&dcache_rename_seq);
        fits = prepend(&b, "", 1) && (!deleted || prepend(&b, DELETED, sizeof(DELETED) - 1)) &&
               build_name(p, &root, &b);
        memory_barrier();
        bool stable = !(seq & 1) && READ_ONCE(dcache_rename_seq) == seq;
        section_exit();
        path_put(&root);
        if (stable)
            break;
    } while (true);
    *err = fits ? 0 : -ENAMETOOLONG;
    return fits ? b.start : NULL;
}

int file_path(struct file *f, struct path *out)
{
    if (f->path.dentry) {
        path_get(&f->path);
        *out = f->path;
        return 0;
    }
    char name[40];
    struct inode *inode = f->inode;
    struct super *sb = inode->super;
    snprintf(name, sizeof(name), "%s:[%lu]", sb->type->name, (unsigned long)inode->ino);
    struct dentry *d = dentry_root(sb, inode, name);
    if (!d)
        return -ENOMEM;
    inode_ref(inode);
    out->dentry = d;
    out->mount = sb->private;
    atomic_add_relaxed(&out->mount->refs, 1);
    return 0;
}
