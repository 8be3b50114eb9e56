/* Models that meet on the same prompts: the results of their matches, recorded ones or a judge's. */
#ifndef STE_EVAL_TOURNAMENT_H
#define STE_EVAL_TOURNAMENT_H

#include "core/json.h"
#include "data/answers.h"
#include "eval/files.h"
#include "eval/rating.h"

struct ste_contest {
    struct ste_strings models;
    struct ste_match *matches;
    size_t n, cap, invalid;
    size_t doubled; /* recorded results that were there already */
    json_t *seen;   /* recorded results that say whose they are, word for word; while reading */
    bool two_order; /* a result is the margin's sign, not what both orders name */
    /* Called with what a judge says of a pair of answers, and whose they are; may be NULL. */
    void (*judged)(void *arg, const struct ste_answer_pair *pair, const char *const *models,
                   const struct ste_outcome *o);
    void *arg;
};
void ste_contest_clear(struct ste_contest *c);

/* Adds the results of PATH, one a line: battles (model_a, model_b, winner) or FastChat's judgments of pairs. */
int ste_contest_read(struct ste_contest *c, const char *path, struct ste_err *err);

/* How each match is written. */
enum ste_match_format { STE_MATCH_FASTCHAT, STE_MATCH_ALPACAEVAL };
/* Adds the verdicts of JUDGE on the answers A, of BOUTS pairs of them (0: all), those that tell most about the ratings.
 * W, if not NULL, gets a line of each. */
int ste_contest_hold(struct ste_contest *c, struct ste_session *judge, const struct ste_answers *a, size_t bouts,
                     uint64_t seed, struct ste_jsonl_writer *w, enum ste_match_format format, struct ste_err *err);

#endif
