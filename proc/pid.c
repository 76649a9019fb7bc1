/*
 * Numbers of threads, processes, groups and sessions.
 *
 * A bitmap says which numbers are taken: one page of it serves the default pid_max of 32768, more
 * pages come when pid_max is raised and they are needed. Numbers are given out upwards from the
 * last one and wrap to FIRST_AFTER_WRAP, so one just freed is not soon reused. A hash leads from
 * number to struct pid. Everything here is under process_tree_lock.
 */
#include "lib/bitmap.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "proc/proc_priv.h"

#define PID_MAX_LIMIT    4194304
#define PID_MAX_DEFAULT  32768
#define FIRST_AFTER_WRAP 300 /* low numbers stay with what boots first */
#define MAP_BITS         (PAGE_SIZE * 8)
#define HASH_SIZE        2048

static u64 *pid_maps[PID_MAX_LIMIT / MAP_BITS];
static struct pid *pid_hash[HASH_SIZE];
static s32 pid_max = PID_MAX_DEFAULT;
static s32 last_pid;
static struct kmem_cache *pid_cache;

static struct pid **hash_bucket(s32 nr)
{
    return &pid_hash[(u32)nr % HASH_SIZE];
}

struct pid *pid_find_locked(s32 nr)
{
    struct pid *pid = *hash_bucket(nr);
    while (pid && pid->nr != nr)
        pid = pid->hash_next;
    return pid;
}

struct pid *pid_next_locked(s32 nr)
{
    for (size_t at = (size_t)MAX(nr, 1); at < PID_MAX_LIMIT;) {
        u64 *map = pid_maps[at / MAP_BITS];
        size_t base = ALIGN_DOWN(at, MAP_BITS);
        size_t bit = map ? bitmap_find_set(map, MAP_BITS, at - base) : MAP_BITS;
        if (bit < MAP_BITS)
            return pid_find_locked((s32)(base + bit));
        at = base + MAP_BITS;
    }
    return NULL;
}

/*
 * A free number in [from, to); 0 when there is none, or -1 and *@missing when a page of the map has
 * to be supplied first.
 */
static s32 find_free(s32 from, s32 to, unsigned *missing)
{
    for (size_t at = (size_t)from; at < (size_t)to;) {
        size_t base = ALIGN_DOWN(at, MAP_BITS);
        if (!pid_maps[at / MAP_BITS]) {
            *missing = (unsigned)(at / MAP_BITS);
            return -1;
        }
        size_t end = MIN(MAP_BITS, (size_t)to - base);
        size_t bit = bitmap_find_clear(pid_maps[at / MAP_BITS], end, at - base);
        if (bit < end)
            return (s32)(base + bit);
        at = base + MAP_BITS;
    }
    return 0;
}

static s32 take_number(unsigned *missing)
{
    s32 nr = find_free(last_pid + 1, pid_max, missing);
    if (nr == 0)
        nr = find_free(MIN(FIRST_AFTER_WRAP, last_pid + 1), pid_max, missing);
    if (nr > 0) {
        bitmap_set(pid_maps[(size_t)nr / MAP_BITS], (size_t)nr % MAP_BITS);
        WRITE_ONCE(last_pid, nr);
    }
    return nr;
}

static bool supply_map(unsigned index)
{
    u64 *map = kzalloc(PAGE_SIZE, 0);
    if (!map)
        return false;
    {
        TREE_GUARD();
        if (!pid_maps[index]) {
            pid_maps[index] = map;
            map = NULL;
        }
    }
    kfree(map);
    return true;
}

int pid_alloc(u32 users, struct pid **out)
{
    struct pid *pid = kmem_cache_alloc(pid_cache, PA_ZERO);
    if (!pid)
        return -ENOMEM;
    list_init(&pid->group);
    pid->users = users;
    for (;;) {
        unsigned missing = 0;
        s32 nr;
        {
            TREE_GUARD();
            nr = take_number(&missing);
            if (nr > 0) {
                pid->nr = nr;
                pid->hash_next = *hash_bucket(nr);
                *hash_bucket(nr) = pid;
            }
        }
        if (nr > 0) {
            *out = pid;
            return 0;
        }
        if (nr == 0 || !supply_map(missing)) {
            kmem_cache_free(pid_cache, pid);
            return nr == 0 ? -EAGAIN : -ENOMEM;
        }
    }
}

void pid_put_locked(struct pid *pid, u32 users)
{
    debug_assert(pid->users >= users);
    pid->users -= users;
    if (pid->users)
        return;
    debug_assert(list_empty(&pid->group) && !pid->thread && !pid->process);
    struct pid **link = hash_bucket(pid->nr);
    while (*link != pid)
        link = &(*link)->hash_next;
    *link = pid->hash_next;
    bitmap_clear(pid_maps[(size_t)pid->nr / MAP_BITS], (size_t)pid->nr % MAP_BITS);
    kmem_cache_free(pid_cache, pid);
}

s32 process_pid_max(void)
{
    return READ_ONCE(pid_max);
}

int process_pid_max_set(s32 max)
{
    if (max <= FIRST_AFTER_WRAP || max > PID_MAX_LIMIT)
        return -EINVAL;
    TREE_GUARD();
    pid_max = max;
    return 0;
}

s32 process_last_pid(void)
{
    return READ_ONCE(last_pid);
}

void pid_init(void)
{
    pid_cache = kmem_cache_create("pid", sizeof(struct pid), 0);
}
