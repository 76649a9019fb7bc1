/* Inside of writeback: what the page cache and page_lock.c tell it. */
#pragma once

#include "mm/object.h"

/* @o got its first dirty page / lost its last. => o->lock held. */
void writeback_object_dirty(struct vm_object *o);
void writeback_object_clean(struct vm_object *o);
/* A page became dirty: wakes the thread when there is enough to do. => Any context. */
void writeback_page_dirtied(void);
/* A page that began in @epoch has been written. => Any context. */
void writeback_page_done(unsigned epoch);
/* Pages under writeback. */
u64 writeback_pages(void);
/* Starts writing out dirty pages because memory is short. => Any context. */
void writeback_kick(void);
/* Waits until the writeback thread does not hold @o (which has no dirty pages). */
void writeback_forget(struct vm_object *o);
