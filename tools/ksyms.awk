# Turns "nm -n" of the kernel into the assembly of its symbol table (include/core/ksyms.h).
# Only the functions between kernel_text_start and kernel_text_end; without input, an empty table.
# Addresses are written as differences that the assembler computes: awk need not know 64-bit numbers.

function low(address) { return "0x" substr(address, length(address) - 7) }

$3 == "kernel_text_end" { inside = 0 }
inside && $2 ~ /^[tTwW]$/ && $3 !~ /^[.$]/ && $1 != last {
    last = $1
    addr[n] = low($1)
    name[n++] = $3
}
$3 == "kernel_text_start" { inside = 1; base = low($1) }

BEGIN { n = 0 }
END {
    print ".section .rodata.ksyms, \"a\"\n.balign 8"
    print ".globl ksym_count, ksym_addrs, ksym_name_offsets, ksym_names"
    print "ksym_count: .word " n
    print "ksym_addrs:"
    for (i = 0; i < n; i++)
        print ".word " addr[i] " - " base
    print "ksym_name_offsets:"
    for (i = offset = 0; i < n; i++) {
        print ".word " offset
        offset += length(name[i]) + 1
    }
    print "ksym_names:"
    for (i = 0; i < n; i++)
        print ".asciz \"" name[i] "\""
}
