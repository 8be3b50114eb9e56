/*
 * A judge opened by what users call it: its model with adapter and pack, or its reward model; its rubric, the secret of
 * its fences, and where its figures come from. eval/files.h judges pairs with it.
 */
#ifndef STE_JUDGE_SESSION_H
#define STE_JUDGE_SESSION_H

#include <jansson.h>

#include "judge/judge.h"
#include "judge/likelihood.h"
#include "judge/reward.h"
#include "llm/batch.h"

/* How judgments are drawn, in the loop and as votes. */
struct ste_judge_sampling {
    double temperature, top_p; /* of the reasoning */
    long long max_tokens;      /* of the reasoning; 0: the pack's */
};
extern const struct ste_option ste_judge_sampling_options[];

enum ste_judge_score { STE_SCORE_VERDICT, STE_SCORE_LIKELIHOOD, STE_SCORE_LOGITS };
/* How a judge is to judge. */
struct ste_judge_options {
    char *pack;   /* NULL: the run's, else direct */
    char *rubric; /* path of a text in place of the pack's criteria, or NULL */
    char *base;   /* of an adapter's folder: its model, or NULL: as its config names it */
    enum ste_judge_score score;
    enum ste_normalise normalise;
    long long votes; /* in both orders together; 0: one judgment in each, of the likeliest tokens */
    long long seed;
    struct ste_judge_sampling sampling; /* of votes */
    bool all_votes, reference, end_of_turn, no_cache;
    struct ste_llm_params engine;
};
extern const struct ste_option ste_judge_options[];

struct ste_session {
    const char *name; /* as the user wrote it */
    struct ste_judge_spec spec;
    struct ste_pack *pack;     /* NULL where nothing is asked */
    struct ste_llm *llm;       /* NULL with a reward model: */
    struct ste_reward *reward; /* its own forward pass, without questions */
    bool cached;               /* answers may come from the cache */
    char *secret, *rubric;
    struct ste_judge_setting setting;         /* without votes deterministic: the likeliest token, the likelier label */
    int votes;                                /* in each order; 0: one judgment */
    bool all_votes;                           /* also those that can change nothing any more */
    struct ste_likelihood_setting likelihood; /* where spec.likelihood says so */
    struct ste_batch
        *batch;         /* the caller's: set before ste_session_load, requests go by files or are counted; or NULL */
    size_t in_training; /* pairs judged last whose prompt is like one that the judge's run trains on */
};

/* What an open judge is for. */
enum ste_judge_use {
    STE_JUDGE_PAIRS,
    STE_JUDGE_SCORES, /* of single answers: only a judge that is asked gives them */
    STE_JUDGE_BESIDE, /* pairs, beside another judge: options that do not concern this one are for that */
};
/* Values that do not go together, and the score logits, which is the caller's to make: STE_EUSAGE. */
int ste_judge_options_check(const struct ste_judge_options *o, struct ste_err *err);
/* Reads JUDGE and its pack; ste_session_load then opens the model. JUDGE must outlive J. On an error J is closed. */
int ste_session_open(struct ste_session *j, const char *judge, const struct ste_judge_options *o,
                     enum ste_judge_use use, struct ste_err *err);
int ste_session_load(struct ste_session *j, const struct ste_judge_options *o, struct ste_err *err);
void ste_session_close(struct ste_session *j);

/* Gives what a message calls the judge: "NAME with pack PACK" and the like. Caller frees. */
char *ste_session_title(const struct ste_session *j);
/* Adds to ABOUT: judge, pack (its name, or "none"), provenance, which is what decides a judge's figures, and usage. */
void ste_session_about(const struct ste_session *j, json_t *about);
json_t *ste_session_provenance(const struct ste_session *j);
void ste_session_usage(const struct ste_session *j,
                       json_t *about); /* usage alone: what a server took, if J is on one */
const char *ste_session_pack_name(const struct ste_session *j);

#endif
