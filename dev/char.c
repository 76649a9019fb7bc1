/* The registry of character devices. Entries are only ever added. */
#include "dev/char.h"

#include "core/errno.h"
#include "lib/string.h"

static DEFINE_LOCK_CLASS(registry_class, "char_registry");
static struct spinlock registry_lock = SPINLOCK_INIT(registry_class);
static struct list_node registry = LIST_INIT(registry);

int char_register(struct char_device *cdev)
{
    SPIN_GUARD(&registry_lock);
    struct char_device *other;
    list_for_each_entry (other, &registry, link)
        if (other->dev == cdev->dev || strcmp(other->name, cdev->name) == 0)
            return -EEXIST;
    list_push_back(&registry, &cdev->link);
    return 0;
}

struct char_device *char_find_dev(u32 dev)
{
    SPIN_GUARD(&registry_lock);
    struct char_device *cdev;
    list_for_each_entry (cdev, &registry, link)
        if (cdev->dev == dev)
            return cdev;
    return NULL;
}

struct char_device *char_at(unsigned i)
{
    SPIN_GUARD(&registry_lock);
    struct char_device *cdev;
    list_for_each_entry (cdev, &registry, link)
        if (i-- == 0)
            return cdev;
    return NULL;
}
