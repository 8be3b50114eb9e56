/* The options that all commands share which judge. */
#ifndef STE_CLI_JUDGING_H
#define STE_CLI_JUDGING_H

#include "cli/cli.h"
#include "data/pairs.h"
#include "judge/session.h"

#define STE_JUDGE_HELP                                                                                                 \
    "a catalogue name, a .gguf path, RUN[:ITERATION], the folder of an adapter, or a server's model as URL#MODEL or "  \
    "a "                                                                                                               \
    "YAML file (docs/cluster.md); likelihood: before it judges by how likely the answers are"

struct ste_judging_flags {
    struct ste_judge_options judge;
    long long limit, sample; /* rows of each file */
    bool dry;                /* of the commands that have STE_DRY_RUN_HELP */
};
#define STE_DRY_RUN_HELP                                                                                               \
    "ask nobody; say how many questions there are, their tokens and, by the prices of a server's file, their cost"
extern const struct ste_option ste_judging_options[];
/* Values that do not go together: STE_EUSAGE. */
int ste_judging_check(const struct ste_judging_flags *o, struct ste_err *err);
/* Prints what ste_batch_estimate says of J, which counted. */
void ste_judging_say_dry(const struct ste_session *j);
struct ste_pairs_params ste_judging_pairs(const struct ste_judging_flags *o);

#endif
