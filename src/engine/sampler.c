#include "engine/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"

#define RUN 1024 /* logits whose weights are summed together */

void ste_sampler_clear(struct ste_sampler *s)
{
    ste_xfree(s->items);
    ste_xfree(s->other);
    ste_xfree(s->values);
    ste_xfree(s->sums);
    *s = (struct ste_sampler){0};
}

double ste_sample_uniform(uint64_t key, uint64_t index)
{
    uint32_t k[2] = {(uint32_t)key, (uint32_t)(key >> 32)}, out[4];
    uint32_t ctr[4] = {(uint32_t)index, (uint32_t)(index >> 32), 0x746f6bu, 0};
    ste_philox(k, ctr, out);
    return (double)(((uint64_t)out[0] << 32 | out[1]) >> 11) * 0x1p-53;
}

double ste_log_sum(const struct ste_ops *ops, const float *logits, int n)
{
    float y[RUN], max = ops->max(logits, (size_t)n);
    double sum = 0;
    for (int i = 0; i < n; i += RUN)
        sum += ops->exp_sub_sum(y, logits + i, max, (size_t)(n - i < RUN ? n - i : RUN));
    return (double)max + log(sum);
}

/* Their sum is returned. */
static double weights(const struct ste_ops *ops, float *y, const float *logits, float max, float inv_t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (logits[i] - max) * inv_t;
    return ops->exp_sub_sum(y, y, 0, n);
}

static int32_t likeliest(const float *logits, int n, float max)
{
    for (int i = 0; i < n; i++)
        if (logits[i] == max)
            return i;
    return 0; /* only NaNs */
}

/* All of the vocabulary, in the order of ids. */
static int32_t draw_any(struct ste_sampler *s, const struct ste_ops *ops, const float *logits, int n, float max,
                        float inv_t, double u)
{
    float y[RUN];
    size_t n_runs = ((size_t)n + RUN - 1) / RUN, run = 0;
    double total = 0, at = 0;
    STE_GROW(s->sums, s->sums_cap, n_runs);
    for (size_t k = 0; k < n_runs; k++) {
        size_t len = (size_t)n - k * RUN < RUN ? (size_t)n - k * RUN : RUN;
        s->sums[k] = weights(ops, y, logits + k * RUN, max, inv_t, len);
        total += s->sums[k];
    }
    double target = u * total;
    while (run + 1 < n_runs && at + s->sums[run] <= target)
        at += s->sums[run++];
    size_t len = (size_t)n - run * RUN < RUN ? (size_t)n - run * RUN : RUN;
    int32_t last = 0;
    double inside = 0;
    weights(ops, y, logits + run * RUN, max, inv_t, len);
    for (size_t i = 0; i < len; i++) {
        inside += y[i];
        if (y[i] > 0)
            last = (int32_t)(run * RUN + i);
        if (at + inside > target)
            break;
    }
    return last;
}

