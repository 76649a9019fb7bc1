/* Shared anonymous memory: an object without a name and without backing store. */
#include "core/errno.h"
#include "lib/string.h"
#include "mm/aspace.h"
#include "mm/slab.h"

#define ANON_DEV 1 /* device number 0:1, as for Linux's internal memory file system */

struct anon_object {
    struct vm_object object;
    s32 refs;  /* atomic */
    u64 pages; /* charged */
    u64 ino;   /* unique, for /proc/PID/maps */
};

static struct anon_object *anon_of(struct vm_object *o)
{
    return container_of(o, struct anon_object, object);
}

static void anon_get(struct vm_object *o)
{
    atomic_add_relaxed(&anon_of(o)->refs, 1);
}

static void anon_put(struct vm_object *o)
{
    struct anon_object *a = anon_of(o);
    if (atomic_sub(&a->refs, 1) > 0)
        return;
    object_fini(o);
    commit_uncharge(a->pages);
    kfree(a);
}

static int anon_punch(struct vm_object *o, u64 start, u64 end)
{
    object_punch(o, start, end);
    return 0;
}

static void anon_name(struct vm_object *o, struct file *f, char *buf, size_t size)
{
    str_copy(buf, "/dev/zero (deleted)", size);
}

static void anon_ident(struct vm_object *o, u64 *dev, u64 *ino)
{
    *dev = ANON_DEV;
    *ino = anon_of(o)->ino;
}

/* read_pages and write_pages are never called for an object without backing store, file_get and
 * file_put never without a file. */
static const struct vm_object_ops anon_ops = {
    .get = anon_get, .put = anon_put, .punch = anon_punch, .name = anon_name, .ident = anon_ident};

bool object_is_anonymous(const struct vm_object *o)
{
    return o->ops == &anon_ops;
}

int anon_object_create(u64 size, bool reserve, struct vm_object **out)
{
    static u64 last_ino;
    u64 pages = reserve ? DIV_UP(size, PAGE_SIZE) : 0;
    int r = commit_charge(pages);
    if (r)
        return r;
    struct anon_object *a = kzalloc(sizeof(*a), 0);
    if (!a) {
        commit_uncharge(pages);
        return -ENOMEM;
    }
    object_init(&a->object, &anon_ops, OBJECT_NO_WRITEBACK | (reserve ? OBJECT_CHARGED : 0));
    a->object.size = size;
    a->pages = pages;
    a->refs = 1;
    a->ino = atomic_add_relaxed(&last_ino, 1);
    *out = &a->object;
    return 0;
}
