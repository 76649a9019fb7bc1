/*
 * The random generator.
 *
 * Two parts. The *pool* collects: a sponge of 512 bits over the ChaCha20 permutation; 256 bits of
 * rate take input, 256 bits of capacity are never shown. The *generator* gives out: a supply of
 * ChaCha20 key stream whose first bytes are the key of the next supply (fast key erasure). What is
 * given out is erased in the supply, so it cannot be recomputed from a later state.
 *
 * Entropy comes from the firmware's seed, from a hardware generator (virtio-rng), and from the
 * times of interrupts, which first go through a small mix per CPU. Each is credited with the bits
 * it is believed to hold; times very carefully, because under an emulator they may be
 * deterministic. When 256 bits are in, the generator gets its key from the pool and is ready. From
 * then on a new seed is drawn when new entropy has come and RESEED_NS have passed. A machine
 * without any source is not left to wait for ever: random_wait_ready() then stirs in the jitter of
 * its own execution.
 *
 * Locks: one spinlock, interrupt-safe; answers longer than a key are computed outside it from a
 * key of their own. Sources: RFC 8439 (ChaCha20); D. J. Bernstein, "Fast-key-erasure random-number
 * generators" (2017).
 */
#include "dev/random.h"

#include "arch/cpu.h"
#include "core/cpu.h"
#include "core/errno.h"
#include "core/poll.h"
#include "core/waitq.h"
#include "dev_priv.h"
#include "lib/string.h"

#define KEY_WORDS      8
#define KEY_BYTES      (KEY_WORDS * sizeof(u32))
#define BLOCK_WORDS    16
#define BLOCK_BYTES    64
#define SUPPLY_BLOCKS  4
#define READY_BITS     256
#define RESEED_NS      (300 * NSEC_PER_SEC)
#define EVENTS_PER_BIT 64 /* interrupt times per credited bit */
#define JITTER_PER_BIT 16 /* samples of execution time per credited bit */

struct chacha {
    u32 key[KEY_WORDS];
    u64 counter;
};

/* Interrupt times of one CPU on their way into the pool. */
struct event_mix {
    u64 state[4];
    u32 count;
} __cacheline;

static DEFINE_LOCK_CLASS(random_class, "random");
static struct {
    struct spinlock lock;
    u32 pool[BLOCK_WORDS];
    unsigned bits; /* entropy since boot, up to READY_BITS */
    bool fresh;    /* entropy has come since the last seeding */
    bool ready;
    u64 seeded;                              /* time_ns() of the last seeding */
    u32 supply[SUPPLY_BLOCKS * BLOCK_WORDS]; /* the generator's key, then key stream */
    size_t left; /* bytes at the beginning of the stream that were not given out yet */
    void (*request)(void);
    struct waitq wait;
} rnd = {.lock = SPINLOCK_INIT(random_class), .wait = WAITQ_INIT(rnd.wait)};
static struct event_mix event_mixes[MAX_CPUS];

