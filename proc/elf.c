/*
 * ELF programs: what is mapped where (System V ABI, chapters 4 and 5; RISC-V ELF psABI).
 *
 * Nothing in a file is believed: every size and address is checked before it is used, a file that
 * contradicts itself is -ENOEXEC (an interpreter: -ELIBBAD). The image is mapped into an address
 * space nobody runs in yet, so that a failure costs nothing.
 */
#include <linux/elf-em.h>
#include <linux/elf.h>
#include <linux/mman.h>
#include <linux/mount.h>

#include "core/param.h"
#include "lib/string.h"
#include "mm/page.h"
#include "mm/slab.h"
#include "proc/exec_priv.h"

/* Where position-independent programs go, unless there is an address: two thirds up, as on Linux,
 * far from brk's and mmap's other users. */
#define PIE_BASE         PAGE_DOWN(USER_TOP / 3 * 2)
#define PROGRAM_MIN      0x1000UL /* below it nothing is ever mapped by a program file */
#define HEADERS_SIZE_MAX 65536UL  /* of the program header table, as on Linux */
#define INTERP_NAME_MAX  4096UL

static int vm_demand_exec = 1;
PARAM_NUMBER(vm_demand_exec, "vm.demand_exec", 0, 1, true,
             "0: execve reads and maps all of a program at once");

/* A file under inspection. */
struct elf_file {
    struct file *file;
    const struct file_head *head; /* NULL: not read yet */
    Elf64_Ehdr header;
    Elf64_Phdr *segments;
    u64 low, high; /* span of its PT_LOAD segments, page aligned */
};

bool elf_is(const u8 *head, size_t n)
{
    return n >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0;
}

static int read_exactly(const struct elf_file *e, void *buf, size_t n, u64 at)
{
    if (e->head && at <= e->head->size && n <= e->head->size - at) {
        memcpy(buf, e->head->bytes + at, n);
        return 0;
    }
    ssize_t r = file_read_kernel(e->file, buf, n, (loff_t)at);
    return r < 0 ? (int)r : (size_t)r == n ? 0 : -ENOEXEC;
}

static int check_header(const Elf64_Ehdr *h)
{
    bool ok = memcmp(h->e_ident, ELFMAG, SELFMAG) == 0 && h->e_ident[EI_CLASS] == ELFCLASS64 &&
              h->e_ident[EI_DATA] == ELFDATA2LSB && h->e_machine == EM_RISCV &&
              (h->e_type == ET_EXEC || h->e_type == ET_DYN) &&
              h->e_phentsize == sizeof(Elf64_Phdr) && h->e_phnum > 0 &&
              h->e_phnum * sizeof(Elf64_Phdr) <= HEADERS_SIZE_MAX && h->e_phoff < 1UL << 62;
    return ok ? 0 : -ENOEXEC;
}

/* One PT_LOAD, given the end of the one before. */
static bool segment_ok(const Elf64_Phdr *s, u64 file_size, u64 previous_end)
{
    return s->p_filesz <= s->p_memsz && s->p_memsz > 0 && s->p_vaddr < USER_TOP &&
           s->p_memsz < USER_TOP && s->p_vaddr + s->p_memsz < USER_TOP &&
           s->p_offset <= file_size && s->p_filesz <= file_size - s->p_offset &&
           (s->p_vaddr ^ s->p_offset) % PAGE_SIZE == 0 && PAGE_DOWN(s->p_vaddr) >= previous_end;
}

/* Checks all PT_LOADs and finds their span. */
static int check_segments(struct elf_file *e)
{
    u64 end = 0, size = inode_size(e->file->inode);
    bool any = false;
    for (unsigned i = 0; i < e->header.e_phnum; i++) {
        const Elf64_Phdr *s = &e->segments[i];
        if (s->p_type != PT_LOAD || s->p_memsz == 0)
            continue;
        if (!segment_ok(s, size, end))
            return -ENOEXEC;
        if (!any)
            e->low = PAGE_DOWN(s->p_vaddr);
        any = true;
        end = e->high = PAGE_UP(s->p_vaddr + s->p_memsz);
    }
    if (!any || (e->header.e_type == ET_EXEC && e->low < PROGRAM_MIN))
        return -ENOEXEC;
    return 0;
}

