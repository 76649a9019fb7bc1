/* Inside of reclaim: what the page allocator and the page cache call. */
#pragma once

#include "mm/page.h"

/* Puts a cached page on the list of the newly seen / takes it off whichever list it is on. */
void lru_add(struct page *page);
void lru_remove(struct page *page);
/* read() or write() used the page: the first use is noted in ->age, a second one counts. */
static inline void lru_touch(struct page *page)
{
    if (page->age == 0)
        page->age = 1;
    else if (!page_flag(page, PG_REFERENCED))
        page_flag_set(page, PG_REFERENCED);
}
/* madvise: @page, of which the caller has a reference, becomes a candidate (MADV_COLD), or is
 * dropped if it is clean and not locked (MADV_PAGEOUT). */
void lru_deactivate(struct page *page);
void reclaim_page(struct page *page);
void pagedaemon_start(void);
/* Sleeps until the pagedaemon has made progress, at most until @deadline. */
void reclaim_wait(u64 deadline);
