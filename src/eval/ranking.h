/* Models in order of their ratings, with win rates and the matrix of all pairs: what `ste rank` prints. */
#ifndef STE_EVAL_RANKING_H
#define STE_EVAL_RANKING_H

#include <jansson.h>

#include "core/buf.h"
#include "core/options.h"
#include "eval/rating.h"

struct ste_ranking {
    const struct ste_strings *models; /* borrowed */
    int *order;                       /* group by group, in each best first */
    int *group;                       /* of each model: 0 .. n_groups - 1 */
    int n_groups;
    struct ste_rate *elo; /* of each model, against those of its group; NAN where it has no match */
    double *wins;         /* (n, n): of the row over the column, ties half */
    double *matches;      /* (n, n) */
    size_t n_matches, ties, invalid, prompts;
    bool penalized; /* in some group a part lost nothing to the rest: its ratings are drawn to the mean */
};

/* Models belong to one group where they met, or are linked by others that did: nothing says how models of two groups
 * compare, so each group is rated by itself, with its own mean. Groups stand in the order of their first models.
 * INVALID comparisons gave no result; they are counted, nothing more. */
int ste_ranking_of(struct ste_ranking *out, const struct ste_strings *models, const struct ste_match *m, size_t n,
                   size_t invalid, uint64_t seed, struct ste_err *err);
void ste_ranking_clear(struct ste_ranking *r);
void ste_ranking_table(const struct ste_ranking *r, struct ste_buf *out); /* 80 columns */
json_t *ste_ranking_json(const struct ste_ranking *r);

#endif
