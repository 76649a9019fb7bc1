/* The memory of another process: process_vm_readv(2) and process_vm_writev(2). */
#include "mm/aspace.h"
#include "mm/slab.h"
#include "mm/usercopy.h"
#include "proc/proc_priv.h"

#define CHUNK (4 * PAGE_SIZE)

/* Moves up to @n bytes at @addr of @as through @buf. Returns how many. */
static size_t move_chunk(struct aspace *as, uvaddr_t addr, struct uio *local, void *buf, size_t n,
                         bool write)
{
    if (!write)
        return uio_write(local, buf, aspace_read(as, addr, buf, n));
    n = uio_read(local, buf, n);
    return aspace_write(as, addr, buf, n);
}

/* The aspace of the process with thread @pid, with a reference, if the caller may change it. */
static int aspace_to_change(s32 pid, struct aspace **out)
{
    struct process *p = process_find_thread_get(pid);
    if (!p)
        return -ESRCH;
    int r = process_may_attach(p) ? 0 : -EPERM;
    *out = process_aspace_get(p);
    process_put(p);
    if (!*out)
        return -ESRCH;
    if (r < 0)
        aspace_put(*out);
    return r;
}

ssize_t process_vm_transfer(s32 pid, struct uio *local, const struct uio_vec *remote,
                            unsigned count, bool write)
{
    struct aspace *as;
    int r = aspace_to_change(pid, &as);
    if (r < 0)
        return r;
    void *buf = kmalloc(CHUNK, 0);
    ssize_t done = 0;
    bool whole = buf;
    for (unsigned i = 0; whole && i < count; i++) {
        for (size_t at = 0, moved; whole && at < remote[i].len && local->resid; at += moved) {
            size_t n = MIN(MIN(CHUNK, remote[i].len - at), local->resid);
            moved = move_chunk(as, remote[i].base + at, local, buf, n, write);
            done += (ssize_t)moved;
            whole = moved == n && !signal_fatal_pending();
        }
    }
    kfree(buf);
    aspace_put(as);
    if (!buf)
        return -ENOMEM;
    return done || whole ? done : -EFAULT;
}
