/* Memory calls. */
#include <linux/memfd.h>
#include <linux/mman.h>
#include <linux/resource.h>

#include "arch/cpu.h"
#include "fs/tmpfs.h"
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
    if (shared && (READ_ONCE(f->inode->seals) & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))) {
        if (req->prot & PROT_W)
            return -EPERM;
        req->max_prot &= ~PROT_W;
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
    if (!IS_ALIGNED(offset, PAGE_SIZE) || len == 0)
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
    if (prot & ~(PROT_R | PROT_W | PROT_X | PROT_SEM | PROT_GROWSDOWN))
        return -EINVAL;
    return aspace_protect(self_aspace(), addr, len, prot);
}

long sys_mremap(uvaddr_t old, u64 old_len, u64 new_len, unsigned flags, uvaddr_t new_addr)
{
    uvaddr_t at;
    int r = aspace_remap(self_aspace(), old, old_len, new_len, flags, new_addr, &at);
    return r < 0 ? r : (long)at;
}

/* <linux/memfd.h>, Linux 6.3 */
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC        16u
#define MFD_FLAGS       (MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC)

long sys_memfd_create(uvaddr_t addr, unsigned flags)
{
    char name[MEMFD_NAME_MAX + 1];
    struct file *file;
    if ((flags & ~MFD_FLAGS) ||
        (flags & (MFD_NOEXEC_SEAL | MFD_EXEC)) == (MFD_NOEXEC_SEAL | MFD_EXEC))
        return -EINVAL;
    ssize_t n = copy_string_from_user(name, addr, sizeof(name));
    if (n < 0)
        return n == -EFAULT ? n : -EINVAL;
    int r = memfd_create(name, flags, &file);
    return r < 0 ? r : fd_open(file, flags & MFD_CLOEXEC ? O_CLOEXEC : 0);
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
    if (flags & ~MLOCK_ONFAULT)
        return -EINVAL;
    return aspace_lock(self_aspace(), addr, len, flags ? VMA_LOCK_FLAGS : VMA_LOCKED);
}

long sys_mlock(uvaddr_t addr, u64 len)
{
    return sys_mlock2(addr, len, 0);
}

long sys_munlock(uvaddr_t addr, u64 len)
{
    return aspace_lock(self_aspace(), addr, len, 0);
}

/* The two transfers; @local is the caller's. */
static long process_vm(s32 pid, uvaddr_t local, u64 local_count, uvaddr_t remote, u64 remote_count,
                       u64 flags, bool write)
{
    if (flags)
        return -EINVAL;
    USER_IOV(l, local, local_count);
    if (l_error || l.uio.resid == 0)
        return l_error;
    USER_IOV(r, remote, remote_count);
    if (r_error || r.uio.resid == 0)
        return r_error;
    return process_vm_transfer(pid, &l.uio, r.vec, r.uio.count, write);
}

long sys_process_vm_readv(s32 pid, uvaddr_t local, u64 local_count, uvaddr_t remote,
                          u64 remote_count, u64 flags)
{
    return process_vm(pid, local, local_count, remote, remote_count, flags, false);
}

long sys_process_vm_writev(s32 pid, uvaddr_t local, u64 local_count, uvaddr_t remote,
                           u64 remote_count, u64 flags)
{
    return process_vm(pid, local, local_count, remote, remote_count, flags, true);
}

/* riscv_flush_icache(2): all harts at once, so the range and whose harts these are do not matter.
 */
long sys_riscv_flush_icache(uvaddr_t start, uvaddr_t end, u64 flags)
{
    if (flags & ~1UL) /* SYS_RISCV_FLUSH_ICACHE_LOCAL */
        return -EINVAL;
    preempt_disable();
    arch_icache_sync_all();
    preempt_enable();
    return 0;
}

long sys_mlockall(unsigned flags)
{
    if (flags == 0 || flags == MCL_ONFAULT ||
        (flags & ~(unsigned)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)))
        return -EINVAL;
    u32 lock = flags & MCL_ONFAULT ? VMA_LOCK_FLAGS : VMA_LOCKED;
    return aspace_lock_all(self_aspace(), flags & MCL_CURRENT, lock, flags & MCL_FUTURE ? lock : 0);
}

long sys_munlockall(void)
{
    return aspace_lock_all(self_aspace(), true, 0, 0);
}
