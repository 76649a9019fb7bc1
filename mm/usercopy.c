/*
 * User memory from inside the kernel.
 *
 * The kernel never dereferences a user address. Each copy looks the page up in the page table as
 * the hardware would, checks user permission, and copies through the direct map with the table's
 * lock held, so that the page can be neither unmapped nor cleaned under it. What is missing goes
 * through vm_fault() like an access from user mode. So no exception table is needed, and a page
 * fault in kernel mode is always a bug. (Toggling sstatus.SUM instead would also cost a full flush
 * of the software TLB on the reference machine.)
 *
 * The accessed and dirty bits, which the hardware would set, are set by hand.
 *
 * The aspace lock keeps tables from going away. A thread that is alone in its address space needs
 * no lock: only threads in it free tables, and only it could make another.
 */
#include "mm/usercopy.h"

#include "core/errno.h"
#include "lib/string.h"
#include "mm/mm_priv.h"

/*
 * Holds tables of @as in place; *@locked is for as_leave(). False: not possible without sleeping,
 * which who holds a page's lock may not do here: a fault waits for that lock with the aspace's
 * held.
 */
static bool as_enter(struct aspace *as, bool may_sleep, bool *locked)
{
    *locked = as != thread_self()->aspace || READ_ONCE(as->refs) > 1;
    if (likely(!*locked))
        return true;
    if (!may_sleep)
        return read_trylock(&as->lock);
    read_lock(&as->lock);
    return true;
}

static void as_leave(struct aspace *as, bool locked)
{
    if (locked)
        read_unlock(&as->lock);
}

/* Locks the entry for @va when it allows @access now, as an access would find it. */
static bool lock_accessible(struct aspace *as, uvaddr_t va, enum vm_access access,
                            struct pte_ref *ref)
{
    enum pmap_use use = access == VM_ACCESS_WRITE ? PMAP_CHANGE : PMAP_LOOK;
    if (va >= USER_TOP || pmap_lock(&as->pmap, va, use, ref))
        return false;
    pte_t pte = pte_read(ref->pte);
    if (!pte_allows(pte, access)) {
        pmap_unlock(ref);
        return false;
    }
    pte_t used = access == VM_ACCESS_WRITE ? pte_mkdirty(pte_mkyoung(pte)) : pte_mkyoung(pte);
    if (used.v != pte.v)
        pte_write(ref->pte, used);
    return true;
}

static void *entry_address(const struct pte_ref *ref, uvaddr_t va)
{
    return (char *)pfn_to_virt(pte_pfn(pte_read(ref->pte))) + (va & ~PAGE_MASK);
}

/* What is done with one piece of a user page at @mem. */
typedef void (*piece_fn)(void *mem, void *kernel, size_t n);

static void piece_read(void *mem, void *kernel, size_t n)
{
    memcpy(kernel, mem, n);
}

static void piece_write(void *mem, void *kernel, size_t n)
{
    memcpy(mem, kernel, n);
}

static void piece_zero(void *mem, void *kernel, size_t n)
{
    memset(mem, 0, n);
}

/* Runs @fn on the piece of a page at @va if that is possible without faulting. */
static bool try_piece(struct aspace *as, uvaddr_t va, enum vm_access access, piece_fn fn,
                      void *kernel, size_t n, bool may_sleep)
{
    struct pte_ref ref;
    bool locked;
    if (!as_enter(as, may_sleep, &locked))
        return false;
    bool ok = lock_accessible(as, va, access, &ref);
    if (ok) {
        fn(entry_address(&ref, va), kernel, n);
        pmap_unlock(&ref);
    }
    as_leave(as, locked);
    return ok;
}

/* The common loop. Returns bytes done; stops at the first page that is not accessible. */
static size_t copy_user(struct aspace *as, uvaddr_t va, enum vm_access access, piece_fn fn,
                        void *kernel, size_t n, bool may_fault)
{
    size_t done = 0;
    while (done < n) {
        size_t piece = MIN(n - done, PAGE_SIZE - ((va + done) & ~PAGE_MASK));
        while (!try_piece(as, va + done, access, fn, (char *)kernel + done, piece, may_fault))
            if (!may_fault || vm_fault(as, va + done, access) < 0)
                return done;
        done += piece;
    }
    return done;
}

/* The whole range lies in user space. */
static bool range_ok(uvaddr_t va, size_t n)
{
    return va <= USER_TOP && n <= USER_TOP - va;
}

static int copy_whole(uvaddr_t va, enum vm_access access, piece_fn fn, void *kernel, size_t n)
{
    struct aspace *as = thread_self()->aspace;
    if (unlikely(!range_ok(va, n) || !as))
        return n ? -EFAULT : 0;
    return copy_user(as, va, access, fn, kernel, n, true) == n ? 0 : -EFAULT;
}

int copy_from_user(void *dst, uvaddr_t src, size_t n)
{
    return copy_whole(src, VM_ACCESS_READ, piece_read, dst, n);
}

int copy_to_user(uvaddr_t dst, const void *src, size_t n)
{
    return copy_whole(dst, VM_ACCESS_WRITE, piece_write, (void *)src, n);
}

ssize_t copy_string_from_user(char *dst, uvaddr_t src, size_t size)
{
    struct aspace *as = thread_self()->aspace;
    size_t done = 0;
    while (done < size) {
        /* Short pieces: names are short, and what lies behind the string may not be there. */
        size_t piece = MIN(size - done, PAGE_SIZE - ((src + done) & ~PAGE_MASK));
        piece = MIN(piece, (size_t)64);
        if (!as ||
            copy_user(as, src + done, VM_ACCESS_READ, piece_read, dst + done, piece, true) != piece)
            return -EFAULT;
        char *end = memchr(dst + done, 0, piece);
        if (end)
            return end - dst;
        done += piece;
    }
    return -ENAMETOOLONG;
}

