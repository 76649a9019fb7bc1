/*
 * The lock-order checker of the debug build.
 *
 * Every lock has a class; (class, subclass) is a node. When a thread that holds locks begins to
 * wait for another one, an edge "held before wanted" is drawn for each of them. As long as the
 * edges have no cycle the locks cannot deadlock, whatever the timing; the first edge that would
 * close one is reported, with the call chain of each edge on the cycle from when it was first seen.
 * Two locks of the same node may not be held at once. A trylock waits for nothing, so it draws no
 * edges to itself, but locks wanted while it is held get edges from it.
 *
 * A class that is taken in an interrupt handler must never be taken with interrupts on.
 *
 * The locks a thread holds are a stack in struct thread, changed by the thread itself and by
 * interrupt handlers on top of it, which leave it as they found it. The edges are guarded by a lock
 * of our own that is not checked. The locks of a thread that panics stay listed for the
 * report.
 */
#ifdef QUIRE_DEBUG

#include "core/lockdep.h"

#include "core/errno.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/spinlock.h"
#include "core/upcall.h"
#include "lib/bitmap.h"
#include "lib/string.h"

#define MAX_CLASSES 128
#define MAX_NODES   (MAX_CLASSES * LOCK_SUBCLASSES)
#define MAX_HELD    48
#define MAX_EDGES   2048 /* edges whose call chain is kept; more are checked all the same */
#define MAX_CHAIN   10
#define NO_NODE     (~0u)

struct held_lock {
    const void *lock;
    struct lock_class *class;
    vaddr_t pc;
    u64 since; /* arch_time() of the acquisition; 0: still waiting */
    u8 subclass, kind;
};

struct lock_held {
    u32 depth;
    struct held_lock locks[MAX_HELD];
};

struct edge {
    u16 from, to;
    vaddr_t chain[MAX_CHAIN];
};

static struct lock_held boot_held; /* of the one thread that nobody made */

static u64 adjacency[MAX_NODES][BITMAP_WORDS(MAX_NODES)]; /* [from]: bits of "to" */
static struct edge edges[MAX_EDGES];
static u32 edge_count;
static u64 used_in_irq[BITMAP_WORDS(MAX_CLASSES)], used_irqs_on[BITMAP_WORDS(MAX_CLASSES)];
static vaddr_t irq_chain[MAX_CLASSES][MAX_CHAIN]; /* where the first of the two was seen */
static bool reporting;                            /* a violation is being printed; atomic */
static u32 graph_lock;                            /* 1: taken; guards all of the above */

extern struct lock_class lock_classes_start[];

/* In a panic, and while a report that ends in one is printed, nothing is checked. */
static bool checks_off(void)
{
    return READ_ONCE(panicking) || READ_ONCE(reporting);
}

static u32 class_id(const struct lock_class *class)
{
    u32 id = class - lock_classes_start;
    if (id >= MAX_CLASSES)
        panic("lockdep: more than %u lock classes, or a stray one at %p", MAX_CLASSES, class);
    return id;
}

static const struct lock_class *node_class(u32 node)
{
    return &lock_classes_start[node / LOCK_SUBCLASSES];
}

static struct lock_held *held_of(const struct thread *t)
{
    return t->held ? t->held : &boot_held;
}

static irqflags_t lock_graph(void)
{
    irqflags_t flags = arch_irq_save();
    while (__atomic_exchange_n(&graph_lock, 1, __ATOMIC_ACQUIRE))
        arch_relax();
    return flags;
}

static void unlock_graph(irqflags_t flags)
{
    store_release(&graph_lock, 0);
    arch_irq_restore(flags);
}

static void print_chain(const vaddr_t *chain)
{
    for (unsigned i = 0; i < MAX_CHAIN && chain[i]; i++)
        backtrace_print_pc(chain[i]);
}

