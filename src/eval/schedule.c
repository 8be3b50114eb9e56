#include "eval/schedule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/hash.h"
#include "core/mem.h"

/* One pair of models: its prompts in the order in which they are taken. */
struct couple {
    int i, j;
    size_t *prompts, n, taken;
};

struct ste_bouts {
    struct couple *couples;
    size_t n;
};

struct draw {
    uint64_t number;
    size_t prompt;
};

static int by_number(const void *a, const void *b)
{
    const struct draw *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static void fill(struct couple *c, const struct ste_answers *a, uint64_t seed)
{
    struct draw *draws = ste_xcalloc(a->n + 1, sizeof *draws);
    char text[3][32];
    snprintf(text[0], sizeof text[0], "%llu", (unsigned long long)seed);
    snprintf(text[1], sizeof text[1], "%d %d", c->i, c->j);
    for (size_t p = 0; p < a->n; p++) {
        snprintf(text[2], sizeof text[2], "%zu", p);
        if (ste_answer_of(a, p, (size_t)c->i) && ste_answer_of(a, p, (size_t)c->j))
            draws[c->n++] = (struct draw){ste_key_of("bout", text[0], text[1], text[2], NULL), p};
    }
    qsort(draws, c->n, sizeof *draws, by_number);
    c->prompts = ste_xcalloc(c->n + 1, sizeof *c->prompts);
    for (size_t k = 0; k < c->n; k++)
        c->prompts[k] = draws[k].prompt;
    ste_xfree(draws);
}

struct ste_bouts *ste_bouts_new(const struct ste_answers *a, uint64_t seed)
{
    struct ste_bouts *s = ste_xcalloc(1, sizeof *s);
    int models = (int)a->models.n;
    s->couples = ste_xcalloc((size_t)models * (size_t)models, sizeof *s->couples);
    for (int i = 0; i < models; i++)
        for (int j = i + 1; j < models; j++) {
            s->couples[s->n] = (struct couple){.i = i, .j = j};
            fill(&s->couples[s->n++], a, seed);
        }
    return s;
}

void ste_bouts_free(struct ste_bouts *s)
{
    for (size_t c = 0; s && c < s->n; c++)
        ste_xfree(s->couples[c].prompts);
    if (s)
        ste_xfree(s->couples);
    ste_xfree(s);
}

size_t ste_bouts_next(struct ste_bouts *s, size_t n, const double *ratings, struct ste_bout *out)
{
    size_t count = 0;
    for (; count < n; count++) {
        struct couple *best = NULL;
        double most = 0;
        for (size_t c = 0; c < s->n; c++) {
            struct couple *x = &s->couples[c];
            double p = ratings ? 1 / (1 + exp(ratings[x->j] - ratings[x->i])) : 0.5,
                   gain = p * (1 - p) / ((double)x->taken * (double)(x->taken + 1) + 1);
            if (x->taken < x->n && gain > most) {
                most = gain;
                best = x;
            }
        }
        if (!best)
            break;
        out[count] = (struct ste_bout){best->prompts[best->taken++], best->i, best->j};
    }
    return count;
}