int fault_in_user(uvaddr_t addr, size_t n, bool write)
{
    struct aspace *as = thread_self()->aspace;
    enum vm_access access = write ? VM_ACCESS_WRITE : VM_ACCESS_READ;
    if (!range_ok(addr, n) || !as)
        return n ? -EFAULT : 0;
    for (uvaddr_t va = PAGE_DOWN(addr); va < addr + n; va += PAGE_SIZE) {
        struct pte_ref ref;
        bool locked;
        (void)as_enter(as, true, &locked);
        bool ok = lock_accessible(as, va, access, &ref);
        if (ok)
            pmap_unlock(&ref);
        as_leave(as, locked);
        if (!ok && vm_fault(as, va, access) < 0)
            return -EFAULT;
    }
    return 0;
}

size_t aspace_read(struct aspace *as, uvaddr_t src, void *dst, size_t n)
{
    if (!range_ok(src, n))
        return 0;
    return copy_user(as, src, VM_ACCESS_READ, piece_read, dst, n, true);
}

size_t aspace_write(struct aspace *as, uvaddr_t dst, const void *src, size_t n)
{
    if (!range_ok(dst, n))
        return 0;
    return copy_user(as, dst, VM_ACCESS_WRITE, piece_write, (void *)src, n, true);
}

/* ---- futex words ---- */

int user_load_u32(uvaddr_t addr, u32 *out)
{
    if (!IS_ALIGNED(addr, sizeof(u32)))
        return -EINVAL;
    return copy_from_user(out, addr, sizeof(*out));
}

struct cas_word {
    u32 expected, new, found;
};

static void piece_cas(void *mem, void *kernel, size_t n)
{
    struct cas_word *c = kernel;
    c->found = c->expected;
    atomic_cas((u32 *)mem, &c->found, c->new);
}

int user_cas_u32(uvaddr_t addr, u32 expected, u32 new, u32 *old)
{
    if (!IS_ALIGNED(addr, sizeof(u32)))
        return -EINVAL;
    struct cas_word c = {.expected = expected, .new = new};
    int r = copy_whole(addr, VM_ACCESS_WRITE, piece_cas, &c, sizeof(u32));
    *old = c.found;
    return r;
}

int user_key_get(uvaddr_t addr, struct user_key *out)
{
    struct aspace *as = thread_self()->aspace;
    READ_GUARD(&as->lock);
    struct vma *v = vma_find(&as->vmas, addr);
    if (!v)
        return -EFAULT;
    if (v->object && (v->flags & VMA_SHARED))
        *out = (struct user_key){v->object, v->offset + (addr - v->start)};
    else
        *out = (struct user_key){as, addr};
    return 0;
}

/* ---- uio ---- */

void uio_init_user(struct uio *u, struct uio_vec *one, uvaddr_t base, size_t len)
{
    *one = (struct uio_vec){base, len};
    *u = (struct uio){.vec = one, .count = 1, .resid = len};
}

void uio_init_kernel(struct uio *u, struct uio_vec *one, void *base, size_t len)
{
    *one = (struct uio_vec){(u64)base, len};
    *u = (struct uio){.vec = one, .count = 1, .resid = len, .kernel = true};
}

/* Drops the buffers at the front that are used up. */
static void uio_skip_empty(struct uio *u)
{
    while (u->count > 0 && u->vec->len == 0) {
        u->vec++;
        u->count--;
    }
}

static void uio_advance(struct uio *u, size_t n)
{
    u->vec->base += n;
    u->vec->len -= n;
    u->resid -= n;
}

static size_t uio_move(struct uio *u, enum vm_access access, piece_fn fn, void *kernel, size_t n,
                       bool may_fault)
{
    size_t done = 0;
    n = MIN(n, u->resid);
    while (done < n) {
        uio_skip_empty(u);
        size_t piece = MIN(n - done, u->vec->len), moved = piece;
        if (u->kernel)
            fn((void *)u->vec->base, (char *)kernel + done, piece);
        else if (range_ok(u->vec->base, piece))
            moved = copy_user(thread_self()->aspace, u->vec->base, access, fn,
                              (char *)kernel + done, piece, may_fault);
        else
            moved = 0;
        uio_advance(u, moved);
        done += moved;
        if (moved < piece)
            break;
    }
    return done;
}

size_t uio_write(struct uio *u, const void *src, size_t n)
{
    return uio_move(u, VM_ACCESS_WRITE, piece_write, (void *)src, n, true);
}

size_t uio_read(struct uio *u, void *dst, size_t n)
{
    return uio_move(u, VM_ACCESS_READ, piece_read, dst, n, true);
}

size_t uio_zero(struct uio *u, size_t n)
{
    return uio_move(u, VM_ACCESS_WRITE, piece_zero, NULL, n, true);
}

size_t uio_read_nofault(struct uio *u, void *dst, size_t n)
{
    return uio_move(u, VM_ACCESS_READ, piece_read, dst, n, false);
}

int uio_fault_in(struct uio *u, size_t n, bool write)
{
    if (u->kernel)
        return 0;
    uio_skip_empty(u);
    if (u->count == 0)
        return 0;
    return fault_in_user(u->vec->base, MIN(MIN(n, u->vec->len), PAGE_SIZE), write);
}
