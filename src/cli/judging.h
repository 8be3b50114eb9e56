/* What `ste judge`, `ste eval` and `ste compare` share: opening a judge, reading files of pairs. */
#ifndef STE_CLI_JUDGING_H
#define STE_CLI_JUDGING_H

#include "cli/cli.h"
#include "eval/eval.h"
#include "eval/likelihood.h"
#include "eval/reward.h"

#define STE_JUDGE_HELP                                                                                                 \
    "a catalogue name, a .gguf path, RUN[:ITERATION], or the folder of an adapter; likelihood: before it judges by "   \
    "how likely the answers are"

struct ste_judging_flags {
    const char *pack; /* NULL: the run's, else direct */
    long long seed, limit, sample, max_tokens, votes;
    double temperature, top_p;
    bool no_cache, all_votes, reference, end_of_turn;
    const char *score, *normalise;
    bool several;       /* judges: what a flag cannot say to one of them it says to the other */
    const char *rubric; /* path */
    const char *base;
    struct ste_engine_flags engine;
};
#define STE_JUDGING_FLAGS(f)                                                                                           \
    {"pack", STE_FLAG_STRING, &(f).pack, "PACK",                                                                       \
     "prompt pack: paper, small, direct, a YAML file (default: the run's, "                                            \
     "else direct)"},                                                                                                  \
        {"limit", STE_FLAG_INT, &(f).limit, "N", "the first N rows of each file"},                                     \
        {"sample", STE_FLAG_INT, &(f).sample, "N", "N pairs of each file, drawn by the seed"},                         \
        {"seed", STE_FLAG_INT, &(f).seed, "S", "of fences, samples and intervals (default 0)"},                        \
        {"votes", STE_FLAG_INT, &(f).votes, "K", "the majority of K samples, half in each order"},                     \
        {"all-votes", STE_FLAG_BOOL, &(f).all_votes, NULL, "also votes that can change nothing any more"},             \
        {"temperature", STE_FLAG_REAL, &(f).temperature, "T", "of votes (default 0.7)"},                               \
        {"top-p", STE_FLAG_REAL, &(f).top_p, "P", "of the reasoning of votes (default 0.9)"},                          \
        {"max-tokens", STE_FLAG_INT, &(f).max_tokens, "N", "of the reasoning (default: the pack's)"},                  \
        {"rubric", STE_FLAG_STRING, &(f).rubric, "FILE", "a text in place of the pack's criteria"},                    \
        {"reference", STE_FLAG_BOOL, &(f).reference, NULL,                                                             \
         "show each row's reference answers (reference or references)"},                                               \
        {"score", STE_FLAG_STRING, &(f).score, "HOW",                                                                  \
         "likelihood: as a judge written likelihood:JUDGE; eval also has logits: the log-odds of both orders, and "    \
         "how "                                                                                                        \
         "calibrated they are"},                                                                                       \
        {"normalise", STE_FLAG_STRING, &(f).normalise, "even|token|sum|plain|plain-sum",                               \
         "of likelihoods: what the prompt adds, by the fourth root of the answer's tokens, a token or in all, or "     \
         "that behind the prompt alone (even)"},                                                                       \
        {"end-of-turn", STE_FLAG_BOOL, &(f).end_of_turn, NULL, "of likelihoods: the end of the answer counts too"},    \
        {"base", STE_FLAG_STRING, &(f).base, "MODEL",                                                                  \
         "of an adapter's folder: the model that it is for (default: the one that its adapter_config.json names)"},    \
        {"no-cache", STE_FLAG_BOOL, &(f).no_cache, NULL, "do not use the cache of answers"},                           \
        STE_ENGINE_FLAGS((f).engine)

struct ste_open_judge {
    const char *name; /* as the user wrote it */
    struct ste_judge_spec spec;
    struct ste_pack *pack;     /* NULL where nothing is asked */
    struct ste_llm *llm;       /* NULL with a reward model: */
    struct ste_reward *reward; /* its own forward pass, without questions */
    struct ste_pool *pool;     /* of REWARD */
    bool cached;               /* answers may come from the cache */
    bool more;                 /* another judge follows on the same pairs: said with the time */
    char *secret, *rubric;
    size_t in_training;               /* pairs judged last whose prompt is like one that the judge's run trains on */
    bool scoring;                     /* set before ste_judge_open: of single answers */
    struct ste_judge_setting setting; /* without votes deterministic: the likeliest token, the likelier label */
    struct ste_eval_setting evaluation;
    struct ste_likelihood_setting likelihood; /* where spec.likelihood says so */
};
/* What the flags are before they are read. */
#define STE_JUDGING_DEFAULTS                                                                                           \
    {                                                                                                                  \
        .temperature = 0.7, .top_p = 0.9                                                                               \
    }
/* Checks the flags' values: STE_EUSAGE. */
int ste_judging_flags_check(const struct ste_judging_flags *f, struct ste_err *err);
/* Reads JUDGE and its pack; ste_judge_load then opens the model. */
int ste_judge_open(struct ste_open_judge *j, const char *judge, const struct ste_judging_flags *f, struct ste_err *err);
int ste_judge_load(struct ste_open_judge *j, const struct ste_judging_flags *f, struct ste_err *err);
void ste_judge_close(struct ste_open_judge *j);

struct ste_pair_files {
    struct ste_answer_pairs *files;
    size_t n, pairs, tied; /* PAIRS: all but the tied ones */
};
int ste_pair_files_read(struct ste_pair_files *p, const struct ste_strings *paths, enum ste_pairs_kind kind,
                        const struct ste_judging_flags *f, struct ste_err *err);
void ste_pair_files_clear(struct ste_pair_files *p);

/* Says how many calls are to come and how long they will take, then judges all files in both orders. OUTCOMES has one
 * array a file. */
int ste_judge_files(struct ste_open_judge *j, const struct ste_pair_files *p, struct ste_outcome ***outcomes,
                    struct ste_err *err);
void ste_outcome_arrays_free(struct ste_outcome **outcomes, const struct ste_pair_files *p);
/* What a message calls it: "NAME with pack PACK" and the like. Caller frees. */
char *ste_judge_title(const struct ste_open_judge *j);
const char *ste_judge_prompt_name(const struct ste_open_judge *j); /* the pack's; "none" where nothing is asked */
/* How much progress so many pairs are. */
size_t ste_judge_calls(const struct ste_open_judge *j, size_t pairs, bool both);
/* Judges PAIRS, in the order of the file alone unless BOTH. */
int ste_open_judge_pairs(struct ste_open_judge *j, const struct ste_answer_pairs *pairs, bool both,
                         struct ste_outcome *out, struct ste_progress *progress, struct ste_err *err);
/* Model, adapter, pack and so on: what decides a judge's figures. */
json_t *ste_judge_provenance(const struct ste_open_judge *j);

#endif
