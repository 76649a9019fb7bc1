/* Circular doubly linked list, intrusive. A head is a node that holds no entry. */
#pragma once

#include "lib/types.h"

struct list_node {
    struct list_node *prev, *next;
};

#define LIST_INIT(name)  \
    {                    \
        &(name), &(name) \
    }

static inline void list_init(struct list_node *n)
{
    n->prev = n->next = n;
}

static inline bool list_empty(const struct list_node *head)
{
    return head->next == head;
}

static inline void list_insert_between(struct list_node *n, struct list_node *prev,
                                       struct list_node *next)
{
    n->prev = prev;
    n->next = next;
    prev->next = n;
    next->prev = n;
}

/* Puts @n right behind @head (first). */
static inline void list_push_front(struct list_node *head, struct list_node *n)
{
    list_insert_between(n, head, head->next);
}

/* Puts @n right before @head (last). */
static inline void list_push_back(struct list_node *head, struct list_node *n)
{
    list_insert_between(n, head->prev, head);
}

/* Unlinks @n and leaves it empty, so that removing twice is harmless and list_empty() tells. */
static inline void list_remove(struct list_node *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

/* Moves all entries of @from to the end of @to; @from is empty afterwards. */
static inline void list_splice_back(struct list_node *to, struct list_node *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_entry(node, type, member) container_of(node, type, member)
#define list_first(head, type, member) list_entry((head)->next, type, member)
#define list_last(head, type, member)  list_entry((head)->prev, type, member)

#define list_for_each(pos, head) for (pos = (head)->next; pos != (head); pos = pos->next)
#define list_for_each_safe(pos, tmp, head) \
    for (pos = (head)->next, tmp = pos->next; pos != (head); pos = tmp, tmp = pos->next)
#define list_for_each_entry(pos, head, member)                                 \
    for (pos = list_first(head, typeof(*pos), member); &pos->member != (head); \
         pos = list_first(&pos->member, typeof(*pos), member))
#define list_for_each_entry_safe(pos, tmp, head, member)      \
    for (pos = list_first(head, typeof(*pos), member),        \
        tmp = list_first(&pos->member, typeof(*pos), member); \
         &pos->member != (head); pos = tmp, tmp = list_first(&tmp->member, typeof(*tmp), member))
