/* Memory calls. */
#include <linux/capability.h>
#include <linux/mman.h>
#include <linux/resource.h>

#include "fs/cred.h"
#include "syscall/syscall_priv.h"

#define MMAP_FLAGS                                                                           \
    (MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_DENYWRITE | MAP_EXECUTABLE | \
     MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_FIXED_NOREPLACE)

static struct aspace *self_aspace(void)
{
    return thread_self()->aspace;
}

/* Checks a file against the mapping asked for; sets object and the greatest protection. */
static int mmap_file(struct map_request *req, struct file *f)
{
    bool shared = (req->flags & MAP_TYPE) != MAP_PRIVATE;
    if (!FILE_READABLE(f))
        return -EACCES;
    req->max_prot = PROT_R | PROT_W | PROT_X;
    if (shared && !FILE_WRITABLE(f)) {
        if (req->prot & PROT_W)
            return -EACCES;
        req->max_prot &= ~PROT_W;
    }
    if (f->path.mount && (f->path.mount->flags & 8)) { /* MS_NOEXEC */
        if (req->prot & PROT_X)
            return -EPERM;
        req->max_prot &= ~PROT_X;
    }
    if (req->offset + req->length < req->offset)
        return -EOVERFLOW;
    int r = file_mmap(f, req->offset + req->length, shared, &req->object);
    if (r == 0 && req->object && req->object->ops->file_get) /* not /dev/zero's memory */
        req->file = f;
    return r;
}

long sys_mmap(uvaddr_t addr, u64 len, unsigned prot, unsigned flags, int fd, u64 offset)
{
    struct map_request req = {
        .addr = addr, .length = len, .prot = prot, .flags = flags, .offset = offset};
    uvaddr_t at;
    int r;
    if ((prot & ~(PROT_R | PROT_W | PROT_X | PROT_GROWSDOWN)) || !IS_ALIGNED(offset, PAGE_SIZE) ||
        len == 0)
        return -EINVAL;
    if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE && (flags & ~MMAP_FLAGS))
        return -EOPNOTSUPP;
    req.prot &= PROT_R | PROT_W | PROT_X;
    if (flags & MAP_HUGETLB)
        return -ENOMEM; /* no huge-page pool, as on a Linux with an empty one */
    if (flags & MAP_ANONYMOUS) {
        req.offset = 0;
        r = aspace_map(self_aspace(), &req, &at);
        return r < 0 ? r : (long)at;
    }
    FD_GUARD(f, fd);
    if (!f.file)
        return -EBADF;
    r = mmap_file(&req, f.file);
    if (r == 0) {
        r = aspace_map(self_aspace(), &req, &at);
        if (req.object) /* none: private memory, as of /dev/zero */
            req.object->ops->put(req.object);
    }
    return r < 0 ? r : (long)at;
}

long sys_munmap(uvaddr_t addr, u64 len)
{
    return aspace_unmap(self_aspace(), addr, len);
}

long sys_mprotect(uvaddr_t addr, u64 len, unsigned prot)
{
    if (prot & ~(PROT_R | PROT_W | PROT_X))
        return -EINVAL;
    return aspace_protect(self_aspace(), addr, len, prot);
}

long sys_mremap(uvaddr_t old, u64 old_len, u64 new_len, unsigned flags, uvaddr_t new_addr)
{
    uvaddr_t at;
    int r = aspace_remap(self_aspace(), old, old_len, new_len, flags, new_addr, &at);
    return r < 0 ? r : (long)at;
}

long sys_brk(uvaddr_t brk)
{
    return aspace_brk(self_aspace(), brk, rlimit_current(RLIMIT_DATA));
}

long sys_msync(uvaddr_t addr, u64 len, unsigned flags)
{
    return aspace_sync(self_aspace(), addr, len, flags);
}

long sys_mincore(uvaddr_t addr, u64 len, uvaddr_t vec)
{
    return aspace_mincore(self_aspace(), addr, len, vec);
}

long sys_madvise(uvaddr_t addr, u64 len, int advice)
{
    return aspace_advise(self_aspace(), addr, len, advice);
}

long sys_mlock2(uvaddr_t addr, u64 len, unsigned flags)
{
    if (flags & ~1u) /* MLOCK_ONFAULT */
        return -EINVAL;
    u64 limit = capable(CAP_IPC_LOCK) ? ~0UL : rlimit_current(RLIMIT_MEMLOCK);
    return aspace_lock_range(self_aspace(), addr, len, true, limit);
}

long sys_mlock(uvaddr_t addr, u64 len)
{
    return sys_mlock2(addr, len, 0);
}

long sys_munlock(uvaddr_t addr, u64 len)
{
    return aspace_lock_range(self_aspace(), addr, len, false, ~0UL);
}
