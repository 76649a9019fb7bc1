/*
 * Goldfish real-time clock: a 64-bit count of nanoseconds since 1970 (UTC). Sets the wall clock at
 * boot; /dev/rtc0 reads it (rtc(4)).
 */
#include "arch/io.h"
#include "arch/mmu.h"
#include "core/errno.h"
#include "core/log.h"
#include "core/timer.h"
#include "dev/char.h"
#include "dev_priv.h"
#include "mm/usercopy.h"

#include <linux/rtc.h>

#define RTC_LOW  0x00 /* reading it latches RTC_HIGH */
#define RTC_HIGH 0x04

#define SECONDS_PER_DAY 86400UL
#define DEVNO_RTC       252

static volatile u8 *regs;

static u64 rtc_read_ns(void)
{
    u32 low = mmio_read32(regs + RTC_LOW);
    return (u64)mmio_read32(regs + RTC_HIGH) << 32 | low;
}

/* Civil date of a day count since 1970-01-01. Years are counted from March, so that the leap day
 * comes last; 719468 days lie between 0000-03-01 and 1970-01-01. */
static void civil_date(u64 days, struct rtc_time *t)
{
    u64 z = days + 719468;
    u64 era = z / 146097, day_of_era = z % 146097;
    u64 year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    u64 day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    u64 month = (5 * day_of_year + 2) / 153; /* 0: March */
    u64 year = era * 400 + year_of_era + (month >= 10);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    t->tm_mday = day_of_year - (153 * month + 2) / 5 + 1;
    t->tm_mon = month < 10 ? month + 2 : month - 10;
    t->tm_year = year - 1900;
    t->tm_yday = month < 10 ? day_of_year + 59 + leap : day_of_year - 306;
    t->tm_wday = (days + 4) % 7;
}

static long rtc_ioctl(struct char_file *f, unsigned cmd, u64 arg)
{
    if (cmd != RTC_RD_TIME)
        return -ENOTTY;
    u64 seconds = rtc_read_ns() / NSEC_PER_SEC, rest = seconds % SECONDS_PER_DAY;
    struct rtc_time t = {
        .tm_hour = rest / 3600, .tm_min = rest / 60 % 60, .tm_sec = rest % 60, .tm_isdst = 0};
    civil_date(seconds / SECONDS_PER_DAY, &t);
    return copy_to_user(arg, &t, sizeof(t));
}

static const struct char_ops rtc_ops = {.ioctl = rtc_ioctl};
static struct char_device rtc_device = {.name = "rtc0", .mode = 0600, .ops = &rtc_ops};

int rtc_probe(const struct dev_resources *res)
{
    if (regs)
        return -EBUSY;
    regs = direct_map(res->addr);
    u64 now = rtc_read_ns();
    time_set_wall(now);
    log_info("rtc0: goldfish at %lx, %lu seconds since 1970\n", res->addr, now / NSEC_PER_SEC);
    rtc_device.dev = devno_make(DEVNO_RTC, 0);
    return char_register(&rtc_device);
}
