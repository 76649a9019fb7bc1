/* Root, working directory and umask of a process. Paths are swapped under the lock and put after.
 */
#include "vfs_priv.h"

#include "mm/slab.h"

static DEFINE_LOCK_CLASS(context_class, "fs_context");

struct fs_context *fs_context_copy(struct fs_context *from)
{
    struct fs_context *ctx = kmalloc(sizeof(*ctx), 0);
    if (!ctx)
        return NULL;
    if (!from)
        from = &init_fs_context;
    ctx->refs = 1;
    spin_init(&ctx->lock, &context_class);
    SPIN_GUARD(&from->lock);
    ctx->root = from->root;
    ctx->cwd = from->cwd;
    ctx->umask = from->umask;
    path_get(&ctx->root);
    path_get(&ctx->cwd);
    return ctx;
}

void fs_context_put(struct fs_context *ctx)
{
    if (!ctx || atomic_sub(&ctx->refs, 1) > 0)
        return;
    path_put(&ctx->root);
    path_put(&ctx->cwd);
    kfree(ctx);
}

static void context_get(struct fs_context *ctx, bool root, struct path *out)
{
    if (!ctx)
        ctx = &init_fs_context;
    SPIN_GUARD(&ctx->lock);
    *out = root ? ctx->root : ctx->cwd;
    path_get(out);
}

static void context_set(struct fs_context *ctx, bool root, const struct path *path)
{
    if (!ctx)
        ctx = &init_fs_context;
    path_get(path);
    spin_lock(&ctx->lock);
    struct path *place = root ? &ctx->root : &ctx->cwd, old = *place;
    *place = *path;
    spin_unlock(&ctx->lock);
    path_put(&old);
}

void fs_context_get_root(struct fs_context *ctx, struct path *out)
{
    context_get(ctx, true, out);
}

void fs_context_get_cwd(struct fs_context *ctx, struct path *out)
{
    context_get(ctx, false, out);
}

void fs_context_set_root(struct fs_context *ctx, const struct path *path)
{
    context_set(ctx, true, path);
}

void fs_context_set_cwd(struct fs_context *ctx, const struct path *path)
{
    context_set(ctx, false, path);
}
