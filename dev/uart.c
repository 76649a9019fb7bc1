/*
 * Serial line: 16550 (National Semiconductor PC16550D data sheet), the console.
 *
 * Output: the tty puts bytes into a queue, from which the transmitter is fed as long as it is
 * ready; what is left is sent by the transmitter-empty interrupt. Kernel messages are sent polled,
 * behind what is queued, so that they appear in order. In a panic neither lock nor queue is used.
 * Input: the receive interrupt hands bytes to the tty. What the tty cannot take is kept, and the
 * receive interrupt stays off until the tty asks again: nothing is lost, the sender is held up.
 *
 * Locks: ->lock guards registers and queues and is innermost (the tty calls in with its own held);
 * it is never held while calling the tty.
 */
#include "arch/cpu.h"
#include "arch/io.h"
#include "arch/mmu.h"
#include "core/errno.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/panic.h"
#include "dev/devno.h"
#include "dev/random.h"
#include "dev/tty.h"
#include "dev_priv.h"
#include "lib/string.h"

#define UART_RBR 0 /* read: received byte */
#define UART_THR 0 /* write: byte to send */
#define UART_IER 1
#define UART_IIR 2 /* read */
#define UART_FCR 2 /* write */
#define UART_MCR 4
#define UART_LSR 5

#define IER_RX   0x01
#define IER_TX   0x02
#define FCR_FIFO 0x01
#define MCR_DTR  0x01
#define MCR_RTS  0x02
#define MCR_OUT2 0x08 /* lets interrupts out on PCs */
#define LSR_DATA 0x01
#define LSR_BRK  0x10
#define LSR_THRE 0x20 /* the transmit FIFO is empty */
#define LSR_TEMT 0x40 /* and the shift register too */

#define FIFO_BYTES  16
#define TX_BYTES    4096 /* power of two */
#define RX_BATCH    64
#define POLL_SPINS  1000000 /* a dead line does not hang the kernel */
#define TTYS0_MINOR 64

static struct uart {
    volatile u8 *regs;
    unsigned shift; /* register number to offset */
    bool wide;      /* registers are 32 bits wide */
    struct spinlock lock;
    u8 ier;
    bool stopped; /* ^S */
    u8 tx[TX_BYTES];
    u32 tx_head, tx_tail; /* free running */
    u8 held[RX_BATCH];    /* received, not yet taken by the tty */
    unsigned held_count;
    bool receiving;   /* someone feeds the tty: keeps the order of bytes */
    bool input_again; /* the tty made room while it was being fed */
    struct tty *tty;
} uart;

static DEFINE_LOCK_CLASS(uart_class, "uart");

static u8 reg_read(unsigned reg)
{
    volatile u8 *at = uart.regs + ((size_t)reg << uart.shift);
    return uart.wide ? (u8)mmio_read32(at) : mmio_read8(at);
}

static void reg_write(unsigned reg, u8 v)
{
    volatile u8 *at = uart.regs + ((size_t)reg << uart.shift);
    if (uart.wide)
        mmio_write32(at, v);
    else
        mmio_write8(at, v);
}

static void set_ier(u8 ier)
{
    if (ier != uart.ier) {
        uart.ier = ier;
        reg_write(UART_IER, ier);
    }
}

static void put_polled(u8 c)
{
    for (unsigned i = 0; i < POLL_SPINS && !(reg_read(UART_LSR) & LSR_THRE); i++)
        arch_relax();
    reg_write(UART_THR, c);
}

/* Feeds the transmitter while it is ready. => Locked. */
static void feed(void)
{
    while (uart.tx_head != uart.tx_tail && !uart.stopped && reg_read(UART_LSR) & LSR_THRE)
        for (unsigned i = 0; i < FIFO_BYTES && uart.tx_head != uart.tx_tail; i++)
            reg_write(UART_THR, uart.tx[uart.tx_tail++ % TX_BYTES]);
    bool more = uart.tx_head != uart.tx_tail && !uart.stopped;
    set_ier(more ? uart.ier | IER_TX : uart.ier & ~IER_TX);
}

/* Kernel messages. Lines end in CR LF, whatever the tty's modes. */
static void console_write(const char *s, size_t n)
{
    bool lock = !panicking;
    irqflags_t flags = 0;
    if (lock) {
        flags = spin_lock_irq(&uart.lock);
        while (uart.tx_head != uart.tx_tail)
            put_polled(uart.tx[uart.tx_tail++ % TX_BYTES]);
    }
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\n')
            put_polled('\r');
        put_polled(s[i]);
    }
    if (lock)
        spin_unlock_irq(&uart.lock, flags);
}

void uart_drain(void)
{
    if (!uart.regs)
        return;
    irqflags_t flags = spin_lock_irq(&uart.lock);
    while (uart.tx_head != uart.tx_tail)
        put_polled(uart.tx[uart.tx_tail++ % TX_BYTES]);
    for (unsigned i = 0; i < POLL_SPINS && !(reg_read(UART_LSR) & LSR_TEMT); i++)
        arch_relax();
    spin_unlock_irq(&uart.lock, flags);
}

