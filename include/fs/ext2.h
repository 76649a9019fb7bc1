/* The ext2 file system. */
#pragma once

/* Boot: registers the type "ext2" (revision 0 and 1, read and write, block sizes 1024 to 4096). */
void ext2_init(void);
