# Quire's build. `make` builds the release kernel and user programs; `make FLAVOUR=debug` the debug
# flavour (lock checker, verification, poisoning). `./quire` calls this; see README.md.

FLAVOUR ?= release
CROSS ?= riscv64-linux-gnu-
CC = $(CROSS)gcc
LD = $(CROSS)ld
OBJCOPY = $(CROSS)objcopy
NM = $(CROSS)nm
B = build/$(FLAVOUR)

# Folders of the kernel, lowest layer first. Every .c and .S in them is part of it.
DIRS = boot arch/riscv lib core mm dev fs fs/ext2 fs/tmpfs fs/procfs fs/devfs fs/pipe proc syscall

SRCS = $(wildcard $(addsuffix /*.c,$(DIRS)) $(addsuffix /*.S,$(DIRS)))
OBJS = $(patsubst %,$(B)/%.o,$(basename $(SRCS)))

UAPI = /usr/riscv64-linux-gnu/include
CPPFLAGS = -Iinclude -Iarch/riscv/include -I. -I$(B) -nostdinc \
	-isystem $(shell $(CC) -print-file-name=include) -idirafter $(UAPI) -D__KERNEL_QUIRE__
CFLAGS = -std=gnu17 -O2 -g -Wall -Wextra -Werror -Wno-sign-compare -Wno-unused-parameter \
	-ffreestanding -fno-builtin-printf -fno-common -fno-omit-frame-pointer \
	-fno-strict-aliasing -fno-delete-null-pointer-checks -fno-stack-protector -fno-pie \
	-fno-asynchronous-unwind-tables -march=rv64imac_zicsr_zifencei -mabi=lp64 -mcmodel=medany \
	-fno-tree-loop-distribute-patterns -Wframe-larger-than=2000
# Frames above 2 KiB: the compiler moves the stack pointer in two steps and may store below it in
# between, where an interrupt would write its frame. They would be too large anyway.
CFLAGS_debug = -DQUIRE_DEBUG
CFLAGS += $(CFLAGS_$(FLAVOUR))
LDFLAGS = -nostdlib -static --no-dynamic-linker -z noexecstack -z max-page-size=4096

.PHONY: all kernel
all: kernel
kernel: $(B)/quire.img

build/release/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -DQUIRE_DEBUG,$(CFLAGS)) -MMD -MP -c -o $@ $<
build/debug/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -DQUIRE_DEBUG,$(CFLAGS)) -DQUIRE_DEBUG -MMD -MP -c -o $@ $<
$(B)/%.o: %.S
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -D__ASSEMBLER__ -MMD -MP -c -o $@ $<

# The vDSO: a shared object for user mode, embedded into the kernel by arch/riscv/vdso_blob.S.
VDSO = arch/riscv/vdso
VDSO_CFLAGS = -std=gnu17 -O2 -Wall -Wextra -Werror -Wno-unused-parameter -ffreestanding -fPIC \
	-fno-stack-protector -fasynchronous-unwind-tables -march=rv64imac_zicsr -mabi=lp64
$(B)/vdso.so: $(VDSO)/vdso.c $(VDSO)/sigreturn.S $(VDSO)/vdso.ld include/arch/vdso.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(VDSO_CFLAGS) -shared -nostdlib -Wl,-T,$(VDSO)/vdso.ld -Wl,-soname,linux-vdso.so.1 \
		-Wl,--hash-style=both,--build-id=none,--eh-frame-hdr,-z,noexecstack,-z,norelro,--no-undefined \
		-Wl,-Bsymbolic,-s -o $@ $(VDSO)/vdso.c $(VDSO)/sigreturn.S
$(B)/arch/riscv/vdso_blob.o: $(B)/vdso.so
$(B)/arch/riscv/vdso_blob.o: CPPFLAGS += -DVDSO_FILE='"$(B)/vdso.so"'

# The kernel is linked twice: with an empty symbol table, then with the one made from the first
# result. The table lies behind the text, so it moves no function; the last line checks that.
KERNEL_LD = arch/riscv/kernel.ld
LINK = $(LD) $(LDFLAGS) -T $(KERNEL_LD)
KSYMS = $(NM) -n $(1) | awk -f tools/ksyms.awk
$(B)/ksyms0.o: tools/ksyms.awk
	@mkdir -p $(@D)
	awk -f tools/ksyms.awk /dev/null >$(B)/ksyms0.s
	$(CC) $(CFLAGS) -c -o $@ $(B)/ksyms0.s
$(B)/quire.elf: $(OBJS) $(B)/ksyms0.o $(KERNEL_LD) tools/ksyms.awk
	$(LINK) -o $(B)/quire0.elf $(OBJS) $(B)/ksyms0.o
	$(call KSYMS,$(B)/quire0.elf) >$(B)/ksyms.s
	$(CC) $(CFLAGS) -c -o $(B)/ksyms.o $(B)/ksyms.s
	$(LINK) -o $@ $(OBJS) $(B)/ksyms.o
	$(call KSYMS,$@) | cmp -s - $(B)/ksyms.s || { rm -f $@; echo "$@: functions moved" >&2; false; }
$(B)/quire.img: $(B)/quire.elf
	$(OBJCOPY) -O binary $< $@

# Programs for the guest: static Linux programs. user/NAME.c is one each, the files of user/NAME/ and
# those of bench/ are one together, bench/workloads/NAME.c and tests/guest/NAME.c (tests/guest/Makefile)
# are one each.
PROGRAM_CFLAGS = -std=gnu17 -O1 -g -Wall -Wextra -Werror -static -pthread -MMD -MP
USER = $(patsubst user/%.c,build/user/%,$(wildcard user/*.c)) build/user/vmstat
.PHONY: user bench workloads tests
user: $(USER)
build/user/%: user/%.c
	@mkdir -p $(@D)
	$(CC) $(PROGRAM_CFLAGS) -s -o $@ $<
build/user/vmstat: $(wildcard user/vmstat/*.c user/vmstat/*.h)
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(PROGRAM_CFLAGS)) -s -o $@ $(filter %.c,$^)
bench: build/bench/bench
build/bench/bench: $(wildcard bench/*.c bench/*.h)
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(PROGRAM_CFLAGS)) -s -o $@ $(filter %.c,$^)
workloads: $(patsubst bench/%.c,build/bench/%,$(wildcard bench/workloads/*.c))
build/bench/workloads/%: bench/workloads/%.c
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(PROGRAM_CFLAGS)) -s -o $@ $<
include tests/guest/Makefile

-include $(OBJS:.o=.d) $(patsubst user/%.c,build/user/%.d,$(wildcard user/*.c)) $(wildcard build/tests/guest/*.d)