static size_t uart_room(struct tty *tty)
{
    SPIN_GUARD_IRQ(&uart.lock);
    return TX_BYTES - (uart.tx_head - uart.tx_tail);
}

static void uart_write(struct tty *tty, const u8 *s, size_t n)
{
    SPIN_GUARD_IRQ(&uart.lock);
    debug_assert(n <= TX_BYTES - (uart.tx_head - uart.tx_tail));
    for (size_t i = 0; i < n; i++)
        uart.tx[uart.tx_head++ % TX_BYTES] = s[i];
    feed();
}

static size_t uart_pending(struct tty *tty)
{
    SPIN_GUARD_IRQ(&uart.lock);
    return uart.tx_head - uart.tx_tail;
}

static void uart_discard(struct tty *tty)
{
    SPIN_GUARD_IRQ(&uart.lock);
    uart.tx_tail = uart.tx_head;
    feed();
}

static void uart_stop(struct tty *tty, bool stopped)
{
    SPIN_GUARD_IRQ(&uart.lock);
    uart.stopped = stopped;
    feed();
}

/* Reads what has arrived, behind what is held. Sets *@brk when a break ended the batch. => Locked.
 */
static void read_batch(bool *brk)
{
    u8 lsr;
    *brk = false;
    while (uart.held_count < RX_BATCH && (lsr = reg_read(UART_LSR)) & LSR_DATA) {
        u8 c = reg_read(UART_RBR);
        if (lsr & LSR_BRK) {
            *brk = true;
            return;
        }
        uart.held[uart.held_count++] = c;
    }
}

/* Passes input on until the line is silent or the tty is full. => Interrupts off: while one hart is
 * here, the interrupt handler of the same hart could not make the line's request go away. */
static void receive(void)
{
    u8 batch[RX_BATCH];
    bool brk;
    SPIN_GUARD(&uart.lock);
    while (!uart.receiving) {
        read_batch(&brk);
        unsigned n = uart.held_count, taken;
        if (n == 0 && !brk)
            break;
        memcpy(batch, uart.held, n);
        uart.receiving = true;
        uart.input_again = false;
        spin_unlock(&uart.lock);
        taken = tty_receive(uart.tty, batch, n);
        if (brk)
            tty_receive_break(uart.tty);
        spin_lock(&uart.lock);
        uart.receiving = false;
        uart.held_count = n - taken;
        memmove(uart.held, uart.held + taken, n - taken);
        if (taken < n && !uart.input_again) {
            set_ier(uart.ier & ~IER_RX);
            break;
        }
    }
}

/* The tty can take input again: what was held back, and what the line has. */
static void uart_input_ready(struct tty *tty)
{
    irqflags_t flags = spin_lock_irq(&uart.lock);
    uart.input_again = true;
    set_ier(uart.ier | IER_RX);
    spin_unlock(&uart.lock);
    receive();
    arch_irq_restore(flags);
}

static const struct tty_driver uart_driver = {.name = "ttyS0",
                                              .room = uart_room,
                                              .write = uart_write,
                                              .pending = uart_pending,
                                              .discard = uart_discard,
                                              .stop = uart_stop,
                                              .input_ready = uart_input_ready};

static void uart_interrupt(void *arg)
{
    bool room = false;
    random_add_event(UART_IIR);
    (void)reg_read(UART_IIR); /* acknowledges a transmitter interrupt */
    receive();
    {
        SPIN_GUARD_IRQ(&uart.lock);
        u32 before = uart.tx_tail;
        feed();
        room = uart.tx_tail != before;
    }
    if (room)
        tty_output_ready(uart.tty);
}

void uart_early(const struct dev_resources *res)
{
    u32 v;
    spin_init(&uart.lock, &uart_class);
    uart.shift = fdt_prop_u32(res->fdt, res->node, "reg-shift", 0, &v) == 0 ? v : 0;
    uart.wide = fdt_prop_u32(res->fdt, res->node, "reg-io-width", 0, &v) == 0 && v == 4;
    uart.regs = direct_map(res->addr);
    log_set_console(console_write);
}

/* Only the line that is the console already (dev_early_console()) becomes a terminal. */
int uart_probe(const struct dev_resources *res)
{
    if (!uart.regs)
        uart_early(res);
    if (uart.regs != (volatile u8 *)direct_map(res->addr) || uart.tty)
        return DEV_EMPTY_SLOT;
    int r = tty_create(&uart_driver, NULL, devno_make(DEVNO_TTY, TTYS0_MINOR), &uart.tty);
    if (r < 0)
        return r;
    {
        SPIN_GUARD_IRQ(&uart.lock);
        reg_write(UART_FCR, FCR_FIFO);
        reg_write(UART_MCR, MCR_DTR | MCR_RTS | MCR_OUT2);
        uart.ier = 0;
        reg_write(UART_IER, 0);
    }
    r = irq_register(res->irq, uart_interrupt, NULL, "ttyS0");
    if (r < 0)
        return r;
    {
        SPIN_GUARD_IRQ(&uart.lock);
        set_ier(IER_RX);
    }
    log_info("ttyS0: 16550 at %lx, irq %u\n", res->addr, res->irq);
    return tty_register(uart.tty);
}
