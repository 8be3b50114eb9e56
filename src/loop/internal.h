/* What the steps share. Nothing above loop/ includes this. */
#ifndef STE_LOOP_INTERNAL_H
#define STE_LOOP_INTERNAL_H

#include "core/hash.h"
#include "core/log.h"
#include "eval/eval.h"
#include "judge/reward.h"
#include "llm/pump.h"
#include "loop/loop.h"

/* A model in a role: where to ask, and with which adapter. */
struct ste_role_model {
    struct ste_llm *llm;
    int adapter;
    struct ste_reward *reward; /* not NULL: a reward model on LLM's weights, which is not asked but scores answers */
    const char *name;          /* as the recipe has it */
    char hash[65];             /* of the adapter, as the run knows it; "": as the llm does */
};
/* Gives the model of a role, for STE_LOOP_JUDGE that of iteration ITERATION (1 and up). It is opened at the first call
 * and kept open. */
int ste_loop_role_model(struct ste_loop *l, enum ste_loop_role role, int iteration, struct ste_role_model *out,
                        struct ste_err *err);
const char *ste_loop_role_name(enum ste_loop_role role); /* as provenance has it */
/* The bytes of what a role is given, a "model" or an "adapter" on it, are part of what a run is: the HASH seen first is
 * the run's, and another one is STE_EINPUT. */
int ste_loop_pin(struct ste_loop *l, const char *kind, const char *name, const char *hash, struct ste_err *err);
/* The folder of R's train.adapter, which must be an adapter on the seed; NULL: it names none. The caller frees it. */
int ste_loop_start_adapter(const struct ste_recipe *r, char **folder, struct ste_err *err);
/* The runs and adapters that R names, in roles and to start from, are there: asked before anything is done. */
int ste_loop_check_adapters(const struct ste_recipe *r, struct ste_err *err);
/* Gives the judge that iteration ITERATION trained; 0: the seed. It is the server of models.judge where that takes
 * adapters, else the seed here. Its adapter, or reward model, stays until the next call. */
int ste_loop_judge_after(struct ste_loop *l, int iteration, struct ste_role_model *out, struct ste_err *err);
/* The seed here, which is trained. */
int ste_loop_seed(struct ste_loop *l, struct ste_role_model *out, struct ste_err *err);
/* The engine of the SEED; NULL: it is no model of this machine, and cannot be trained. */
struct ste_engine *ste_loop_seed_engine(const struct ste_role_model *seed, struct ste_err *err);

/* Writes the row if it is new (inside the caller's transaction) and gives its id. SAMPLING: what was asked for. */
int ste_loop_provenance(struct ste_loop *l, const char *role, const struct ste_role_model *m,
                        const struct ste_sampling *sampling, int max_tokens, const char *mode, int iteration,
                        struct ste_id *id, struct ste_err *err);
/* Does the same with HOW (taken) in place of the sampling. */
int ste_loop_provenance_of(struct ste_loop *l, const char *role, const struct ste_role_model *m, json_t *how,
                           int iteration, struct ste_id *id, struct ste_err *err);
/* Does the same for what no model wrote: a file gave it ("given"), a rule made it ("rule"), a program said it
 * ("sandbox"). HOW (taken) may be NULL. */
int ste_loop_provenance_plain(struct ste_loop *l, const char *role, json_t *how, struct ste_id *id,
                              struct ste_err *err);
/* The pairs of the recipe's eval.files[WHICH], up to LIMIT (0: all), under the name that tells the file from the
 * others. Once it was read, another content under its path is STE_EUSAGE. */
int ste_loop_eval_file(struct ste_loop *l, size_t which, size_t limit, struct ste_answer_pairs *out,
                       struct ste_err *err);
/* How the judge M is asked. EVALUATION: labels are not drawn. */
void ste_loop_judge_setting(struct ste_loop *l, const struct ste_role_model *m, bool evaluation,
                            struct ste_judge_setting *out);

/* Commits what there is and goes on: for a pump's tick, whose argument is the loop. Inside a transaction. */
int ste_loop_save(void *loop, struct ste_err *err);
/* Ends the transaction by how the work went: what came before Ctrl-C is kept. Returns RC, or the commit's error. */
int ste_loop_saved(struct ste_loop *l, int rc, struct ste_err *err);
/* Runs P (all but its tick is set) inside transactions. */
int ste_loop_pump(struct ste_loop *l, struct ste_pump *p, struct ste_err *err);

/* Every kept instruction has a pair: else STE_EUSAGE names the step that is missing. */
int ste_loop_paired(struct ste_loop *l, struct ste_err *err);
/* A pair to train on is left: else STE_ETHRESHOLD, in the name of STEP. */
int ste_loop_pairs_left(struct ste_loop *l, const char *step, struct ste_err *err);
/* Judgments are drawn and trained on; else pairs themselves are. */
bool ste_loop_judges(const struct ste_loop *l);
/* By the rule margin with a verdict at once the right label is trained, whichever a judgment drew. */
bool ste_loop_any_label(const struct ste_loop *l);
/* DPO behind reasoning: a wrong judgment is trained on beside the right one. Of a verdict at once the wrong label is
 * known. */
