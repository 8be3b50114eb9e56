#include "core/domain.h"

#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct owned {
    void *of;
    size_t n;
    void (*end)(void *of, size_t n);
};

/* Memory is a set of addresses, by open addressing with a power of two of places, at most half of them taken: a header
 * before each block would not do, since jansson's blocks may be freed by who knows nothing of it. */
struct ste_domain {
    pthread_mutex_t lock; /* threads of the pool allocate too */
    uintptr_t *blocks;    /* 0: free; BY_JANSSON in the lowest bit */
    size_t n_blocks, places;
    struct owned *owned;
    size_t n_owned, cap_owned;
    bool broken, unnoted; /* UNNOTED: the set stays empty */
    atomic_size_t asked; /* what was not to be had */
};

enum { BY_JANSSON = 1 };

/* Where ste_no_memory goes to. */
struct ste_frame {
    struct ste_domain *domain;
    bool outermost; /* of the call: what is owned ends here */
    jmp_buf at;
};
static _Thread_local struct ste_frame *here;

/* ---- the blocks ---- */

/* Blocks within 256 bytes, which are often taken and given back one after the other, have places side by side. */
static size_t place_of(const struct ste_domain *d, uintptr_t block)
{
    const size_t within = (block >> 4) & 15;
    return ((size_t)((block >> 8) * 0x9E3779B97F4A7C15u >> 20 << 4) | within) & (d->places - 1);
}

static void insert(struct ste_domain *d, uintptr_t block)
{
    size_t i = place_of(d, block);
    while (d->blocks[i])
        i = (i + 1) & (d->places - 1);
    d->blocks[i] = block;
}

static bool grow(struct ste_domain *d)
{
    const size_t had = d->places, places = had ? 2 * had : 256;
    uintptr_t *was = d->blocks, *blocks = calloc(places, sizeof *blocks);
    if (!blocks)
        return false;
    d->blocks = blocks;
    d->places = places;
    for (size_t i = 0; i < had; i++)
        if (was[i])
            insert(d, was[i]);
    free(was);
    return true;
}

static bool add(struct ste_domain *d, uintptr_t block)
{
    if (d->unnoted)
        return true;
    pthread_mutex_lock(&d->lock);
    const bool room = 2 * (d->n_blocks + 1) <= d->places || grow(d);
    if (room) {
        insert(d, block);
        d->n_blocks++;
    }
    pthread_mutex_unlock(&d->lock);
    return room;
}

/* Those behind it move up as far as their own places allow. */
static void take_out(struct ste_domain *d, size_t i)
{
    const size_t mask = d->places - 1;
    for (size_t k = (i + 1) & mask; d->blocks[k]; k = (k + 1) & mask)
        if (((k - place_of(d, d->blocks[k])) & mask) >= ((k - i) & mask)) {
            d->blocks[i] = d->blocks[k];
            i = k;
        }
    d->blocks[i] = 0;
    d->n_blocks--;
}

/* The block as it was added; 0: it was not. */
static uintptr_t take(struct ste_domain *d, const void *p)
{
    uintptr_t found = 0;
    if (d->unnoted)
        return 0;
    pthread_mutex_lock(&d->lock);
    for (size_t i = d->places ? place_of(d, (uintptr_t)p) : 0; d->places && d->blocks[i]; i = (i + 1) & (d->places - 1))
        if ((d->blocks[i] & ~(uintptr_t)BY_JANSSON) == (uintptr_t)p) {
            found = d->blocks[i];
            take_out(d, i);
            break;
        }
    pthread_mutex_unlock(&d->lock);
    return found;
}

/* ---- jansson ---- */

static json_malloc_t json_alloc; /* as they were set before */
static json_free_t json_release;

static void *alloc_for_json(size_t size)
{
    void *p = json_alloc(size);
    if (!here || !here->domain || (p && add(here->domain, (uintptr_t)p | BY_JANSSON)))
        return p;
    if (p)
        json_release(p);
    ste_no_memory(size);
}

static void free_for_json(void *p)
{
    if (p && here && here->domain)
        take(here->domain, p);
    json_release(p);
}

static void join_jansson(void)
{
    json_get_alloc_funcs(&json_alloc, &json_release);
    json_set_alloc_funcs(alloc_for_json, free_for_json);
}

