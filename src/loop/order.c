#include "loop/order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN 0.618034
#define KEPT_BACK 0.33 /* of the epoch, pairs without a margin */

static int text(const char *a, const char *b) /* NULL comes first */
{
    return !a || !b ? (a != NULL) - (b != NULL) : strcmp(a, b);
}

static int by_pair(const void *a, const void *b)
{
    const struct ste_ordered *x = a, *y = b;
    const int pairs = strcmp(x->pair, y->pair);
    return pairs ? pairs : (x->label > y->label) - (x->label < y->label);
}

/* Those of one kind of opposition and label together, the clearest first. */
static int by_margin(const void *a, const void *b)
{
    const struct ste_ordered *x = a, *y = b;
    const int opposed = text(x->opposed, y->opposed);
    if (opposed)
        return opposed;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    if (isnan(x->margin) != isnan(y->margin))
        return isnan(x->margin) ? 1 : -1;
    if (x->margin != y->margin && !isnan(x->margin))
        return x->margin > y->margin ? -1 : 1;
    return strcmp(x->pair, y->pair);
}

static int by_key(const void *a, const void *b)
{
    const struct ste_ordered *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    const int opposed = text(x->opposed, y->opposed);
    return opposed ? opposed : by_pair(a, b);
}

/* Those of one number of orders, opposition and label together, by pair. */
static int by_like(const void *a, const void *b)
{
    const struct ste_ordered *x = a, *y = b;
    if (x->orders != y->orders)
        return x->orders > y->orders ? -1 : 1;
    const int opposed = text(x->opposed, y->opposed);
    if (opposed)
        return opposed;
    return x->label != y->label ? (x->label < y->label ? -1 : 1) : strcmp(x->pair, y->pair);
}

static int in_twos(const void *a, const void *b)
{
    const struct ste_ordered *x = a, *y = b;
    if (x->orders != y->orders)
        return x->orders > y->orders ? -1 : 1;
    if (!x->opposed != !y->opposed)
        return x->opposed ? -1 : 1;
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    const int opposed = text(x->opposed, y->opposed);
    return opposed ? opposed : (x->label > y->label) - (x->label < y->label);
}

/* Counts 1, 2, ... through runs of items of one opposition and label (and, unless EASY_FIRST, number of orders), and
 * gives each its key by the length of its run. */
static void place_all(struct ste_ordered *x, size_t n, bool easy_first)
{
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && text(x[to].opposed, x[from].opposed) == 0 && x[to].label == x[from].label &&
                        (easy_first || x[to].orders == x[from].orders);
             to++)
            x[to].place = to - from + 1;
        for (size_t i = from; i < to; i++) {
            double rank = 1.0 * (double)x[i].place / (double)(to - from);
            if (x[i].opposed)
                rank = KEPT_BACK + (1 - KEPT_BACK) * rank;
            const double turn = GOLDEN * (double)x[i].place;
            x[i].key = rank + (1 - rank) * (turn - floor(turn));
        }
    }
}

void ste_loop_order(struct ste_ordered *items, size_t n, bool easy_first)
{
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        items[i].index = i;
    qsort(items, n, sizeof *items, by_pair);
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && strcmp(items[to].pair, items[from].pair) == 0;)
            to++;
        for (size_t i = from; i < to; i++)
            items[i].orders = (int)(to - from);
    }
    qsort(items, n, sizeof *items, easy_first ? by_margin : by_like);
    place_all(items, n, easy_first);
    qsort(items, n, sizeof *items, easy_first ? by_key : in_twos);
}
