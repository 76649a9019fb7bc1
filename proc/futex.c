/*
 * Futexes.
 *
 * A waiter hangs in the bucket its key hashes to, with a structure on its own stack. No user memory
 * is looked at under a bucket's lock (that may sleep); instead the waiter queues itself first and
 * reads the word afterwards. A waker changes the word first and looks at the queue afterwards. So
 * either the waiter sees the new value, or the waker sees the waiter: no wakeup is lost. When the
 * word has changed but a waker has already taken the waiter off, that counts as woken, so no
 * wakeup is swallowed either.
 *
 * FUTEX_CMP_REQUEUE compares before it takes the locks: a waiter that arrives in between with the
 * new value may be moved as well, which is what would have happened had it arrived earlier.
 *
 * Locks: one spinlock per bucket; two buckets in order of address.
 */
#include "proc/futex.h"

#include "core/sched.h"
#include "lib/string.h"
#include "mm/aspace.h"
#include "mm/usercopy.h"
#include "proc/proc_priv.h"

#include <linux/prctl.h>

#define BUCKETS         256
#define ROBUST_LIST_MAX 2048 /* entries walked at exit: ROBUST_LIST_LIMIT of linux/futex.h */

struct bucket {
    struct spinlock lock;
    struct list_node waiters;
} __cacheline;

struct futex_waiter {
    struct list_node link; /* bucket->lock; empty once woken */
    struct user_key key;   /* bucket->lock */
    struct bucket *bucket; /* changes with both buckets' locks held */
    struct thread *thread;
    u32 bitset;
    bool woken; /* set last by the waker: @this may be gone afterwards */
};

static DEFINE_LOCK_CLASS(futex_lock_class, "futex");
static struct bucket buckets[BUCKETS];

static struct bucket *bucket_of(const struct user_key *key)
{
    return &buckets[hash_u64((u64)key->space ^ key->offset * 31) % BUCKETS];
}

static bool key_equal(const struct user_key *a, const struct user_key *b)
{
    return a->space == b->space && a->offset == b->offset;
}

static int key_get(uvaddr_t addr, bool private, struct user_key *out)
{
    if (!IS_ALIGNED(addr, sizeof(u32)))
        return -EINVAL;
    if (addr >= USER_TOP)
        return -EFAULT;
    if (!private)
        return user_key_get(addr, out);
    *out = (struct user_key){thread_self()->aspace, addr};
    return 0;
}

static void enqueue(struct futex_waiter *w)
{
    w->bucket = bucket_of(&w->key);
    SPIN_GUARD(&w->bucket->lock);
    list_push_back(&w->bucket->waiters, &w->link);
}

/* Takes @w off its queue. Returns false when a waker was first. */
static bool dequeue(struct futex_waiter *w)
{
    for (;;) {
        struct bucket *b = READ_ONCE(w->bucket);
        SPIN_GUARD(&b->lock);
        if (b != READ_ONCE(w->bucket))
            continue; /* moved by a requeue */
        if (list_empty(&w->link))
            return false;
        list_remove(&w->link);
        return true;
    }
}

/* => w->bucket's lock. */
static void wake(struct futex_waiter *w)
{
    struct thread *thread = w->thread;
    list_remove(&w->link);
    /* The waiter leaves only through the bucket's lock, so it and its thread stay until then. */
    store_release(&w->woken, true);
    thread_wake(thread);
}

static long restart_wait(struct restart_block *block)
{
    return futex_wait(block->futex.addr, block->futex.private, block->futex.expected,
                      block->futex.bitset, block->futex.deadline, true);
}

/* Sleeps until woken. 0, -ETIMEDOUT, -EINTR. */
static int sleep_for_wake(struct futex_waiter *w, u64 deadline)
{
    for (;;) {
        thread_set_state(THREAD_SLEEPING_INTR);
        int r = 0;
        if (load_acquire(&w->woken))
            r = 1;
        else if (signal_pending())
            r = -EINTR;
        else if (!schedule_until(deadline))
            r = load_acquire(&w->woken) ? 1 : -ETIMEDOUT;
        if (r) {
            thread_set_state(THREAD_RUNNABLE);
            return MIN(r, 0);
        }
    }
}

