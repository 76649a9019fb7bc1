/*
 * Path walk: from a name to a (mount, dentry).
 *
 * The walk goes component by component in one read section (vfs_priv.h): no locks, no references,
 * no allocation as long as every name is in the dentry cache and every directory may be searched.
 * What it cannot decide there (a name not in the cache, a directory with rules of its own, a
 * symbolic link) it does outside: walk_hold() takes references to where it stands and leaves the
 * section, the slow step is done, walk_resume() enters a new one. If the place vanished while
 * references were taken, everything starts again.
 *
 * Symbolic links replace what is left of the name: target + rest, in a buffer of their own. Forty
 * of them are followed, then it is -ELOOP.
 */
#include "vfs_priv.h"

#include "lib/string.h"
#include "mm/slab.h"

#define MAX_LINKS 40
#define RETRY     1 /* internal: start again */

static void walk_resume(struct walk *w)
{
    section_enter();
    w->in_section = true;
}

/* Drops the references in @held (which may be NULLs). => Not in a section. */
static void walk_unhold(struct walk *w)
{
    path_put(&w->held);
    w->held = (struct path){NULL, NULL};
}

/* Makes @held the references to @cur and leaves the section. 0, or RETRY (section left too). */
static int walk_hold(struct walk *w)
{
    if (!w->in_section)
        return 0;
    struct path old = w->held, cur = w->cur;
    bool same = old.dentry == cur.dentry && old.mount == cur.mount, ok = true;
    if (!same) {
        ok = refs_tryget(&cur.dentry->refs);
        if (ok && !ref_get_unless_zero(&cur.mount->refs)) {
            section_exit();
            w->in_section = false;
            dentry_put(cur.dentry);
            return RETRY;
        }
    }
    section_exit();
    w->in_section = false;
    if (same)
        return 0;
    if (!ok)
        return RETRY;
    w->held = cur;
    path_put(&old);
    return 0;
}

static void walk_leave(struct walk *w)
{
    if (w->in_section)
        section_exit();
    w->in_section = false;
}

void walk_end(struct walk *w)
{
    walk_leave(w);
    walk_unhold(w);
    kfree(w->buf);
    w->buf = NULL;
}

/* Reads a root or cwd that other threads may be changing. => In a section. */
static struct path context_path(struct fs_context *fs, const struct path *p)
{
    if (READ_ONCE(fs->refs) == 1)
        return *p;
    SPIN_GUARD(&fs->lock);
    return *p;
}

static int walk_start(struct walk *w)
{
    w->rest = w->name;
    w->links = 0;
    walk_resume(w);
    struct fs_context *fs = fs_current();
    if (*w->name == '/')
        w->cur = context_path(fs, &fs->root);
    else if (w->start.dentry)
        w->cur = w->start;
    else
        w->cur = context_path(fs, &fs->cwd);
    return *w->name && w->cur.dentry ? 0 : -ENOENT;
}

/* Down through everything mounted on @p. => In a section. */
static inline void cross_mounts(struct path *p)
{
    while (unlikely(READ_ONCE(p->dentry->flags) & DENTRY_MOUNTED)) {
        struct mount *m = mount_at(p->mount, p->dentry);
        if (!m)
            return;
        p->mount = m;
        p->dentry = m->root;
    }
}

void walk_cross(struct path *p)
{
    for (;;) {
        struct path at = *p;
        section_enter();
        cross_mounts(&at);
        bool same = at.mount == p->mount && at.dentry == p->dentry;
        bool got = !same && ref_get_unless_zero(&at.mount->refs);
        if (got)
            dentry_get(at.dentry); /* a mount has a reference to its root */
        section_exit();
        if (same)
            return;
        if (got) {
            path_put(p);
            *p = at;
            return;
        }
    }
}

/* "..": up, out of a mounted file system if need be, but not beyond the root. => In a section. */
static void walk_up(struct walk *w)
{
    struct fs_context *fs = fs_current();
    struct path root = context_path(fs, &fs->root), at = w->cur;
    for (;;) {
        if (at.dentry == root.dentry && at.mount == root.mount)
            break;
        if (at.dentry != at.mount->root) {
            at.dentry = READ_ONCE(at.dentry->parent);
            break;
        }
        struct mount *parent = READ_ONCE(at.mount->parent);
        if (!parent)
            break;
        at.dentry = at.mount->mountpoint;
        at.mount = parent;
    }
    cross_mounts(&at);
    w->cur = at;
}

/* May this thread search w->cur? */
static int walk_search_allowed(struct walk *w)
{
    struct inode *dir = w->cur.dentry->inode;
    if (likely(inode_search_free(dir)))
        return 0;
    if (!dir->ops->permission)
        return inode_permission_generic(dir, MAY_EXEC);
    int err = walk_hold(w);
    if (err)
        return err;
    err = inode_permission(dir, MAY_EXEC);
    walk_resume(w);
    return err;
}

