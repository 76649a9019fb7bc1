/* Parts of slab_init() that live in other files. */
#pragma once

void kmalloc_init(void);
void radix_node_init(void);