/* Reads and checks the headers of @file. On success the caller frees e->segments. */
static int elf_open(struct elf_file *e, struct file *file, const struct file_head *head)
{
    *e = (struct elf_file){.file = file, .head = head};
    int r = read_exactly(e, &e->header, sizeof(e->header), 0);
    if (r == 0)
        r = check_header(&e->header);
    if (r)
        return r;
    size_t size = e->header.e_phnum * sizeof(Elf64_Phdr);
    e->segments = kmalloc(size, 0);
    if (!e->segments)
        return -ENOMEM;
    r = read_exactly(e, e->segments, size, e->header.e_phoff);
    if (r == 0)
        r = check_segments(e);
    if (r)
        kfree(e->segments);
    return r;
}

static unsigned segment_prot(const Elf64_Phdr *s)
{
    return (s->p_flags & PF_R ? PROT_R : 0) | (s->p_flags & PF_W ? PROT_W : 0) |
           (s->p_flags & PF_X ? PROT_X : 0);
}

static int map_at(struct aspace *as, uvaddr_t start, u64 length, unsigned prot, struct file *file,
                  u64 offset)
{
    uvaddr_t at;
    struct map_request request = {
        .addr = start,
        .length = length,
        .prot = prot,
        .flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE | (vm_demand_exec ? 0 : MAP_POPULATE),
        .object = file ? &file->inode->object : NULL,
        .file = file,
        .offset = offset,
    };
    return aspace_map(as, &request, &at);
}

/* The part of the last file page behind the file's bytes reads as zero when memory goes on there.
 */
static int zero_tail(struct aspace *as, uvaddr_t from, unsigned prot)
{
    size_t n = PAGE_UP(from) - from;
    if (n == 0 || !(prot & PROT_W))
        return 0;
    return aspace_write(as, from, page_to_virt(zero_page), n) == n ? 0 : -ENOMEM;
}

static int map_segment(struct aspace *as, struct file *file, const Elf64_Phdr *s, u64 bias)
{
    uvaddr_t start = bias + s->p_vaddr, page = PAGE_DOWN(start);
    uvaddr_t file_end = start + s->p_filesz, end = PAGE_UP(start + s->p_memsz);
    uvaddr_t bss = s->p_filesz ? PAGE_UP(file_end) : page;
    unsigned prot = segment_prot(s);
    int r = 0;
    if (s->p_filesz)
        r = map_at(as, page, bss - page, prot, file, PAGE_DOWN(s->p_offset));
    if (r == 0 && bss < end)
        r = map_at(as, bss, end - bss, prot, NULL, 0);
    if (r == 0 && s->p_filesz && s->p_memsz > s->p_filesz)
        r = zero_tail(as, file_end, prot);
    return r;
}

static int map_segments(struct aspace *as, const struct elf_file *e, u64 bias)
{
    for (unsigned i = 0; i < e->header.e_phnum; i++) {
        const Elf64_Phdr *s = &e->segments[i];
        int r = s->p_type == PT_LOAD && s->p_memsz ? map_segment(as, e->file, s, bias) : 0;
        if (r)
            return r;
    }
    return 0;
}

/* Code, data and heap bounds, for /proc and brk(2). */
static void note_bounds(struct aspace *as, const struct elf_file *e, u64 bias)
{
    as->code_start = as->data_start = ~0UL;
    as->code_end = as->data_end = 0;
    for (unsigned i = 0; i < e->header.e_phnum; i++) {
        const Elf64_Phdr *s = &e->segments[i];
        uvaddr_t start = bias + s->p_vaddr, end = start + s->p_filesz;
        if (s->p_type != PT_LOAD || s->p_memsz == 0)
            continue;
        if (s->p_flags & PF_X) {
            as->code_start = MIN(as->code_start, start);
            as->code_end = MAX(as->code_end, end);
        } else {
            as->data_start = MIN(as->data_start, start);
            as->data_end = MAX(as->data_end, end);
        }
    }
    if (as->code_end == 0)
        as->code_start = 0;
    if (as->data_end == 0)
        as->data_start = 0;
    as->brk_start = as->brk = bias + e->high;
}