static void print_edge(u32 from, u32 to)
{
    log_err("%s/%u, then %s/%u:", node_class(from)->name, from % LOCK_SUBCLASSES,
            node_class(to)->name, to % LOCK_SUBCLASSES);
    for (u32 i = 0; i < edge_count; i++)
        if (edges[i].from == from && edges[i].to == to)
            print_chain(edges[i].chain);
}

/* A path from @from to @to along edges? parent[] then leads from @to back. => Graph locked. */
static bool find_path(u32 from, u32 to, u16 *parent)
{
    static u16 queue[MAX_NODES];
    static u64 seen[BITMAP_WORDS(MAX_NODES)];
    u32 first = 0, last = 0;
    memset(seen, 0, sizeof(seen));
    queue[last++] = from;
    bitmap_set(seen, from);
    while (first < last) {
        u32 node = queue[first++];
        if (node == to)
            return true;
        const u64 *next = adjacency[node];
        for (size_t n = bitmap_find_set(next, MAX_NODES, 0); n < MAX_NODES;
             n = bitmap_find_set(next, MAX_NODES, n + 1)) {
            if (bitmap_test(seen, n))
                continue;
            bitmap_set(seen, n);
            parent[n] = node;
            queue[last++] = n;
        }
    }
    return false;
}

/* => Graph locked; the panic leaves it so. */
static void report_cycle(u32 from, u32 to, const u16 *parent) __noreturn;
static void report_cycle(u32 from, u32 to, const u16 *parent)
{
    WRITE_ONCE(reporting, true);
    log_err("lock order: %s/%u is held and %s/%u wanted; seen before, the other way round:",
            node_class(from)->name, from % LOCK_SUBCLASSES, node_class(to)->name,
            to % LOCK_SUBCLASSES);
    for (u32 node = from; node != to; node = parent[node])
        print_edge(parent[node], node);
    panic("lock order violated: %s, then %s", node_class(from)->name, node_class(to)->name);
}

static void draw_edge(u32 from, u32 to)
{
    static u16 parent[MAX_NODES];
    if (likely(bitmap_test(adjacency[from], to)))
        return;
    irqflags_t flags = lock_graph();
    if (!bitmap_test(adjacency[from], to)) {
        if (find_path(to, from, parent))
            report_cycle(from, to, parent);
        if (edge_count < MAX_EDGES) {
            struct edge *e = &edges[edge_count++];
            e->from = from;
            e->to = to;
            backtrace_here(e->chain, MAX_CHAIN);
        }
        bitmap_set(adjacency[from], to);
    }
    unlock_graph(flags);
}

static void check_irq_use(struct lock_class *class)
{
    u32 id = class_id(class);
    u64 *mine = NULL, *other = used_in_irq;
    if (this_cpu()->irq_depth > 0) {
        mine = used_in_irq;
        other = used_irqs_on;
    } else if (arch_irq_enabled()) {
        mine = used_irqs_on;
    }
    if (!mine || likely(bitmap_test(mine, id)))
        return;
    irqflags_t flags = lock_graph();
    if (bitmap_test(other, id)) {
        WRITE_ONCE(reporting, true);
        log_err("lock class %s was taken %s here:", class->name,
                other == used_in_irq ? "in an interrupt" : "with interrupts on");
        print_chain(irq_chain[id]);
        panic("lock class %s taken %s", class->name,
              mine == used_in_irq ? "in an interrupt" : "with interrupts on");
    }
    bitmap_set(mine, id);
    backtrace_here(irq_chain[id], MAX_CHAIN);
    unlock_graph(flags);
}

static u32 node_of(const struct held_lock *h)
{
    return class_id(h->class) * LOCK_SUBCLASSES + h->subclass;
}

static void check_order(const struct lock_held *held, const void *lock, struct lock_class *class,
                        unsigned subclass)
{
    u32 wanted = class_id(class) * LOCK_SUBCLASSES + subclass;
    for (u32 i = 0; i < held->depth; i++) {
        const struct held_lock *h = &held->locks[i];
        if (h->lock == lock)
            panic("lock %s at %p taken again by its holder, first at %#lx", class->name, lock,
                  (unsigned long)h->pc);
        if (node_of(h) == wanted)
            panic("two locks of class %s/%u: %p taken at %#lx, then %p", class->name, subclass,
                  h->lock, (unsigned long)h->pc, lock);
        draw_edge(node_of(h), wanted);
    }
}

