/*
 * Control and status registers of supervisor mode: names, bits, access. RISC-V Privileged
 * Specification 1.12, chapter 4. Usable from assembly.
 */
#pragma once

/* sstatus */
#define SSTATUS_SIE      0x00000002
#define SSTATUS_SPIE     0x00000020
#define SSTATUS_SPP      0x00000100
#define SSTATUS_FS       0x00006000 /* state of the floating-point registers */
#define SSTATUS_FS_INIT  0x00002000
#define SSTATUS_FS_CLEAN 0x00004000
#define SSTATUS_FS_DIRTY 0x00006000
#define SSTATUS_UXL_64   0x200000000

/* sie, sip: bit numbers are the interrupt causes */
#define IRQ_SOFT  1
#define IRQ_TIMER 5
#define IRQ_EXT   9
#define SIE_SSIE  (1 << IRQ_SOFT)
#define SIE_STIE  (1 << IRQ_TIMER)
#define SIE_SEIE  (1 << IRQ_EXT)

/* scause */
#define CAUSE_INTERRUPT        0x8000000000000000
#define CAUSE_FETCH_MISALIGNED 0
#define CAUSE_FETCH_ACCESS     1
#define CAUSE_ILLEGAL          2
#define CAUSE_BREAKPOINT       3
#define CAUSE_LOAD_MISALIGNED  4
#define CAUSE_LOAD_ACCESS      5
#define CAUSE_STORE_MISALIGNED 6
#define CAUSE_STORE_ACCESS     7
#define CAUSE_ECALL_USER       8
#define CAUSE_FETCH_PAGE       12
#define CAUSE_LOAD_PAGE        13
#define CAUSE_STORE_PAGE       15

/* satp */
#define SATP_SV39       0x8000000000000000
#define SATP_ASID_SHIFT 44
#define SATP_ASID_MASK  0xffff
#define SATP_PPN_MASK   0xfffffffffff

/* scounteren */
#define SCOUNTEREN_TM 0x2 /* rdtime is allowed in user mode */
#define SCOUNTEREN_IR 0x4 /* and rdinstret */

/* CSRs that older assemblers do not know by name */
#define CSR_STIMECMP 0x14d

#ifndef __ASSEMBLER__

#define CSR_STR_(x) #x
#define CSR_STR(x)  CSR_STR_(x)

#define csr_read(csr)                                                        \
    ({                                                                       \
        unsigned long csr_v_;                                                \
        __asm__ volatile("csrr %0, " CSR_STR(csr) : "=r"(csr_v_)::"memory"); \
        csr_v_;                                                              \
    })
#define csr_write(csr, v) \
    __asm__ volatile("csrw " CSR_STR(csr) ", %0" ::"rK"((unsigned long)(v)) : "memory")
#define csr_set(csr, v) \
    __asm__ volatile("csrs " CSR_STR(csr) ", %0" ::"rK"((unsigned long)(v)) : "memory")
#define csr_clear(csr, v) \
    __asm__ volatile("csrc " CSR_STR(csr) ", %0" ::"rK"((unsigned long)(v)) : "memory")
#define csr_read_clear(csr, v)                            \
    ({                                                    \
        unsigned long csr_v_;                             \
        __asm__ volatile("csrrc %0, " CSR_STR(csr) ", %1" \
                         : "=r"(csr_v_)                   \
                         : "rK"((unsigned long)(v))       \
                         : "memory");                     \
        csr_v_;                                           \
    })

#endif
