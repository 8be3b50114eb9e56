/* The flags that all commands share which judge. */
#ifndef STE_CLI_JUDGING_H
#define STE_CLI_JUDGING_H

#include "cli/cli.h"
#include "data/pairs.h"
#include "judge/session.h"

#define STE_JUDGE_HELP                                                                                                 \
    "a catalogue name, a .gguf path, RUN[:ITERATION], or the folder of an adapter; likelihood: before it judges by "   \
    "how likely the answers are"

struct ste_judging_flags {
    struct ste_judge_options judge;
    long long limit, sample;
};
#define STE_JUDGING_FLAGS(f)                                                                                           \
    {"pack", STE_FLAG_STRING, &(f).judge.pack, "PACK",                                                                 \
     "prompt pack: paper, small, direct, a YAML file (default: the run's, "                                            \
     "else direct)"},                                                                                                  \
        {"limit", STE_FLAG_INT, &(f).limit, "N", "the first N rows of each file"},                                     \
        {"sample", STE_FLAG_INT, &(f).sample, "N", "N pairs of each file, drawn by the seed"},                         \
        {"seed", STE_FLAG_INT, &(f).judge.seed, "S", "of fences, samples and intervals (default 0)"},                  \
        {"votes", STE_FLAG_INT, &(f).judge.votes, "K", "the majority of K samples, half in each order"},               \
        {"all-votes", STE_FLAG_BOOL, &(f).judge.all_votes, NULL, "also votes that can change nothing any more"},       \
        {"temperature", STE_FLAG_REAL, &(f).judge.temperature, "T", "of votes (default 0.7)"},                         \
        {"top-p", STE_FLAG_REAL, &(f).judge.top_p, "P", "of the reasoning of votes (default 0.9)"},                    \
        {"max-tokens", STE_FLAG_INT, &(f).judge.max_tokens, "N", "of the reasoning (default: the pack's)"},            \
        {"rubric", STE_FLAG_STRING, &(f).judge.rubric, "FILE", "a text in place of the pack's criteria"},              \
        {"reference", STE_FLAG_BOOL, &(f).judge.reference, NULL,                                                       \
         "show each row's reference answers (reference or references)"},                                               \
        {"score", STE_FLAG_STRING, &(f).judge.score, "HOW",                                                            \
         "likelihood: as a judge written likelihood:JUDGE; eval also has logits: the log-odds of both orders, and "    \
         "how "                                                                                                        \
         "calibrated they are"},                                                                                       \
        {"normalise", STE_FLAG_STRING, &(f).judge.normalise, "even|token|sum|plain|plain-sum",                         \
         "of likelihoods: what the prompt adds, by the fourth root of the answer's tokens, a token or in all, or "     \
         "that behind the prompt alone (even)"},                                                                       \
        {"end-of-turn", STE_FLAG_BOOL, &(f).judge.end_of_turn, NULL,                                                   \
         "of likelihoods: the end of the answer counts too"},                                                          \
        {"base", STE_FLAG_STRING, &(f).judge.base, "MODEL",                                                            \
         "of an adapter's folder: the model that it is for (default: the one that its adapter_config.json names)"},    \
        {"no-cache", STE_FLAG_BOOL, &(f).judge.no_cache, NULL, "do not use the cache of answers"},                     \
        STE_ENGINE_FLAGS((f).judge.engine)

/* What the flags are before they are read. */
#define STE_JUDGING_DEFAULTS                                                                                           \
    {                                                                                                                  \
        .judge = {.temperature = 0.7, .top_p = 0.9 }                                                                   \
    }
/* Values that do not go together: STE_EUSAGE. */
int ste_judging_flags_check(const struct ste_judging_flags *f, struct ste_err *err);
struct ste_pairs_params ste_judging_pairs(const struct ste_judging_flags *f);

#endif