/* Address of the program headers in memory; 0 when no segment holds them. */
static uvaddr_t phdr_address(const struct elf_file *e, u64 bias)
{
    u64 at = e->header.e_phoff, size = e->header.e_phnum * sizeof(Elf64_Phdr);
    for (unsigned i = 0; i < e->header.e_phnum; i++) {
        const Elf64_Phdr *s = &e->segments[i];
        if (s->p_type == PT_LOAD && at >= s->p_offset && at - s->p_offset <= s->p_filesz &&
            size <= s->p_filesz - (at - s->p_offset))
            return bias + s->p_vaddr + (at - s->p_offset);
    }
    return 0;
}

/* Opens the interpreter that @e names; NULL in *@out when it names none. */
static int open_interpreter(const struct elf_file *e, struct file **out)
{
    const Elf64_Phdr *s = NULL;
    *out = NULL;
    for (unsigned i = 0; i < e->header.e_phnum && !s; i++)
        if (e->segments[i].p_type == PT_INTERP)
            s = &e->segments[i];
    if (!s)
        return 0;
    if (s->p_filesz < 2 || s->p_filesz > INTERP_NAME_MAX)
        return -ENOEXEC;
    char *name = kmalloc(s->p_filesz, 0);
    if (!name)
        return -ENOMEM;
    int r = s->p_offset > 1UL << 62 ? -ENOEXEC : read_exactly(e, name, s->p_filesz, s->p_offset);
    if (r == 0 && name[s->p_filesz - 1] != '\0')
        r = -ENOEXEC;
    struct path path;
    if (r == 0 && (r = path_lookup(NULL, name, WALK_FOLLOW, &path)) == 0) {
        r = exec_file_open(&path, out);
        path_put(&path);
    }
    kfree(name);
    return r;
}

/* Maps the interpreter where there is room. */
static int load_interpreter(struct aspace *as, struct file *file, struct elf_image *out)
{
    struct elf_file e;
    uvaddr_t at;
    int r = elf_open(&e, file, NULL);
    if (r)
        return r == -ENOEXEC ? -ELIBBAD : r;
    u64 bias = 0;
    if (e.header.e_type == ET_DYN) {
        r = vma_find_gap_down(&as->vmas, PROGRAM_MIN, as->mmap_top, e.high - e.low, &at);
        bias = at - e.low;
    } else if (!vma_range_free(&as->vmas, e.low, e.high)) {
        r = -ELIBBAD;
    }
    if (r == 0)
        r = map_segments(as, &e, bias);
    kfree(e.segments);
    out->interp_base = bias;
    out->entry = bias + e.header.e_entry;
    return r;
}

/* What is added to a program's addresses. @has_interp: a program, not an interpreter run by hand.
 * 0, -ENOMEM when it does not fit. */
static int choose_bias(struct aspace *as, const struct elf_file *e, bool has_interp, u64 *bias)
{
    uvaddr_t at = PIE_BASE;
    *bias = 0;
    if (e->header.e_type != ET_DYN)
        return e->high <= as->mmap_top ? 0 : -ENOMEM;
    /* An interpreter started directly keeps out of the way of the program it will load. */
    if (!has_interp || e->high - e->low > as->mmap_top - PIE_BASE) {
        int r = vma_find_gap_down(&as->vmas, PROGRAM_MIN, as->mmap_top, e->high - e->low, &at);
        if (r)
            return r;
    }
    *bias = at - e->low;
    return 0;
}

int elf_load(struct aspace *as, struct file *file, const struct file_head *head,
             struct elf_image *out)
{
    struct elf_file e;
    struct file *interp = NULL;
    u64 bias = 0;
    memset(out, 0, sizeof(*out));
    int r = elf_open(&e, file, head);
    if (r)
        return r;
    r = open_interpreter(&e, &interp);
    if (r == 0)
        r = choose_bias(as, &e, interp != NULL, &bias);
    if (r == 0)
        r = map_segments(as, &e, bias);
    if (r == 0) {
        note_bounds(as, &e, bias);
        out->entry = out->exec_entry = bias + e.header.e_entry;
        out->phdr = phdr_address(&e, bias);
        out->phnum = e.header.e_phnum;
        if (interp)
            r = load_interpreter(as, interp, out);
    }
    kfree(e.segments);
    if (interp)
        exec_file_close(interp);
    return r;
}
