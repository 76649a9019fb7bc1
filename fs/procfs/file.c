/* Open text files of /proc: the text is made, read in pieces, and perhaps written. */
#include "procfs_priv.h"

#include "core/mutex.h"

#define WRITE_MAX 4095 /* longest text a write(2) may bring */

static DEFINE_LOCK_CLASS(text_class, "proc_text");

/* An open file. => Everything under ->lock. */
struct proc_text {
    struct mutex lock;
    struct seq seq;
    bool made;
};

static int make_text(struct proc_text *t, const struct proc_node *n)
{
    seq_reset(&t->seq);
    t->made = false;
    int r = n->entry->show ? n->entry->show(&t->seq, n) : -EINVAL;
    if (r == 0)
        r = t->seq.error;
    t->made = r == 0;
    return r;
}

static void text_free(struct proc_text *t)
{
    seq_fini(&t->seq);
    kfree(t);
}

static int text_open(struct inode *inode, struct file *f)
{
    const struct proc_node *n = &proc_i(inode)->node;
    int r = proc_check_private(n);
    if (r < 0)
        return r;
    struct proc_text *t = kmalloc(sizeof(*t), 0);
    if (!t)
        return -ENOMEM;
    mutex_init(&t->lock, &text_class);
    seq_init(&t->seq);
    t->made = false;
    if ((n->entry->flags & PROC_PRIVATE) && FILE_READABLE(f))
        r = make_text(t, n);
    if (r < 0)
        text_free(t);
    else
        f->private = t;
    return r;
}

static void text_release(struct file *f)
{
    text_free(f->private);
}

static ssize_t text_read(struct file *f, struct uio *uio, loff_t *pos)
{
    const struct proc_node *n = &proc_i(f->inode)->node;
    struct proc_text *t = f->private;
    MUTEX_GUARD(&t->lock);
    if (!(n->entry->flags & PROC_PRIVATE) && (*pos == 0 || !t->made)) {
        int r = make_text(t, n);
        if (r < 0)
            return r;
    }
    return seq_read(&t->seq, uio, pos);
}

static ssize_t text_write(struct file *f, struct uio *uio, loff_t *pos)
{
    const struct proc_node *n = &proc_i(f->inode)->node;
    size_t len = uio->resid, text_len = len;
    if (!n->entry->write)
        return -EINVAL;
    if (len > WRITE_MAX)
        return -EINVAL;
    char *text = kmalloc(len + 1, 0);
    if (!text)
        return -ENOMEM;
    ssize_t r = uio_read(uio, text, len) == len ? 0 : -EFAULT;
    while (text_len > 0 && strchr(" \t\n", text[text_len - 1]))
        text_len--;
    text[text_len] = '\0';
    if (r == 0)
        r = n->entry->write(n, text, text_len);
    kfree(text);
    if (r < 0)
        return r;
    *pos += (loff_t)len;
    return (ssize_t)len;
}

const struct file_ops proc_text_file_ops = {
    .open = text_open, .release = text_release, .read = text_read, .write = text_write};
