/*
 * Stash: a CPU's private stack of free things (pages, slab objects, kernel stacks) that other CPUs
 * may empty without a lock.
 *
 * The owner works with interrupts off, so nothing on its own CPU gets between. It alone changes
 * @top. Slots at @top and above are always NULL; the owner stores there and then moves @top. Both
 * the owner's pop and a thief take a thing by swapping NULL into its slot, so each thing has one
 * taker; a thief leaves a hole, which the owner's next pops step over. The owner pays one atomic
 * swap and no lock.
 */
#pragma once

#include "arch/cpu.h"
#include "core/cpu.h"
#include "lib/atomic.h"

struct stash {
    u32 top;   /* slots in use, holes included; owner */
    u32 limit; /* greatest @top; at most the number of slots */
};

/* Takes the thing put in last; NULL when empty. => Owner, interrupts off. */
static inline void *stash_pop(struct stash *s, void **slot)
{
    u32 top = s->top;
    while (likely(top > 0)) {
        void *thing = atomic_swap(&slot[--top], NULL);
        WRITE_ONCE(s->top, top);
        if (likely(thing))
            return thing;
    }
    return NULL;
}

/* Puts @thing in; false when full. => Owner, interrupts off. */
static inline bool stash_push(struct stash *s, void **slot, void *thing)
{
    u32 top = s->top;
    if (unlikely(top >= s->limit))
        return false;
    store_release(&slot[top], thing);
    WRITE_ONCE(s->top, top + 1);
    return true;
}

/* Takes one thing out of another CPU's stash, trying slots from *@at downwards; NULL at the end. */
static inline void *stash_steal(void **slot, u32 *at)
{
    while (*at > 0) {
        --*at;
        if (!READ_ONCE(slot[*at]))
            continue;
        void *thing = atomic_swap(&slot[*at], NULL);
        if (thing)
            return thing;
    }
    return NULL;
}

/* Number of things in it: exact while nobody moves. */
static inline u32 stash_count(void *const *slot, u32 slots)
{
    u32 n = 0;
    for (u32 i = 0; i < slots; i++)
        n += READ_ONCE(slot[i]) != NULL;
    return n;
}
