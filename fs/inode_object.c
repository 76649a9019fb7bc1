/* The parts of struct vm_object_ops that are the same for the files of every file system. */
#include "vfs_priv.h"

#include "lib/string.h"

static struct inode *inode_of(struct vm_object *o)
{
    return container_of(o, struct inode, object);
}

void inode_object_get(struct vm_object *o)
{
    inode_ref(inode_of(o));
}

void inode_object_put(struct vm_object *o)
{
    inode_put(inode_of(o));
}

void inode_object_name(struct vm_object *o, struct file *f, char *buf, size_t size)
{
    int err;
    buf[0] = '\0';
    if (!f || !f->path.dentry)
        return;
    const char *name = path_name(&f->path, buf, size, &err);
    if (name)
        memmove(buf, name, strlen(name) + 1);
}

void inode_object_ident(struct vm_object *o, u64 *dev, u64 *ino)
{
    *dev = inode_of(o)->super->dev;
    *ino = inode_of(o)->ino;
}
