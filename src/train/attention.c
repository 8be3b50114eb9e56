#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "train/internal.h"

/* Queries go through in strips of this many rows, each against all keys it may see: a strip of scores grows with the
 * length of the example, nothing grows with its square. Strips count from the start of the example, so that sums over
 * them do not depend on the pack. */
enum { STRIP = 64 };

struct attention_job {
    struct ste_trainer *t;
    const struct ste_pack *pk;
    const struct ste_acts *a;
    const float *d_o;
    struct place *places;
};

/* One part of the work: a strip of a head (forward), or a whole head (backward). */
struct place {
    int example, head, strip;
};

struct shape {
    size_t hd, q_width, kv_width; /* floats a head, a row of q, a row of k */
    int group;                    /* query heads a key-value head */
    float scale;
};

static struct shape shape_of(const struct ste_hparams *hp)
{
    struct shape s = {(size_t)hp->head_dim, (size_t)hp->n_heads * (size_t)hp->head_dim,
                      (size_t)hp->n_kv_heads * (size_t)hp->head_dim, hp->n_heads / hp->n_kv_heads,
                      1.0f / sqrtf((float)hp->head_dim)};
    return s;
}

static void strip_forward(void *arg, int part)
{
    struct attention_job *j = arg;
    struct place p = j->places[part];
    struct ste_trainer *t = j->t;
    struct shape s = shape_of(&t->model->hp);
    int start = j->pk->start[p.example], n = j->pk->start[p.example + 1] - start, from = p.strip * STRIP,
        rows = n - from < STRIP ? n - from : STRIP, keys = from + rows;
    size_t first = (size_t)(start + from), kv = (size_t)start * s.kv_width + (size_t)(p.head / s.group) * s.hd,
           q = first * s.q_width + (size_t)p.head * s.hd;
    float *scores = ste_xmalloc((size_t)rows * (size_t)keys * sizeof *scores);
    ste_gemm(t->p.isa, false, true, rows, keys, (int)s.hd, s.scale, j->a->q + q, s.q_width, j->a->k + kv, s.kv_width, 0,
             scores, (size_t)keys, NULL);
    for (int i = 0; i < rows; i++) {
        float *row = scores + (size_t)i * (size_t)keys;
        size_t seen = (size_t)(from + i + 1);
        float top = t->ops->max(row, seen);
        float sum = t->ops->exp_sub_sum(row, row, top, seen);
        t->ops->scale(row, 1.0f / sum, seen);
        memset(row + seen, 0, ((size_t)keys - seen) * sizeof *row);
        j->a->lse[(first + (size_t)i) * (size_t)t->model->hp.n_heads + (size_t)p.head] = top + logf(sum);
    }
    ste_gemm(t->p.isa, false, false, rows, (int)s.hd, keys, 1, scores, (size_t)keys, j->a->v + kv, s.kv_width, 0,
             j->a->o + q, s.q_width, NULL);
    free(scores);
}

void ste_attention_forward(struct ste_trainer *t, const struct ste_pack *pk, const struct ste_acts *a)
{
    int heads = t->model->hp.n_heads, n = 0;
    for (int e = 0; e < pk->n; e++)
        n += (pk->start[e + 1] - pk->start[e] + STRIP - 1) / STRIP * heads;
    struct attention_job j = {.t = t, .pk = pk, .a = a, .places = ste_xcalloc((size_t)n, sizeof *j.places)};
    n = 0;
    for (int e = 0; e < pk->n; e++)
        for (int strip = (pk->start[e + 1] - pk->start[e] + STRIP - 1) / STRIP - 1; strip >= 0; strip--)
            for (int h = 0; h < heads; h++) /* long strips first: better balance */
                j.places[n++] = (struct place){e, h, strip};
    ste_pool_run(t->p.pool, strip_forward, &j, n);
    free(j.places);
}