/* The library may be unloaded. */
__attribute__((destructor)) static void leave_jansson(void)
{
    json_malloc_t now;
    json_free_t release;
    json_get_alloc_funcs(&now, &release);
    if (now == alloc_for_json)
        json_set_alloc_funcs(json_alloc, json_release);
}

void ste_domain_hold(void *p)
{
    if (!here || !here->domain || add(here->domain, (uintptr_t)p))
        return;
    free(p);
    ste_no_memory(0);
}

ste_free_fn *ste_domain_let_go(void *p)
{
    return here && here->domain && take(here->domain, p) & BY_JANSSON ? json_release : free;
}

/* ---- what is owned ---- */

void ste_own(void *of, size_t n, void (*end)(void *of, size_t n))
{
    struct ste_domain *d = ste_domain();
    if (!d)
        return;
    if (d->n_owned == d->cap_owned) {
        const size_t cap = d->cap_owned ? 2 * d->cap_owned : 16;
        struct owned *more = realloc(d->owned, cap * sizeof *more);
        if (!more) {
            end(of, n);
            ste_no_memory(cap * sizeof *more);
        }
        d->owned = more;
        d->cap_owned = cap;
    }
    d->owned[d->n_owned++] = (struct owned){of, n, end};
}

void ste_disown(void *of, void (*end)(void *of, size_t n))
{
    struct ste_domain *d = ste_domain();
    for (size_t i = d ? d->n_owned : 0; i-- > 0;)
        if (d->owned[i].of == of && d->owned[i].end == end) {
            d->n_owned--;
            for (; i < d->n_owned; i++)
                d->owned[i] = d->owned[i + 1];
            return;
        }
}

/* ---- calls ---- */

struct ste_domain *ste_domain_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, join_jansson);
    struct ste_domain *d = calloc(1, sizeof *d);
    if (d)
        pthread_mutex_init(&d->lock, NULL);
    return d;
}

struct ste_domain *ste_domain_of_process(void)
{
    struct ste_domain *d = ste_domain_new();
    if (d)
        d->unnoted = true;
    return d;
}

void ste_domain_free(struct ste_domain *d)
{
    if (!d)
        return;
    pthread_mutex_destroy(&d->lock);
    free(d->blocks);
    free(d->owned);
    free(d);
}

struct ste_domain *ste_domain(void)
{
    return here ? here->domain : NULL;
}

struct ste_frame *ste_domain_leave(void)
{
    struct ste_frame *f = here;
    here = NULL;
    return f;
}

void ste_domain_enter(struct ste_frame *f)
{
    here = f;
}

/* The ends run before the jump: what they end may stand on the stack. */
void ste_no_memory(size_t size)
{
    struct ste_frame *f = here;
    if (!f)
        abort();
    if (f->domain && size)
        f->domain->asked = size;
    while (f->outermost && f->domain->n_owned) {
        const struct owned o = f->domain->owned[--f->domain->n_owned];
        o.end(o.of, o.n);
    }
    longjmp(f->at, 1);
}

static void free_blocks(struct ste_domain *d)
{
    for (size_t i = 0; i < d->places; i++)
        if (d->blocks[i])
            (d->blocks[i] & BY_JANSSON ? json_release : free)((void *)(d->blocks[i] & ~(uintptr_t)BY_JANSSON));
    free(d->blocks);
    d->blocks = NULL;
    d->n_blocks = d->places = 0;
}

int ste_domain_call(struct ste_domain *d, int (*fn)(void *arg, struct ste_err *err), void *arg, struct ste_err *err)
{
    if (d->broken)
        return ste_err_set(err, STE_ENOMEM, "memory ran out in an earlier call; close this and open it anew");
    struct ste_frame *was = here, f = {.domain = d, .outermost = true};
    int rc;
    here = &f;
    if (setjmp(f.at) == 0) {
        rc = fn(arg, err);
    } else {
        d->broken = true;
        free_blocks(d);
        char asked[48] = "";
        if (d->asked)
            snprintf(asked, sizeof asked, " (%zu bytes asked for)", (size_t)d->asked);
        rc = ste_err_set(err, STE_ENOMEM,
                         "out of memory%s; what was saved is safe, free some memory and do the same again", asked);
    }
    here = was;
    return rc;
}

bool ste_domain_try(struct ste_domain *d, void (*fn)(void *arg), void *arg)
{
    struct ste_frame *was = here, f = {.domain = d};
    here = &f;
    const bool whole = setjmp(f.at) == 0;
    if (whole)
        fn(arg);
    here = was;
    return whole;
}