bool ste_loop_wants_wrong(const struct ste_loop *l);
enum ste_verdict_mode ste_loop_mode(const struct ste_loop *l); /* the recipe's, or else the pack's */
/* Judgments of a pair in an order, at most; and whether those above the first right one are left out (contract 7): only
 * where the filter's rule is to keep one right judgment, and no wrong one is wanted. */
int ste_loop_samples(const struct ste_loop *l);
bool ste_loop_stops_early(const struct ste_loop *l);
/* The training pairs that filter.kinds keeps out of ITERATION, sorted by id; the caller clears the list. */
int ste_loop_held_back(struct ste_loop *l, int iteration, struct ste_strings *held, struct ste_err *err);
bool ste_loop_is_held_back(const struct ste_strings *held, const char *pair);

/* Splits texts into train, dev and test by clusters: SPLIT[i] becomes one of these names. IDS name the items,
 * CLUSTER_OF[i] is the lowest index of i's cluster. A cluster goes whole into one part. Clusters of items that are all
 * APART are split by themselves, so that each part has its share of them and of the rest. */
void ste_loop_split(const char *const *ids, const size_t *cluster_of, const bool *apart, size_t n, double dev,
                    double test, uint64_t seed, const char **split);

/* The labels A and B of N examples, named by IDS: KEEP[i] is set so that A has SHARE of those that stay, within so many
 * standard DEVIATIONS of a coin with that share. Which ones of a class stay is drawn by KEY. Counts are before the cut.
 */
void ste_loop_balance(const char *const *ids, const char *labels, size_t n, const char *key, double share,
                      double deviations, bool *keep, size_t *a, size_t *b);

/* A pair's id. FROM: the rows of its chosen answer, modified instruction and rejected answer; NULL: none. */
struct ste_id ste_loop_pair_id(const char *instruction, const char *kind, const char *const from[3]);

/* An answer to an instruction that may be the rejected one of another. Nothing in it is owned. */
struct ste_lent {
    const char *instruction, *split, *answer, *row; /* ROW: the answer's, in the store */
    const struct ste_dialogue *x;
    bool lends; /* it stands for its own instruction, and no file gave it: who wrote it would show */
};
/* The one of ALL[N] whose answer is rejected for that of TO, which is one of them: of its part of the split, and by
 * pair.other_nearest any of them or the nearest of some. NULL: there is none. */
const struct ste_lent *ste_loop_lender(const struct ste_loop *l, const struct ste_lent *all, size_t n, size_t to);

/* The answer to an instruction whose pair is disputed was written, and is held against the answer to another
 * instruction instead: a pair of the kind `other`, not checked yet, for each that finds one. */
int ste_loop_make_again(struct ste_loop *l, struct ste_err *err);

/* Says why a text that ended by FINISH is of no use to anybody: "empty", "cut off", ..., or NULL. */
const char *ste_loop_degenerate(const char *text, const char *finish);

/* Sets what an iteration is trained with, on N examples; the pool is left out. */
struct ste_train_params;
int ste_loop_train_params(const struct ste_recipe *r, int iteration, int n, struct ste_train_params *p,
                          struct ste_err *err);

/* The ids of the labels A and B, where a verdict comes at once. */
struct ste_label_ids {
    int32_t *ids[2];
    size_t n[2];
};
int ste_loop_label_ids(struct ste_loop *l, struct ste_label_ids *out, struct ste_err *err);
void ste_loop_label_ids_clear(struct ste_label_ids *l);

/* What a reward model is trained on of a pair: IDS of the better and of the worse answer, N_PROMPT of which are the
 * prompt's. The caller clears both. */
int ste_loop_reward_ids(struct ste_loop *l, const char *dialogue, const char *better, const char *worse,
                        struct ste_tokens ids[2], int *n_prompt, struct ste_err *err);

/* A judgment's completion, and what is trained of it. */
struct ste_training_ids {
    int32_t *completion;         /* (n) */
    size_t n, n_free, n_written; /* as of a judgment's row */
    size_t border;               /* of the completion so many are given, like the prompt */
};
/* Puts a completion in the place of X's, which stays the caller's: with the label that is right, whichever the judgment
 * drew. The caller frees the new one. */
void ste_loop_training_ids(struct ste_training_ids *x, const struct ste_label_ids *labels, char label);

struct ste_loop_clock {
    const char *step;
    int iteration;
    double began;
};
void ste_loop_clock_start(struct ste_loop_clock *c, const char *step, int iteration);
int ste_loop_clock_stop(struct ste_loop *l, const struct ste_loop_clock *c, struct ste_err *err);

/* Evaluates MODEL on the dev pairs (STEP of ITERATION) and gives their figures; LOG_LOSS as of ste_log_loss. */
int ste_loop_evaluate_dev(struct ste_loop *l, const struct ste_role_model *m, int iteration, int step,
                          struct ste_metrics *out, double *log_loss, struct ste_err *err);

#endif
