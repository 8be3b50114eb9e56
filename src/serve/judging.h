/*
 * The judging routes: a request is read (asked.h), made into pairs or single answers, asked of the judge on the model's
 * thread (work.h), and answered from what came. The judge may be any that `ste judge` takes; one that scores each
 * answer by itself (a reward model, likelihoods) gives pairs their verdicts by its scores.
 */
#ifndef STE_SERVE_JUDGING_H
#define STE_SERVE_JUDGING_H

#include "eval/eval.h"
#include "eval/scoring.h"
#include "judge/session.h"
#include "serve/asked.h"
#include "serve/exchange.h"
#include "serve/work.h"

/* What the routes need of the server, whose it stays. */
struct ste_judging_service {
    struct ste_work *work;
    struct ste_session *judge;
    const struct ste_judge_options *options; /* it was opened with */
};

/* Where a pair comes from: of a group its answers (J: the number of answers is the anchor), and by a judge that scores
 * answers the rows of both. */
struct ste_matched {
    size_t group, i, j, row[2];
};

/* One request on its way. */
struct ste_call {
    struct ste_exchange *x;
    struct ste_judging_service *s;
    struct ste_asked asked;
    json_t *(*reply)(struct ste_call *c); /* what came, as JSON; NULL: it has replied itself */
    bool by_scores;                       /* answers are asked about, and not pairs */
    /* What is asked: all in them is borrowed from ASKED. */
    struct ste_answer_pairs pairs;
    struct ste_matched *matched; /* (pairs) */
    struct ste_answer_rows rows;
    /* What came: */
    struct ste_outcome *outcomes; /* (pairs) */
    struct ste_score *scores;     /* (rows) of a judge that is asked */
    double *values;               /* (rows) of each answer; NAN: none, by */
    enum ste_invalid *reasons;    /* (rows) */
    size_t calls;                 /* questions that were put, or answers that were scored */
    /* While it is asked. */
    struct ste_judge_setting setting;
    struct ste_eval_setting votes;
    struct ste_likelihood_setting likelihood;
    struct ste_pairs_asked *pairs_asked;
    struct ste_scores_asked *scores_asked;
    struct ste_likelihoods_asked *likelihoods_asked;
    size_t scored; /* rows that a reward model is done with */
    struct ste_given *given;
    struct ste_message **messages; /* (rows) */
    struct ste_likelihood *found;
};

/* Answers X: its body is read by READ with HOW, asked of the judge, and what came is put by REPLY (judging.c). */
void ste_call_route(struct ste_judging_service *s, struct ste_exchange *x, ste_asked_reader *read, const void *how,
                    json_t *(*reply)(struct ste_call *c));
/* The same for a trainer's route, whose query says what a reward is (rewards.c). */
void ste_reward_route(struct ste_judging_service *s, struct ste_exchange *x, ste_asked_reader *read,
                      json_t *(*reply)(struct ste_call *c));
/* What came as JSON (judging_replies.c). */
json_t *ste_reply_verdicts(struct ste_call *c);
json_t *ste_reply_scores(struct ste_call *c);
json_t *ste_reply_ranking(struct ste_call *c);
json_t *ste_reply_groups(struct ste_call *c);
json_t *ste_reply_openrlhf(struct ste_call *c); /* rewards.c */
json_t *ste_reply_slime(struct ste_call *c);
json_t *ste_reply_classify(struct ste_call *c);
/* The rewards of a call's answers in the order in which they were given: single answers, or groups (N: how many).
 * NAN: there is none, as of *INVALID; *WHY: one reason. Caller frees. */
double *ste_call_rewards(struct ste_call *c, size_t *n, size_t *invalid, enum ste_invalid *why);

/* The table of the routes, which lives as long as the program; their arg is S. */
struct ste_route *ste_judging_table(struct ste_judging_service *s, size_t *n);

#endif