/*
 * Looks a name up that the cache cannot answer for. On success the section has been left, *@out has
 * a reference, @held has those of the directory.
 */
static int walk_lookup_slow(struct walk *w, const char *name, size_t len, u32 hash,
                            struct dentry **out)
{
    struct dentry *parent = w->cur.dentry;
    int err = walk_hold(w);
    if (err)
        return err;
    struct inode *dir = parent->inode;
    if (!dir->ops->revalidate) { /* another thread may just have brought it in */
        *out = dentry_find_get(parent, name, len, hash);
        if (*out)
            return 0;
    }
    READ_GUARD(&dir->lock);
    return dentry_lookup(parent, name, len, out);
}

/* What is left of the name becomes @target + @rest. @target (@len bytes) is not terminated. */
static int walk_replace_rest(struct walk *w, const char *target, size_t len, const char *rest)
{
    size_t rest_len = strlen(rest);
    char *buf = kmalloc(len + rest_len + 1, 0);
    if (!buf)
        return -ENOMEM;
    memcpy(buf, target, len);
    memcpy(buf + len, rest, rest_len + 1);
    kfree(w->buf);
    w->buf = buf;
    w->rest = buf;
    return 0;
}

/* Reads the link's target and splices it in. => Not in a section; @held is the link's directory. */
static int walk_read_link(struct walk *w, struct inode *inode, const char *rest)
{
    u64 size = inode_size(inode);
    if (size == 0 || size >= PATH_MAX)
        size = PATH_MAX - 1;
    char *target = kmalloc(size + 1, 0);
    if (!target)
        return -ENOMEM;
    ssize_t len = inode->ops->readlink ? inode->ops->readlink(inode, target, size) : -EINVAL;
    int err = len < 0 ? (int)len : len == 0 ? -ENOENT : 0;
    if (!err)
        err = walk_replace_rest(w, target, (size_t)len, rest);
    kfree(target);
    return err;
}

/* Goes through the link @d found in w->cur (held): sets @w->rest, and @held for a magic link;
 * walk_resume_behind() does the rest. *@absolute: what is left starts at the root. */
static int walk_follow(struct walk *w, struct dentry *d, const char *rest, bool *absolute)
{
    struct inode *inode = d->inode;
    *absolute = false;
    if (++w->links > MAX_LINKS)
        return -ELOOP;
    inode_touch_atime(inode, w->held.mount);
    if (!inode->ops->follow) {
        int err = walk_read_link(w, inode, rest);
        *absolute = !err && *w->rest == '/';
        return err;
    }
    struct path to;
    int err = inode->ops->follow(inode, &to.mount, &to.dentry);
    if (err)
        return err;
    path_put(&w->held);
    w->held = to;
    w->rest = rest;
    return 0;
}

/* Goes on behind a link that was followed: opens a section. */
static void walk_resume_behind(struct walk *w, bool absolute)
{
    walk_resume(w);
    w->cur = w->held;
    if (absolute) {
        struct fs_context *fs = fs_current();
        w->cur = context_path(fs, &fs->root);
    }
}

/* One component found outside the section: @d has a reference, which this consumes. */
static int walk_enter_slow(struct walk *w, struct dentry *d, const char *rest, bool follow)
{
    struct inode *inode = load_acquire(&d->inode);
    if (!inode) {
        dentry_put(d);
        return -ENOENT;
    }
    if (S_ISTYPE(inode, S_IFLNK) && follow) {
        bool absolute;
        int err = walk_follow(w, d, rest, &absolute);
        dentry_put(d);
        if (!err)
            walk_resume_behind(w, absolute);
        return err;
    }
    struct dentry *parent = w->held.dentry;
    w->held.dentry = d; /* the mount's reference stays */
    w->cur = w->held;
    dentry_put(parent);
    w->rest = rest;
    walk_resume(w);
    cross_mounts(&w->cur);
    return 0;
}

/* Steps to the child @name. @rest: what stands behind it. @follow: if it is a link, through it. */
static int walk_step(struct walk *w, const char *name, size_t len, u32 hash, const char *rest,
                     bool follow)
{
    struct dentry *parent = w->cur.dentry;
    struct dentry *d = NULL;
    if (likely(!parent->inode->ops->revalidate))
        d = dentry_find(parent, name, len, hash);
    if (likely(d)) {
        struct inode *inode = load_acquire(&d->inode);
        if (!inode)
            return -ENOENT;
        if (likely(!follow || !S_ISTYPE(inode, S_IFLNK))) {
            w->cur.dentry = d;
            cross_mounts(&w->cur);
            w->rest = rest;
            return 0;
        }
    }
    int err = walk_lookup_slow(w, name, len, hash, &d);
    return err ? err : walk_enter_slow(w, d, rest, follow);
}