static int by_weight(const void *pa, const void *pb)
{
    const struct ste_candidate *a = pa, *b = pb;
    if (a->weight != b->weight)
        return a->weight > b->weight ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

static uint32_t slot_of(const struct ste_candidate *c, int shift, uint32_t mask)
{
    uint32_t bits;
    memcpy(&bits, &c->weight, sizeof bits);
    return bits >> shift & mask;
}

/* From the heaviest on, equal ones by id, as which they come. Where the distribution is flat there are tens of
 * thousands: by the bits of the weights then, which are in their order as no weight is negative. */
static void sort(struct ste_sampler *s)
{
    enum { FEW = 1024, BITS = 11, SLOTS = 1 << BITS };
    if (s->n < FEW) {
        qsort(s->items, s->n, sizeof *s->items, by_weight);
        return;
    }
    STE_GROW(s->other, s->other_cap, s->n);
    for (int shift = 0; shift < 32; shift += BITS) {
        size_t begin[SLOTS] = {0}, at = 0;
        for (size_t i = 0; i < s->n; i++)
            begin[slot_of(&s->items[i], shift, SLOTS - 1)]++;
        for (int k = SLOTS - 1; k >= 0; k--) {
            const size_t n = begin[k];
            begin[k] = at;
            at += n;
        }
        for (size_t i = 0; i < s->n; i++)
            s->other[begin[slot_of(&s->items[i], shift, SLOTS - 1)]++] = s->items[i];
        struct ste_candidate *items = s->items;
        const size_t cap = s->cap;
        s->items = s->other;
        s->cap = s->other_cap;
        s->other = items;
        s->other_cap = cap;
    }
}

/* The tokens whose weight is LEAST or more, and their weights, whose sum is returned. */
static double collect(struct ste_sampler *s, const struct ste_ops *ops, const float *logits, int n, float max,
                      float inv_t, double least)
{
    /* A little below, so that rounding on either side loses none. */
    float floor = least > 0 ? (float)((double)max + log(least) / (double)inv_t - 1e-3 * (1 + fabs(max))) : -INFINITY;
    s->n = 0;
    for (int i = 0; i < n; i += 64) {
        int end = i + 64 < n ? i + 64 : n;
        if (ops->max(logits + i, (size_t)(end - i)) < floor)
            continue;
        for (int k = i; k < end; k++) {
            if (logits[k] >= floor) {
                STE_GROW(s->items, s->cap, s->n + 1);
                s->items[s->n++] = (struct ste_candidate){.weight = (logits[k] - max) * inv_t, .id = k};
            }
        }
    }
    STE_GROW(s->values, s->values_cap, s->n + 1);
    for (size_t i = 0; i < s->n; i++)
        s->values[i] = s->items[i].weight;
    ops->exp(s->values, s->values, s->n);
    double sum = 0;
    for (size_t i = 0; i < s->n; i++)
        sum += s->items[i].weight = s->values[i];
    return sum;
}

/* The K likeliest (top_k), of those the shortest run that holds top_p of their weight, of those the ones at or above
 * min_p. Only likely tokens are looked at and sorted; the search widens until the end of the run is among them, so how
 * wide it starts changes nothing. */
static int32_t draw_some(struct ste_sampler *s, const struct ste_ops *ops, const float *logits, int n, float max,
                         float inv_t, const struct ste_sampling *p, double u)
{
    static const double steps[] = {0x1p-6, 0x1p-9, 0x1p-12, 0x1p-16, 0x1p-20, 0};
    size_t k = p->top_k > 0 ? (size_t)(p->top_k < n ? p->top_k : n) : 0, keep = 0;
    double total = 0;
    float y[RUN];
    for (int i = 0; i < n && !k && p->top_p < 1; i += RUN)
        total += weights(ops, y, logits + i, max, inv_t, (size_t)(n - i < RUN ? n - i : RUN));
    for (size_t step = 0; step < sizeof steps / sizeof *steps; step++) {
        const double sum = collect(s, ops, logits, n, max, inv_t, steps[step]);
        bool ends = steps[step] == 0; /* whether the end of the run is known */
        /* Sorting takes longest: not where it is plain that the end is not there, in whatever order one adds. */
        if (!ends && (s->n < k || (!k && sum < p->top_p * total * (1 - 1e-6))))
            continue;
        sort(s);
        keep = s->n;
        if (k) {
            keep = k;
            ends = true;
            total = 0;
            for (size_t i = 0; i < k; i++)
                total += s->items[i].weight;
        }
        if (p->top_p < 1) {
            double run = 0;
            size_t i = 0;
            while (i < keep && run < p->top_p * total)
                run += s->items[i++].weight;
            ends = ends || run >= p->top_p * total;
            keep = i;
        }
        while (keep > 0 && (double)s->items[keep - 1].weight < p->min_p) {
            keep--;
            ends = true;
        }
        if (ends)
            break;
    }
    if (keep == 0)
        keep = 1;
    double mass = 0, run = 0;
    for (size_t i = 0; i < keep; i++)
        mass += s->items[i].weight;
    for (size_t i = 0; i < keep; i++) {
        run += s->items[i].weight;
        if (run > u * mass)
            return s->items[i].id;
    }
    return s->items[keep - 1].id;
}

int32_t ste_sample(struct ste_sampler *s, const struct ste_ops *ops, const float *logits, int n,
                   const struct ste_sampling *p, double u, float *logprob)
{
    float max = ops->max(logits, (size_t)n);
    int32_t id;
    if (!(p->temperature > 0)) {
        id = likeliest(logits, n, max);
    } else {
        float inv_t = (float)(1 / p->temperature);
        if (p->top_k <= 0 && p->top_p >= 1 && p->min_p <= 0)
            id = draw_any(s, ops, logits, n, max, inv_t, u);
        else
            id = draw_some(s, ops, logits, n, max, inv_t, p, u);
    }
    if (logprob)
        *logprob = (float)((double)logits[id] - ste_log_sum(ops, logits, n));
    return id;
}