/* P = exp(S - lse), dP = dO V^T, dS = P (dP - rowsum(dO O)) scale; dQ = dS K, dK = dS^T Q, dV = P^T dO. */
static void head_backward(void *arg, int part)
{
    struct attention_job *j = arg;
    struct place p = j->places[part];
    struct ste_trainer *t = j->t;
    struct ste_scratch *sc = &t->s;
    struct shape s = shape_of(&t->model->hp);
    enum ste_isa isa = t->p.isa;
    int start = j->pk->start[p.example], n = j->pk->start[p.example + 1] - start;
    size_t kv = (size_t)start * s.kv_width + (size_t)(p.head / s.group) * s.hd,
           own = (size_t)start * s.q_width + (size_t)p.head * s.hd; /* the head's dK and dV, one a query head */
    float *probs = ste_xmalloc(2 * STRIP * (size_t)n * sizeof *probs), *grads = probs + STRIP * (size_t)n;
    for (int i = 0; i < n; i++) {
        memset(sc->dk_heads + own + (size_t)i * s.q_width, 0, s.hd * sizeof(float));
        memset(sc->dv_heads + own + (size_t)i * s.q_width, 0, s.hd * sizeof(float));
    }
    for (int from = 0; from < n; from += STRIP) {
        int rows = n - from < STRIP ? n - from : STRIP, keys = from + rows;
        size_t first = (size_t)(start + from), q = first * s.q_width + (size_t)p.head * s.hd, ld = (size_t)keys;
        ste_gemm(isa, false, true, rows, keys, (int)s.hd, s.scale, j->a->q + q, s.q_width, j->a->k + kv, s.kv_width, 0,
                 probs, ld, NULL);
        ste_gemm(isa, false, true, rows, keys, (int)s.hd, 1, j->d_o + q, s.q_width, j->a->v + kv, s.kv_width, 0, grads,
                 ld, NULL);
        for (int i = 0; i < rows; i++) {
            float *pr = probs + (size_t)i * ld, *gr = grads + (size_t)i * ld;
            size_t seen = (size_t)(from + i + 1), at = q + (size_t)i * s.q_width;
            float lse = j->a->lse[(first + (size_t)i) * (size_t)t->model->hp.n_heads + (size_t)p.head];
            float both = t->ops->dot(j->d_o + at, j->a->o + at, s.hd);
            t->ops->exp_sub_sum(pr, pr, lse, seen);
            for (size_t c = 0; c < seen; c++)
                gr[c] = pr[c] * (gr[c] - both) * s.scale;
            memset(pr + seen, 0, (ld - seen) * sizeof *pr);
            memset(gr + seen, 0, (ld - seen) * sizeof *gr);
        }
        ste_gemm(isa, false, false, rows, (int)s.hd, keys, 1, grads, ld, j->a->k + kv, s.kv_width, 0, sc->dq + q,
                 s.q_width, NULL);
        ste_gemm(isa, true, false, keys, (int)s.hd, rows, 1, grads, ld, j->a->q + q, s.q_width, 1, sc->dk_heads + own,
                 s.q_width, NULL);
        ste_gemm(isa, true, false, keys, (int)s.hd, rows, 1, probs, ld, j->d_o + q, s.q_width, 1, sc->dv_heads + own,
                 s.q_width, NULL);
    }
    free(probs);
}

/* A key-value head's gradient: the sum over its query heads, in their order. */
static void fold_heads(const struct ste_trainer *t, float *dst, const float *src, int rows)
{
    struct shape s = shape_of(&t->model->hp);
    for (int i = 0; i < rows; i++)
        for (int h = 0; h < t->model->hp.n_kv_heads; h++) {
            float *to = dst + (size_t)i * s.kv_width + (size_t)h * s.hd;
            const float *from = src + (size_t)i * s.q_width + (size_t)(h * s.group) * s.hd;
            memcpy(to, from, s.hd * sizeof *to);
            for (int g = 1; g < s.group; g++)
                t->ops->add(to, from + (size_t)g * s.hd, s.hd);
        }
}

void ste_attention_backward(struct ste_trainer *t, const struct ste_pack *pk, const struct ste_acts *a,
                            const float *d_o)
{
    int heads = t->model->hp.n_heads, n = 0;
    struct attention_job j = {
        .t = t, .pk = pk, .a = a, .d_o = d_o, .places = ste_xcalloc((size_t)(pk->n * heads), sizeof *j.places)};
    for (int e = 0; e < pk->n; e++)
        for (int h = 0; h < heads; h++)
            j.places[n++] = (struct place){e, h, 0};
    ste_pool_run(t->p.pool, head_backward, &j, n);
    free(j.places);
    fold_heads(t, t->s.dk, t->s.dk_heads, pk->tokens);
    fold_heads(t, t->s.dv, t->s.dv_heads, pk->tokens);
}