/* @p, in what is left of the name, as a place in the name the caller gave (its tail is the same).
 */
static const char *in_given_name(const struct walk *w, const char *p)
{
    return w->buf && w->name ? w->name + strlen(w->name) - strlen(p) : p;
}

/* The walk proper. 0 with w->cur at the goal (in a section), RETRY, or an error. */
static int walk_run(struct walk *w, unsigned flags, struct walk_result *out)
{
    for (;;) {
        const char *p = w->rest;
        while (*p == '/')
            p++;
        if (!*p) { /* "/", or all consumed */
            out->last_slash = p != w->rest;
            out->last_special = true;
            out->last = p;
            out->last_len = 0;
            w->rest = p;
            return 0;
        }
        struct inode *dir = w->cur.dentry->inode;
        if (!S_ISTYPE(dir, S_IFDIR))
            return -ENOTDIR;
        int err = walk_search_allowed(w);
        if (err)
            return err;

        const char *name = p;
        u32 hash = name_hash_start(w->cur.dentry);
        for (; *p && *p != '/'; p++)
            hash = name_hash_step(hash, (u8)*p);
        size_t len = (size_t)(p - name);
        const char *end = p;
        while (*p == '/')
            p++;
        bool last = *p == '\0', slash = last && p != end;
        bool dot = name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
        if (len > NAME_MAX)
            return -ENAMETOOLONG;
        if (last && (flags & WALK_PARENT)) {
            out->last = in_given_name(w, name);
            out->last_len = len;
            out->last_slash = slash;
            out->last_special = dot;
            w->rest = end;
            return 0;
        }
        if (dot) {
            if (len == 2)
                walk_up(w);
            w->rest = end;
            continue;
        }
        bool follow = !last || slash || (flags & WALK_FOLLOW);
        if (follow && (flags & WALK_NO_SYMLINKS))
            follow = false;
        err = walk_step(w, name, len, name_hash_end(hash), end, follow);
        if (err)
            return err;
        if ((flags & WALK_NO_SYMLINKS) && S_ISTYPE(w->cur.dentry->inode, S_IFLNK) &&
            (!last || slash || (flags & WALK_FOLLOW)))
            return -ELOOP;
    }
}

/* One round from where @w stands: the goal is then held. 0, RETRY, or an error. */
static int walk_round(struct walk *w, unsigned flags, struct walk_result *out)
{
    int err = walk_run(w, flags, out);
    if (!err && ((flags & WALK_DIRECTORY) || (out->last_slash && !(flags & WALK_PARENT))) &&
        !S_ISTYPE(w->cur.dentry->inode, S_IFDIR))
        err = -ENOTDIR;
    if (!err)
        err = walk_hold(w);
    walk_leave(w);
    return err;
}

/* From the start, again and again until nobody pulls the rug away. */
static int walk_all(struct walk *w, unsigned flags, struct walk_result *out)
{
    int err;
    do {
        kfree(w->buf);
        w->buf = NULL;
        err = walk_start(w);
        if (!err)
            err = walk_round(w, flags, out);
        walk_leave(w);
    } while (unlikely(err == RETRY));
    return err;
}

static inline void walk_init(struct walk *w, const struct path *base, const char *name)
{
    w->name = name;
    w->buf = NULL;
    w->in_section = false;
    w->start = base ? *base : (struct path){NULL, NULL};
    w->held = (struct path){NULL, NULL};
}

int path_walk(const struct path *base, const char *name, unsigned flags, struct walk_result *out)
{
    struct walk w;
    walk_init(&w, base, name);
    int err = walk_all(&w, flags, out);
    if (!err)
        out->path = w.held;
    else if (w.held.dentry)
        walk_unhold(&w);
    if (unlikely(w.buf))
        kfree(w.buf);
    return err;
}

int path_lookup(const struct path *base, const char *name, unsigned flags, struct path *out)
{
    struct walk_result result;
    int err = path_walk(base, name, flags & ~WALK_PARENT, &result);
    if (!err)
        *out = result.path;
    return err;
}

int walk_parent(const struct path *base, const char *name, struct walk *w, struct walk_result *out)
{
    walk_init(w, base, name);
    int err = walk_all(w, WALK_PARENT, out);
    out->path = w->held;
    return err;
}

int walk_follow_last(struct walk *w, struct dentry *link, struct walk_result *out)
{
    bool absolute;
    int err = walk_follow(w, link, out->last_slash ? "/" : "", &absolute);
    w->name = NULL; /* names lie in w->buf from now on */
    if (!err) {
        walk_resume_behind(w, absolute);
        err = walk_round(w, WALK_PARENT, out);
    }
    walk_leave(w);
    out->path = w->held;
    return err == RETRY ? -ESTALE : err;
}
