/* Identity of the system; see include/core/version.h. */
#include "core/version.h"

#include "core/errno.h"
#include "core/spinlock.h"
#include "lib/string.h"

#define SYSNAME "Linux"
#define RELEASE "6.12.0-quire"
#ifdef QUIRE_DEBUG
#define FLAVOUR "debug"
#else
#define FLAVOUR "release"
#endif
#define VERSION "#1 SMP PREEMPT " FLAVOUR " (" __VERSION__ ")"
_Static_assert(sizeof(VERSION) <= VERSION_NAME_MAX + 1, "uname(2) has room for 64 characters");

struct set_name {
    size_t len;
    char text[VERSION_NAME_MAX + 1];
};

static DEFINE_LOCK_CLASS(names_class, "uts names");
static struct spinlock names_lock = SPINLOCK_INIT(names_class); /* both names */
static struct set_name host = {5, "quire"};
static struct set_name domain = {6, "(none)"};

const char *version_sysname(void)
{
    return SYSNAME;
}

const char *version_release(void)
{
    return RELEASE;
}

const char *version_string(void)
{
    return VERSION;
}

const char *version_banner(void)
{
    return SYSNAME " version " RELEASE " (quire) (gcc " __VERSION__ ") " VERSION;
}

static int name_get(const struct set_name *n, char *buf, size_t size)
{
    SPIN_GUARD(&names_lock);
    if (size)
        str_copy(buf, n->text, size);
    return (int)n->len;
}

static int name_set(struct set_name *n, const char *name, size_t len)
{
    if (len > VERSION_NAME_MAX)
        return -EINVAL;
    SPIN_GUARD(&names_lock);
    memcpy(n->text, name, len);
    memset(n->text + len, 0, sizeof(n->text) - len);
    n->len = len;
    return 0;
}

int hostname_get(char *buf, size_t size)
{
    return name_get(&host, buf, size);
}

int hostname_set(const char *name, size_t len)
{
    return name_set(&host, name, len);
}

int domainname_get(char *buf, size_t size)
{
    return name_get(&domain, buf, size);
}

int domainname_set(const char *name, size_t len)
{
    return name_set(&domain, name, len);
}