/* "expand 32-byte k" */
static const u32 chacha_constant[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

static inline u32 rotl(u32 x, unsigned n)
{
    return x << n | x >> (32 - n);
}

#define QUARTER(a, b, c, d)          \
    do {                             \
        a += b, d = rotl(d ^ a, 16); \
        c += d, b = rotl(b ^ c, 12); \
        a += b, d = rotl(d ^ a, 8);  \
        c += d, b = rotl(b ^ c, 7);  \
    } while (0)

/* The 20 rounds of ChaCha20 (RFC 8439, section 2.3). */
static void permute(u32 x[BLOCK_WORDS])
{
    for (unsigned i = 0; i < 10; i++) {
        QUARTER(x[0], x[4], x[8], x[12]);
        QUARTER(x[1], x[5], x[9], x[13]);
        QUARTER(x[2], x[6], x[10], x[14]);
        QUARTER(x[3], x[7], x[11], x[15]);
        QUARTER(x[0], x[5], x[10], x[15]);
        QUARTER(x[1], x[6], x[11], x[12]);
        QUARTER(x[2], x[7], x[8], x[13]);
        QUARTER(x[3], x[4], x[9], x[14]);
    }
}

/* The next block of the key stream; the nonce is zero, as every key is used once only. */
static void chacha_block(struct chacha *c, u32 out[BLOCK_WORDS])
{
    u32 in[BLOCK_WORDS];
    memcpy(in, chacha_constant, sizeof(chacha_constant));
    memcpy(in + 4, c->key, sizeof(c->key));
    in[12] = (u32)c->counter;
    in[13] = c->counter >> 32;
    in[14] = in[15] = 0;
    c->counter++;
    memcpy(out, in, sizeof(in));
    permute(out);
    for (unsigned i = 0; i < BLOCK_WORDS; i++)
        out[i] += in[i];
}

/* Clears secrets in a way the compiler keeps. */
static void wipe(void *p, size_t n)
{
    memset(p, 0, n);
    compiler_barrier();
}

/* Takes @n bytes into the sponge, a block of the rate at a time. => Locked. */
static void absorb(const void *data, size_t n)
{
    const u8 *s = data;
    u8 *rate = (u8 *)rnd.pool;
    while (n > 0) {
        size_t part = MIN(n, KEY_BYTES);
        for (size_t i = 0; i < part; i++)
            rate[i] ^= s[i];
        rnd.pool[KEY_WORDS] ^= part; /* lengths matter: "ab" + "c" differs from "a" + "bc" */
        permute(rnd.pool);
        s += part;
        n -= part;
    }
}

/* A new key for the generator from the pool and the old key. Afterwards the rate is cleared and the
 * pool permuted, so the key cannot be recomputed from it. => Locked. */
static void seed(void)
{
    absorb(rnd.supply, KEY_BYTES);
    memcpy(rnd.supply, rnd.pool, KEY_BYTES);
    rnd.left = 0;
    memset(rnd.pool, 0, KEY_BYTES);
    permute(rnd.pool);
    rnd.fresh = false;
    rnd.seeded = time_ns();
}

void random_add(const void *data, size_t n, unsigned bits)
{
    bool now_ready = false;
    {
        SPIN_GUARD_IRQ(&rnd.lock);
        absorb(data, n);
        u64 now = arch_time();
        absorb(&now, sizeof(now));
        rnd.bits = MIN(rnd.bits + bits, (unsigned)READY_BITS);
        rnd.fresh |= bits > 0;
        if (!rnd.ready && rnd.bits == READY_BITS) {
            seed();
            WRITE_ONCE(rnd.ready, true);
            now_ready = true;
        }
    }
    if (now_ready)
        waitq_wake_all(&rnd.wait);
}

void random_add_event(u32 source)
{
    preempt_disable();
    struct event_mix *m = &event_mixes[this_cpu()->id];
    unsigned i = m->count % ARRAY_SIZE(m->state);
    m->state[i] = hash_u64((m->state[i] ^ arch_time()) + source + m->state[(i + 1) % 4]);
    if (++m->count >= EVENTS_PER_BIT) {
        m->count = 0;
        random_add(m->state, sizeof(m->state), 1);
    }
    preempt_enable();
}

bool random_ready(void)
{
    return READ_ONCE(rnd.ready);
}

unsigned random_entropy_bits(void)
{
    return READ_ONCE(rnd.bits);
}

/* Stirs in the times that this very loop takes, until there is enough. */
static void stir_jitter(void)
{
    u64 samples[JITTER_PER_BIT];
    for (unsigned i = 0; i < JITTER_PER_BIT; i++) {
        thread_yield();
        samples[i] = arch_time();
    }
    random_add(samples, sizeof(samples), 1);
}

int random_wait_ready(void)
{
    while (!random_ready()) {
        if (rnd.request) {
            int r = wait_event_timeout(&rnd.wait, random_ready(), time_ns() + NSEC_PER_SEC);
            if (r != -ETIMEDOUT)
                return r;
        }
        if (signal_pending())
            return -EINTR;
        stir_jitter();
    }
    return 0;
}

/* The next supply; its first bytes replace the key it was made from. => Locked. */
static void refill(void)
{
    struct chacha c = {.counter = 0};
    memcpy(c.key, rnd.supply, KEY_BYTES);
    for (unsigned i = 0; i < SUPPLY_BLOCKS; i++)
        chacha_block(&c, rnd.supply + i * BLOCK_WORDS);
    wipe(&c, sizeof(c));
    rnd.left = sizeof(rnd.supply) - KEY_BYTES;
}

/* Gives out @n bytes, at most a key. */
static void take(void *buf, size_t n)
{
    void (*request)(void) = NULL;
    {
        SPIN_GUARD_IRQ(&rnd.lock);
        if (!rnd.ready || time_ns() - rnd.seeded > RESEED_NS) {
            if (rnd.ready)
                request = rnd.request;
            if (!rnd.ready || rnd.fresh)
                seed();
        }
        if (rnd.left < n)
            refill();
        rnd.left -= n;
        u8 *last = (u8 *)rnd.supply + KEY_BYTES + rnd.left;
        memcpy(buf, last, n);
        wipe(last, n);
    }
    if (request)
        request();
}

void random_bytes(void *buf, size_t n)
{
    struct chacha c = {.counter = 0};
    if (n <= sizeof(c.key)) {
        take(buf, n);
        return;
    }
    u32 block[BLOCK_WORDS];
    take(c.key, sizeof(c.key));
    for (u8 *p = buf; n > 0;) {
        size_t part = MIN(n, (size_t)BLOCK_BYTES);
        chacha_block(&c, block);
        memcpy(p, block, part);
        p += part;
        n -= part;
    }
    wipe(&c, sizeof(c));
    wipe(block, sizeof(block));
}

void random_poll_wait(struct poll_table *table)
{
    poll_wait(table, &rnd.wait);
}

void random_set_source(void (*request)(void))
{
    rnd.request = request;
    request();
}

void random_init(const struct fdt *fdt)
{
    u32 len;
    {
        SPIN_GUARD_IRQ(&rnd.lock);
        memcpy(rnd.pool + KEY_WORDS + 4, chacha_constant, sizeof(chacha_constant));
    }
    fdt_node chosen = fdt_find_path(fdt, "/chosen");
    const void *from_firmware = chosen < 0 ? NULL : fdt_prop(fdt, chosen, "rng-seed", &len);
    if (from_firmware)
        random_add(from_firmware, len, len * 8);
}
