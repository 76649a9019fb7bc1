/*
 * Load averages: the mean number of threads running or waiting for a CPU, decaying exponentially
 * over 1, 5 and 15 minutes, in steps of 5 s as usual.
 *
 * No timer takes the samples. The number of runnable threads changes only in the scheduler, which
 * comes here before the change when a step is due (load_catch_up()). The number it finds has held
 * since the last change, so it was the right sample for every step that passed meanwhile, and an
 * idle machine stays asleep. Sleeping threads do not count, unlike Linux's uninterruptible ones.
 */
#include "sched_priv.h"

#define LOAD_STEP (5 * NSEC_PER_SEC)
#define LOAD_ONE  65536UL

DEFINE_LOCK_CLASS(load_lock_class, "loadavg");
static struct spinlock load_lock = SPINLOCK_INIT(load_lock_class);

u64 load_next = LOAD_STEP; /* time_ns() of the next step; load_lock to write */

/* exp(-5 s / period) for 1, 5, 15 minutes, scaled by LOAD_ONE. */
static const u32 load_decay[3] = {60296, 64453, 65173};
static u64 loads[3]; /* scaled by LOAD_ONE; load_lock to write */
u64 sched_threads_started;

/* @base to the power of @n, scaled by LOAD_ONE. */
static u64 scaled_power(u64 base, u64 n)
{
    u64 result = LOAD_ONE;
    for (; n; n >>= 1) {
        if (n & 1)
            result = result * base / LOAD_ONE;
        base = base * base / LOAD_ONE;
    }
    return result;
}

static u64 count_runnable(void)
{
    u64 sum = 0;
    for_each_online_cpu (c)
        sum += READ_ONCE(c->rq->running);
    return sum;
}

void load_update(u64 now)
{
    if (!spin_trylock(&load_lock))
        return; /* another CPU is at it */
    if (now >= load_next) {
        u64 steps = (now - load_next) / LOAD_STEP + 1;
        u64 active = count_runnable() * LOAD_ONE;
        for (unsigned i = 0; i < ARRAY_SIZE(loads); i++) {
            u64 keep = scaled_power(load_decay[i], steps);
            u64 load = (loads[i] * keep + active * (LOAD_ONE - keep)) / LOAD_ONE;
            WRITE_ONCE(loads[i], load);
        }
        WRITE_ONCE(load_next, load_next + steps * LOAD_STEP);
    }
    spin_unlock(&load_lock);
}

static void count_thread(struct thread *t, void *arg)
{
    (*(u64 *)arg)++;
}

void sched_get_stats(struct sched_stats *out)
{
    irqflags_t flags = arch_irq_save();
    load_catch_up(time_ns());
    arch_irq_restore(flags);
    *out = (struct sched_stats){
        .runnable = count_runnable(),
        .forks = READ_ONCE(sched_threads_started),
        .load_1 = READ_ONCE(loads[0]),
        .load_5 = READ_ONCE(loads[1]),
        .load_15 = READ_ONCE(loads[2]),
    };
    for_each_online_cpu (c)
        out->context_switches += READ_ONCE(c->context_switches);
    thread_for_each(count_thread, &out->threads);
}