int futex_wait(uvaddr_t addr, bool private, u32 expected, u32 bitset, u64 deadline, bool relative)
{
    struct futex_waiter w = {.thread = thread_self(), .bitset = bitset};
    if (!bitset)
        return -EINVAL;
    int r = key_get(addr, private, &w.key);
    if (r)
        return r;
    enqueue(&w);
    u32 value;
    memory_barrier();
    r = user_load_u32(addr, &value);
    if (r == 0 && value != expected)
        r = -EAGAIN;
    if (r == 0)
        r = sleep_for_wake(&w, deadline);
    if (!dequeue(&w))
        return 0;
    if (r != -EINTR)
        return r;
    if (!relative || deadline == TIME_NEVER)
        return -ERESTARTSYS;
    struct restart_block *block = &uthread_self()->restart;
    block->fn = restart_wait;
    block->futex.addr = addr;
    block->futex.private = private;
    block->futex.expected = expected;
    block->futex.bitset = bitset;
    block->futex.deadline = deadline;
    return -ERESTART_BLOCK;
}

/* Wakes up to @count waiters for @key. Their number. => b->lock. */
static u32 wake_locked(struct bucket *b, const struct user_key *key, u32 count, u32 bitset)
{
    u32 woken = 0;
    struct futex_waiter *w, *next;
    list_for_each_entry_safe (w, next, &b->waiters, link) {
        if (woken == count)
            break;
        if (key_equal(&w->key, key) && (w->bitset & bitset)) {
            wake(w);
            woken++;
        }
    }
    return woken;
}

int futex_wake(uvaddr_t addr, bool private, u32 count, u32 bitset)
{
    struct user_key key;
    if (!bitset)
        return -EINVAL;
    int r = key_get(addr, private, &key);
    if (r)
        return r;
    struct bucket *b = bucket_of(&key);
    memory_barrier(); /* the word changed before the queue is read */
    if (READ_ONCE(b->waiters.next) == &b->waiters)
        return 0;
    SPIN_GUARD(&b->lock);
    return (int)wake_locked(b, &key, count, bitset);
}

static void lock_both(struct bucket *a, struct bucket *b)
{
    spin_lock(a < b ? &a->lock : &b->lock);
    if (a != b)
        spin_lock_nested(a < b ? &b->lock : &a->lock, 1);
}

static void unlock_both(struct bucket *a, struct bucket *b)
{
    spin_unlock(&a->lock);
    if (a != b)
        spin_unlock(&b->lock);
}

/* Moves up to @count waiters from @key to @key2. Their number. => Both locks. */
static u32 move_locked(struct bucket *a, const struct user_key *key, struct bucket *b,
                       const struct user_key *key2, u32 count)
{
    u32 moved = 0;
    struct futex_waiter *w, *next;
    if (key_equal(key, key2))
        return 0;
    list_for_each_entry_safe (w, next, &a->waiters, link) {
        if (moved == count)
            break;
        if (!key_equal(&w->key, key))
            continue;
        list_remove(&w->link);
        w->key = *key2;
        WRITE_ONCE(w->bucket, b);
        list_push_back(&b->waiters, &w->link);
        moved++;
    }
    return moved;
}

int futex_requeue(uvaddr_t addr, uvaddr_t addr2, bool private, u32 wake, u32 move,
                  const u32 *expected)
{
    struct user_key key, key2;
    if ((s32)wake < 0 || (s32)move < 0)
        return -EINVAL;
    int r = key_get(addr, private, &key);
    if (r == 0)
        r = key_get(addr2, private, &key2);
    u32 value;
    if (r == 0 && expected && (r = user_load_u32(addr, &value)) == 0 && value != *expected)
        r = -EAGAIN;
    if (r)
        return r;
    struct bucket *a = bucket_of(&key), *b = bucket_of(&key2);
    lock_both(a, b);
    u32 woken = wake_locked(a, &key, wake, FUTEX_BITSET_MATCH_ANY);
    u32 moved = move_locked(a, &key, b, &key2, move);
    unlock_both(a, b);
    return (int)(woken + (expected ? moved : 0));
}

/* The two halves of FUTEX_WAKE_OP's operation word; see futex(2). 0, -ENOSYS. */
static int op_apply(u32 op, u32 old, u32 *new)
{
    u32 arg = (u32)((s32)(op << 8) >> 20);
    if (op >> 28 & FUTEX_OP_OPARG_SHIFT)
        arg = 1u << (arg & 31);
    switch (op >> 28 & 7) {
    case FUTEX_OP_SET:
        *new = arg;
        return 0;
    case FUTEX_OP_ADD:
        *new = old + arg;
        return 0;
    case FUTEX_OP_OR:
        *new = old | arg;
        return 0;
    case FUTEX_OP_ANDN:
        *new = old & ~arg;
        return 0;
    case FUTEX_OP_XOR:
        *new = old ^ arg;
        return 0;
    }
    return -ENOSYS;
}

