/* The built vDSO (Makefile) and its data page, as the kernel sees them. */
.section .vdso, "a"
.balign 4096
.globl vdso_blob_start, vdso_blob_end
vdso_blob_start:
    .incbin VDSO_FILE
.balign 4096
vdso_blob_end:
