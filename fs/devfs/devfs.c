/*
 * /dev. One instance (mounting it again shows the same), which is a tmpfs: nodes can be made,
 * removed, renamed as anywhere. It starts with a node for each registered device, the directories
 * pts and shm to mount on, and the links of fd(4).
 */
#include "fs/devfs.h"

#include "dev/block.h"
#include "dev/char.h"
#include "fs/tmpfs.h"
#include "lib/string.h"

#include <linux/stat.h>

/* Gives the just created @inode its final mode (no umask) and drops the creator's reference. */
static int finish(int err, struct inode *inode, u32 mode)
{
    if (err)
        return err;
    inode->mode = (inode->mode & S_IFMT) | mode;
    inode_put(inode);
    return 0;
}

static int add_node(struct inode *dir, const char *name, u32 mode, u64 rdev)
{
    struct inode *inode = NULL;
    int err = dir->ops->mknod(dir, name, strlen(name), mode, rdev, &inode);
    return finish(err, inode, mode & 07777);
}

static int add_directory(struct inode *dir, const char *name, u32 mode)
{
    struct inode *inode = NULL;
    int err = dir->ops->mkdir(dir, name, strlen(name), S_IFDIR | mode, &inode);
    return finish(err, inode, mode);
}

static int add_link(struct inode *dir, const char *name, const char *target)
{
    struct inode *inode = NULL;
    int err = dir->ops->symlink(dir, name, strlen(name), target, &inode);
    return finish(err, inode, 0777);
}

static int populate(struct inode *root)
{
    const struct char_device *cdev;
    const struct block_device *bdev;
    int err = 0;
    for (unsigned i = 0; !err && (cdev = char_at(i)); i++)
        err = add_node(root, cdev->name, S_IFCHR | cdev->mode, cdev->dev);
    for (unsigned i = 0; !err && (bdev = block_at(i)); i++)
        err = add_node(root, bdev->name, S_IFBLK | 0660, bdev->dev);
    static const char *const links[][2] = {{"fd", "/proc/self/fd"},
                                           {"stdin", "/proc/self/fd/0"},
                                           {"stdout", "/proc/self/fd/1"},
                                           {"stderr", "/proc/self/fd/2"}};
    for (unsigned i = 0; !err && i < ARRAY_SIZE(links); i++)
        err = add_link(root, links[i][0], links[i][1]);
    if (!err)
        err = add_directory(root, "pts", 0755);
    return err ? err : add_directory(root, "shm", 01777);
}

static int devfs_mount(struct super *sb, const char *data)
{
    int err = tmpfs_mount(sb, data);
    if (err)
        return err;
    sb->root_inode->mode = S_IFDIR | 0755;
    err = populate(sb->root_inode);
    if (err) {
        inode_put(sb->root_inode);
        sb->root_inode = NULL;
        sb->ops->unmount(sb);
    }
    return err;
}

static struct fs_type devfs_type = {.name = "devtmpfs", .single = true, .mount = devfs_mount};

void devfs_init(void)
{
    fs_type_register(&devfs_type);
}
