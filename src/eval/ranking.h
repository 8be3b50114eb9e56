/* Models in order of their ratings, with win rates and the matrix of all pairs: what `ste rank` prints. */
#ifndef STE_EVAL_RANKING_H
#define STE_EVAL_RANKING_H

#include <jansson.h>

#include "core/buf.h"
#include "core/options.h"
#include "eval/rating.h"

struct ste_ranking {
    const struct ste_strings *models; /* borrowed */
    int *order;                       /* best first */
    struct ste_rate *elo;             /* of each model */
    double *wins;                     /* (n, n): of the row over the column, ties half */
    double *matches;                  /* (n, n) */
    size_t n_matches, ties, invalid, prompts;
    bool penalized; /* some model never lost, or none links two: ratings are drawn to the mean */
};

/* INVALID comparisons gave no result; they are counted, nothing more. */
int ste_ranking_of(struct ste_ranking *out, const struct ste_strings *models, const struct ste_match *m, size_t n,
                   size_t invalid, uint64_t seed, struct ste_err *err);
void ste_ranking_clear(struct ste_ranking *r);
void ste_ranking_table(const struct ste_ranking *r, struct ste_buf *out); /* 80 columns */
json_t *ste_ranking_json(const struct ste_ranking *r);

#endif
