/* list.c - intrusive doubly linked list (struct tb_list). */
#include "tiebeam.h"

void
tb_list_init(struct tb_list *l)
{
    l->prev = l->next = l;
}

void
tb_list_add(struct tb_list *head, struct tb_list *item)
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}

void
tb_list_del(struct tb_list *item)
{
    if (!item->next)
        return;
    item->prev->next = item->next;
    item->next->prev = item->prev;
    item->prev = item->next = NULL;
}

bool
tb_list_empty(const struct tb_list *l)
{
    return l->next == l;
}