static int op_compare(u32 op, u32 old, bool *holds)
{
    s32 value = (s32)old, arg = (s32)(op << 20) >> 20;
    switch (op >> 24 & 15) {
    case FUTEX_OP_CMP_EQ:
        *holds = value == arg;
        return 0;
    case FUTEX_OP_CMP_NE:
        *holds = value != arg;
        return 0;
    case FUTEX_OP_CMP_LT:
        *holds = value < arg;
        return 0;
    case FUTEX_OP_CMP_LE:
        *holds = value <= arg;
        return 0;
    case FUTEX_OP_CMP_GT:
        *holds = value > arg;
        return 0;
    case FUTEX_OP_CMP_GE:
        *holds = value >= arg;
        return 0;
    }
    return -ENOSYS;
}

/* Changes the word at @addr as @op says; *@holds: its comparison. */
static int op_execute(uvaddr_t addr, u32 op, bool *holds)
{
    u32 old, new, found;
    int r = op_compare(op, 0, holds);
    if (r == 0)
        r = user_load_u32(addr, &old);
    while (r == 0) {
        r = op_apply(op, old, &new);
        if (r == 0)
            r = user_cas_u32(addr, old, new, &found);
        if (r == 0 && found == old)
            return op_compare(op, old, holds);
        old = found;
    }
    return r;
}

int futex_wake_op(uvaddr_t addr, uvaddr_t addr2, bool private, u32 wake, u32 wake2, u32 op)
{
    bool holds;
    if (!IS_ALIGNED(addr, sizeof(u32)) || !IS_ALIGNED(addr2, sizeof(u32)))
        return -EINVAL;
    int r = op_execute(addr2, op, &holds);
    if (r)
        return r;
    int woken = futex_wake(addr, private, wake, FUTEX_BITSET_MATCH_ANY);
    if (woken < 0 || !holds)
        return woken;
    int more = futex_wake(addr2, private, wake2, FUTEX_BITSET_MATCH_ANY);
    return more < 0 ? more : woken + more;
}

/* The thread dies holding the mutex word at @addr: says so and wakes one waiter. */
static void robust_release(uvaddr_t addr, s32 tid)
{
    u32 value, found;
    if (!IS_ALIGNED(addr, sizeof(u32)) || user_load_u32(addr, &value) != 0)
        return;
    while ((value & FUTEX_TID_MASK) == (u32)tid) {
        u32 died = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        if (user_cas_u32(addr, value, died, &found) != 0)
            return;
        if (found == value) {
            if (value & FUTEX_WAITERS)
                futex_wake(addr, false, 1, FUTEX_BITSET_MATCH_ANY);
            return;
        }
        value = found;
    }
}

/* Bit 0 of a list pointer marks a priority-inheriting mutex, which user space cannot have made. */
static void robust_walk(uvaddr_t head, s32 tid)
{
    struct {
        u64 next;
        s64 offset;
        u64 pending;
    } list;
    if (copy_from_user(&list, head, sizeof(list)) != 0)
        return;
    uvaddr_t pending = list.pending & ~1UL, entry = list.next & ~1UL;
    for (unsigned i = 0; i < ROBUST_LIST_MAX && entry != head; i++) {
        u64 next;
        bool more = copy_from_user(&next, entry, sizeof(next)) == 0;
        if (entry != pending)
            robust_release(entry + (u64)list.offset, tid);
        if (!more)
            return;
        entry = next & ~1UL;
    }
    if (pending)
        robust_release(pending + (u64)list.offset, tid);
}

void futex_thread_exit(struct uthread *t)
{
    if (!t->thread.aspace)
        return;
    if (t->robust_list) {
        robust_walk(t->robust_list, t->tid);
        t->robust_list = 0;
    }
    uvaddr_t word = t->clear_child_tid;
    t->clear_child_tid = 0;
    /* Nobody can look at the word of the last user of an address space. */
    if (word && READ_ONCE(t->thread.aspace->refs) > 1 && PUT_USER(word, (u32)0) == 0)
        futex_wake(word, false, 1, FUTEX_BITSET_MATCH_ANY);
}

void futex_init(void)
{
    for (unsigned i = 0; i < BUCKETS; i++) {
        spin_init(&buckets[i].lock, &futex_lock_class);
        list_init(&buckets[i].waiters);
    }
}