static void push(struct lock_held *held, const void *lock, struct lock_class *class,
                 unsigned subclass, enum lock_kind kind, u64 since)
{
    vaddr_t chain[2] = {0};
    backtrace_here(chain, 2);
    irqflags_t flags = arch_irq_save();
    if (held->depth >= MAX_HELD)
        panic("more than %u locks held", MAX_HELD);
    held->locks[held->depth++] = (struct held_lock){.lock = lock,
                                                    .class = class,
                                                    .pc = chain[1],
                                                    .since = since,
                                                    .subclass = subclass,
                                                    .kind = kind};
    arch_irq_restore(flags);
}

void lockdep_acquire(const void *lock, struct lock_class *class, unsigned subclass,
                     enum lock_kind kind)
{
    if (checks_off())
        return;
    struct lock_held *held = held_of(thread_self());
    if (subclass >= LOCK_SUBCLASSES)
        panic("lock subclass %u of %s", subclass, class->name);
    if (kind == LOCK_SLEEP) {
        lockdep_check_sleep();
        if (!may_sleep() && thread_self() != &boot_thread)
            panic("sleeping lock %s taken in atomic context", class->name);
    } else {
        check_irq_use(class);
    }
    check_order(held, lock, class, subclass);
    push(held, lock, class, subclass, kind, 0);
}

void lockdep_tried(const void *lock, struct lock_class *class, enum lock_kind kind)
{
    if (checks_off())
        return;
    push(held_of(thread_self()), lock, class, 0, kind, arch_time());
}

void lockdep_acquired(const void *lock)
{
    struct lock_held *held = held_of(thread_self());
    if (!checks_off())
        held->locks[held->depth - 1].since = arch_time();
}

void lockdep_release(const void *lock)
{
    if (checks_off())
        return;
    struct lock_held *held = held_of(thread_self());
    irqflags_t flags = arch_irq_save();
    u32 i = held->depth;
    while (i > 0 && held->locks[i - 1].lock != lock)
        i--;
    if (i == 0)
        panic("lock %p released by thread %s, which does not hold it", lock, thread_self()->name);
    struct held_lock *h = &held->locks[i - 1];
    struct lock_stat *stat = &h->class->cpu[this_cpu()->id];
    u64 hold = h->since ? arch_time() - h->since : 0;
    if (hold > stat->max_hold)
        stat->max_hold = hold;
    held->depth--;
    memmove(h, h + 1, (held->depth - (i - 1)) * sizeof(*h));
    arch_irq_restore(flags);
}

void lockdep_check_sleep(void)
{
    const struct lock_held *held = held_of(thread_self());
    if (checks_off())
        return;
    for (u32 i = 0; i < held->depth; i++)
        if (held->locks[i].kind == LOCK_SPIN)
            panic("may sleep with spinlock %s held, taken at %#lx", held->locks[i].class->name,
                  (unsigned long)held->locks[i].pc);
}

int lockdep_thread_init(struct thread *t)
{
    t->held = kmalloc(sizeof(*t->held), 0);
    if (!t->held)
        return -ENOMEM;
    t->held->depth = 0;
    return 0;
}

void lockdep_thread_fini(struct thread *t)
{
    kfree(t->held);
    t->held = NULL;
}

void lockdep_print_held(const struct thread *t)
{
    const struct lock_held *held = held_of(t);
    for (u32 i = 0; i < held->depth && i < MAX_HELD; i++) {
        log_err("  holds %s/%u at %p, taken at:", held->locks[i].class->name,
                held->locks[i].subclass, held->locks[i].lock);
        backtrace_print_pc(held->locks[i].pc);
    }
}

#endif
