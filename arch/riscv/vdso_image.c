/* The kernel's side of the vDSO; see arch/vdso.h. */
#include "arch/mmu.h"
#include "arch/trapframe.h"
#include "arch/vdso.h"
#include "core/errno.h"
#include "core/spinlock.h"
#include "core/timer.h"
#include "lib/atomic.h"
#include "lib/string.h"

#include <linux/elf.h>

/* The place of the registers that vdso/sigreturn.S describes to unwinders. */
_Static_assert(offsetof(struct arch_sigframe, regs) == 304, "vdso/sigreturn.S: REGS");
_Static_assert(VDSO_SHIFT == TIME_SHIFT, "the vDSO computes what time_ns() does");

extern const u8 vdso_blob_start[], vdso_blob_end[];

static union {
    struct vdso_data data;
    u8 page[VDSO_DATA_SIZE];
} vdso_page __aligned(4096) __section(".data.page_aligned");

static u64 sigreturn_offset;

static DEFINE_LOCK_CLASS(vdso_lock_class, "vdso data");
static struct spinlock vdso_lock = SPINLOCK_INIT(vdso_lock_class);

/* The dynamic symbol @name of the object; NULL when it has none. */
static const Elf64_Sym *find_symbol(const char *name)
{
    const u8 *blob = vdso_blob_start;
    const Elf64_Ehdr *header = (const void *)blob;
    const Elf64_Sym *symbols = NULL;
    const char *strings = NULL;
    const u32 *hash = NULL; /* DT_HASH: buckets, chains; the number of chains is that of symbols */
    const Elf64_Phdr *segment = (const void *)(blob + header->e_phoff);
    for (unsigned i = 0; i < header->e_phnum; i++) {
        if (segment[i].p_type != PT_DYNAMIC)
            continue;
        const Elf64_Dyn *d = (const void *)(blob + segment[i].p_offset);
        for (; d->d_tag != DT_NULL; d++) {
            const void *at = blob + d->d_un.d_ptr;
            if (d->d_tag == DT_SYMTAB)
                symbols = at;
            else if (d->d_tag == DT_STRTAB)
                strings = at;
            else if (d->d_tag == DT_HASH)
                hash = at;
        }
    }
    if (!symbols || !strings || !hash)
        return NULL;
    for (u32 i = 0; i < hash[1]; i++)
        if (strcmp(strings + symbols[i].st_name, name) == 0)
            return &symbols[i];
    return NULL;
}

int vdso_init(u64 timebase_hz)
{
    const Elf64_Sym *symbol = find_symbol("__vdso_rt_sigreturn");
    if (!symbol || timebase_hz != time_hz())
        return -EINVAL;
    sigreturn_offset = symbol->st_value;
    vdso_page.data.mult = time_mult();
    vdso_set_wall_offset(time_wall_offset());
    return 0;
}

void vdso_set_wall_offset(u64 ns)
{
    struct vdso_data *data = &vdso_page.data;
    SPIN_GUARD_IRQ(&vdso_lock);
    WRITE_ONCE(data->seq, data->seq + 1);
    memory_barrier();
    WRITE_ONCE(data->wall_offset, ns);
    store_release(&data->seq, data->seq + 1);
}

paddr_t vdso_data_phys(void)
{
    return arch_virt_to_phys(&vdso_page);
}

paddr_t vdso_code_phys(void)
{
    return arch_virt_to_phys(vdso_blob_start);
}

u64 vdso_code_size(void)
{
    return (u64)(vdso_blob_end - vdso_blob_start);
}

u64 vdso_sigreturn_offset(void)
{
    return sigreturn_offset;
}
