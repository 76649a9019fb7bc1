/*
 * The first instructions of each hart. The MMU is off and everything runs at physical addresses
 * (PC-relative); the kernel is linked in the top 2 GiB. Switching over uses the trap vector: writing
 * satp makes the next fetch fault, because physical addresses are not mapped, and the trap lands at
 * the mapped address.
 */
#include <machine/csr.h>
#include <machine/offsets.h>

/* Image header (Linux, Documentation/riscv/boot-image-header): QEMU and U-Boot load by it. */
.section .head.text, "ax"
.globl image_start
image_start:
    .option push
    .option norvc
    j boot_start
    nop
    .option pop
    .quad 0x200000               /* offset from the start of RAM */
    .quad image_size             /* with bss (kernel.ld) */
    .quad 0                      /* flags: little endian */
    .word 2                      /* version 0.2 */
    .word 0
    .quad 0
    .ascii "RISCV\0\0\0"
    .ascii "RSC\x05"
    .word 0

/*
 * Goes on at the mapped address of the next instruction with satp = \satp. \tmp gets clobbered,
 * \shift: link address minus physical address.
 */
.macro ENTER_MAP satp, shift, tmp
    lla \tmp, 99f
    add \tmp, \tmp, \shift
    csrw stvec, \tmp
    sfence.vma
    csrw satp, \satp
    .balign 4
99: lla \tmp, boot_trap
    csrw stvec, \tmp
    sfence.vma
.endm

/* a0: hart id, a1: physical address of the devicetree */
boot_start:
    csrw sie, zero
    csrci sstatus, SSTATUS_SIE
    lla t0, boot_claimed
    li t1, 1
    amoswap.w t1, t1, (t0)
    bnez t1, stray_start
    mv s0, a0
    mv s1, a1
    rdtime s4

    lla t0, kernel_bss_start     /* multiple of 64; the end is a page boundary */
    lla t1, kernel_bss_end
1:  sd zero, 0(t0)
    sd zero, 8(t0)
    sd zero, 16(t0)
    sd zero, 24(t0)
    sd zero, 32(t0)
    sd zero, 40(t0)
    sd zero, 48(t0)
    sd zero, 56(t0)
    addi t0, t0, 64
    bltu t0, t1, 1b

    lla sp, boot_stack_top
    lla s2, image_start          /* where we are */
    ld s3, link_address
    sub s3, s3, s2               /* link address - physical address */
    mv a0, s2
    call early_map               /* returns satp */
    ENTER_MAP a0, s3, t0
    csrw sscratch, zero
    lla sp, boot_stack_top
    lla tp, boot_thread
    lla t0, image_phys_start
    sd s2, 0(t0)
    lla t0, boot_entry_ticks
    sd s4, 0(t0)
    mv a0, s0
    mv a1, s1
    li s0, 0                     /* end of the chain of frames */
    li ra, 0
    tail kmain

/*
 * A second hart at the boot entry. OpenSBI 1.1 marks a hart as started before it notes where; a hart
 * that looks in between comes here instead of to secondary_start, with the boot hart's arguments. It
 * waits until arch_cpu_start() has left word for it and goes where it was meant to go.
 */
stray_start:
    lla t0, hart_starting_id
    ld t1, 0(t0)
    bne t1, a0, stray_start
    fence r, rw
    lla t0, hart_starting_arg
    ld a1, 0(t0)

/* a0: hart id, a1: physical address of a struct hart_start */
.globl secondary_start
.balign 4
secondary_start:
    csrw sie, zero
    csrci sstatus, SSTATUS_SIE
    lla t0, image_start
    ld t1, link_address
    sub t1, t1, t0
    ld t2, HS_SATP(a1)
    ld tp, HS_THREAD(a1)
    ld sp, HS_SP(a1)
    ld t3, HS_ENTRY(a1)
    ENTER_MAP t2, t1, t0
    csrw sscratch, zero
    li s0, 0
    li ra, 0
    jr t3

/* A trap before arch_cpu_init(): nobody could hear about it. */
.balign 4
boot_trap:
    wfi
    j boot_trap

.balign 8
link_address:
    .quad image_start

/* Not in bss, which the boot hart clears. */
.section .data
.balign 8
.globl hart_starting_id, hart_starting_arg
hart_starting_id:
    .quad -1                     /* hart that arch_cpu_start() is starting */
hart_starting_arg:
    .quad 0                      /* its struct hart_start, physical */
boot_claimed:
    .word 0                      /* a hart has gone through boot_start */

/*
 * The boot hart's stack. Like every kernel stack it is the upper half of an aligned area; the lower
 * half is unmapped by arch_kernel_map() and its frames serve as that hart's emergency stack.
 */
.section .bss_page_aligned, "aw", @nobits
.balign 2 << KSTACK_BIT
.globl boot_stack_guard, boot_stack_base, boot_stack_top
boot_stack_guard:
    .space 1 << KSTACK_BIT
boot_stack_base:
    .space 1 << KSTACK_BIT
boot_stack_top:
