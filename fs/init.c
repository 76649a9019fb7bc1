/* Start of the file layer. */
#include "vfs_priv.h"

#include "fs/buf.h"
#include "fs/devfs.h"
#include "fs/ext2.h"
#include "fs/pipe.h"
#include "fs/procfs.h"
#include "fs/tmpfs.h"

void fs_init(void)
{
    dcache_init();
    inode_cache_init();
    file_init();
    buf_init();
    pipe_init();
    tmpfs_init();
    devfs_init();
    ext2_init();
    procfs_init();
    flusher_init();
}
