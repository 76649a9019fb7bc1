/* The type "devtmpfs": a tmpfs that starts out with a node for each registered device. */
#pragma once

/* Boot: registers the type. Devices registered later than its first mount get no node. */
void devfs_init(void);
