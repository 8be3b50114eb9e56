/*
 * The rows of a run, one struct a table (docs/store.md), and everything that is asked of them: no statement of SQL
 * stands outside of this folder.
 *
 * A NULL text, a NAN and STE_NO_INT are nulls. What a reader is handed belongs to the query and lasts until it returns;
 * an error that it returns ends the reading and is returned. Rows are written inside the caller's transaction. Ids are
 * the caller's (core/hash.h), but for those of prompts.
 */
#ifndef STE_STORE_ROWS_H
#define STE_STORE_ROWS_H

#include "core/hash.h"
#include "store/store.h"

#define STE_NO_INT INT64_MIN

struct ste_token_ids {
    const int32_t *ids;
    size_t n;
};

struct ste_provenance_row {
    const char *id, *role, *model, *model_hash, *adapter_hash, *pack_hash, *numerics, *sampling, *seed;
    int64_t iteration;
};

struct ste_instruction_row {
    const char *id;
    int64_t position;
    const char *source, *dialogue, *category;
    int64_t complexity;
    const char *expected_length, *labelled_by, *state, *duplicate_of, *cluster, *split;
};

struct ste_label_row {
    const char *id, *instruction, *kind, *value;
    double logprob;
    const char *address, *provenance;
};

struct ste_generation_row {
    const char *id, *instruction, *kind, *parent;
    int64_t sample;
    const char *text, *finish;
    int64_t tokens;
    const char *address, *provenance;
};

struct ste_pair_row {
    const char *id, *instruction;
    int64_t position;
    const char *split, *kind, *state, *chosen_from, *modified_from, *rejected_from, *chosen, *modified, *rejected,
        *label_source;
};

/* Log-probabilities of both answers behind x, behind nothing, behind x'. */
struct ste_check_row {
    const char *pair;
    double margin, chosen_x, chosen_none, chosen_modified, rejected_x, rejected_none, rejected_modified;
    int64_t chosen_tokens, rejected_tokens, swapped;
    const char *provenance;
};

struct ste_judgment_row {
    const char *id, *pair;
    int64_t iteration;
    const char *winner; /* its place: "A" or "B" */
    int64_t sample;
    const char *verdict, *reason;
    int64_t correct;
    double logprob_a, logprob_b;
    const char *reasoning, *prompt; /* PROMPT: id; NULL where it was too long to be asked, as REASON says */
    struct ste_token_ids completion;
    int64_t n_free, n_written; /* of the completion: the free part, and that less the end of the turn */
    const char *address, *provenance;
};

struct ste_outcome_row {
    const char *id, *pair;
    int64_t iteration;
    const char *state;
    double probability;
};

/* What a model is trained on: the prompt's ids, then the completion's, of which the first BORDER are given as well and
 * the rest is learnt. POSITION: its place in the first epoch. REJECTED: of a preference, what the completion is
 * preferred to behind the same prompt and border; REJECTED_JUDGMENT: NULL also where it is the other label of JUDGMENT.
 */
struct ste_example_row {
    const char *id, *judgment, *pair;
    int64_t iteration, position;
    const char *label, *label_source;
    double weight;
    const char *prompt;
    struct ste_token_ids completion;
    int64_t border;
    struct ste_token_ids rejected;
    const char *rejected_judgment;
};

struct ste_train_step_row {
    int64_t iteration, step;
    double loss, lr, grad_norm;
    int64_t tokens, loss_tokens;
};

struct ste_checkpoint_row {
    int64_t iteration, step;
    const char *adapter_hash;
    int64_t pairs;
    double log_loss, accuracy, consistent, two_order, first_position;
    int64_t invalid;
};

struct ste_iteration_row {
    int64_t iteration, pairs;
    double agreement, invalid_share, first_position;
    int64_t judgments, kept, examples, chosen_step;
    double chosen_sure;
    const char *adapter_hash, *provenance, *stop;
};

struct ste_evaluation_row {
    const char *id, *suite, *item;
    int64_t position, iteration, step;
    const char *winner, *prompt_key, *verdict, *reason;
    double logprob_a, logprob_b;
    const char *reasoning, *provenance;
};

/* ---- writing ---- */

int ste_put_provenance(struct ste_store *s, const struct ste_provenance_row *r, struct ste_err *err); /* if new */
int ste_put_instruction(struct ste_store *s, const struct ste_instruction_row *r, struct ste_err *err);
int ste_put_label(struct ste_store *s, const struct ste_label_row *r, struct ste_err *err);
int ste_put_generation(struct ste_store *s, const struct ste_generation_row *r, struct ste_err *err);
int ste_put_pair(struct ste_store *s, const struct ste_pair_row *r, struct ste_err *err);
int ste_put_check(struct ste_store *s, const struct ste_check_row *r, struct ste_err *err);
/* If new; *ID derives from the tokens. */
int ste_put_prompt(struct ste_store *s, struct ste_token_ids tokens, struct ste_id *id, struct ste_err *err);
int ste_put_judgment(struct ste_store *s, const struct ste_judgment_row *r, struct ste_err *err);
int ste_put_outcome(struct ste_store *s, const struct ste_outcome_row *r, struct ste_err *err);
int ste_put_example(struct ste_store *s, const struct ste_example_row *r, struct ste_err *err);
int ste_put_train_step(struct ste_store *s, const struct ste_train_step_row *r, struct ste_err *err); /* if new */
int ste_put_checkpoint(struct ste_store *s, const struct ste_checkpoint_row *r, struct ste_err *err); /* if new */
int ste_put_iteration(struct ste_store *s, const struct ste_iteration_row *r, struct ste_err *err);
int ste_put_evaluation(struct ste_store *s, const struct ste_evaluation_row *r, struct ste_err *err);

/* Writes what select decides of an instruction. */
int ste_choose_instruction(struct ste_store *s, const char *id, const char *state, const char *cluster,
                           const char *split, struct ste_err *err);
/* Writes what the label model says of one. COMPLEXITY STE_NO_INT: it says nothing of that. */
int ste_label_instruction(struct ste_store *s, const char *id, const char *category, const char *expected_length,
                          int64_t complexity, struct ste_err *err);
int ste_set_pair_state(struct ste_store *s, const char *id, const char *state, struct ste_err *err);
int ste_swap_pair(struct ste_store *s, const char *id, struct ste_err *err); /* chosen and rejected change places */
/* Writes all figures of R's checkpoint. */
int ste_score_checkpoint(struct ste_store *s, const struct ste_checkpoint_row *r, struct ste_err *err);
/* Writes the adapter that an iteration ends with: chosen_step, chosen_sure, adapter_hash and provenance of R. */
int ste_set_adapter(struct ste_store *s, const struct ste_iteration_row *r, struct ste_err *err);
int ste_set_stop(struct ste_store *s, int64_t iteration, const char *why, struct ste_err *err);
int ste_add_work(struct ste_store *s, const char *step, int64_t iteration, double seconds, struct ste_err *err);

/* ---- reading ---- */

/* An instruction with the labels that a model gave it, what a file gave with it, and whether it has a pair. HAS: a
 * model was asked, whatever it said. */
struct ste_instruction_view {
    struct ste_instruction_row row;
    const char *category, *expected_length, *complexity; /* the model's */
    int64_t has_category, has_expected_length, has_complexity, paired;
    const char *known_answer; /* NULL: none was given */
    int64_t labelled;         /* both answers were given, and which one is better */
};
/* Reads those in STATE, by position. */
int ste_each_instruction(struct ste_store *s, const char *state,
                         int (*each)(void *arg, const struct ste_instruction_view *v, struct ste_err *err), void *arg,
                         struct ste_err *err);

/* Reads the attempts at a text, by sample. */
int ste_each_generation(struct ste_store *s, const char *instruction, const char *kind,
                        int (*each)(void *arg, const struct ste_generation_row *r, struct ste_err *err), void *arg,
                        struct ste_err *err);

/* A pair with its instruction and what the check said. */
struct ste_pair_view {
    struct ste_pair_row row;
    const char *dialogue;
    int64_t checked;
    double margin;
};
/* States of a pair that more than one place names. */
#define STE_PAIR_DISPUTED "check: disputed by likelihood"
#define STE_PAIR_MADE_AGAIN "check: disputed, made again" /* its instruction has another pair for it */
/* Reads the kept pairs of SPLIT (NULL: of all), and those in the state ALSO (NULL: none), by position. */
int ste_each_pair(struct ste_store *s, const char *split, const char *also,
                  int (*each)(void *arg, const struct ste_pair_view *v, struct ste_err *err), void *arg,
                  struct ste_err *err);

/* Reads those of an iteration, by the pair's position, the winner's place and the sample. */
int ste_each_judgment(struct ste_store *s, int64_t iteration,
                      int (*each)(void *arg, const struct ste_judgment_row *r, struct ste_err *err), void *arg,
                      struct ste_err *err);

/* An example with its prompt's ids and its pair's kind. */
struct ste_example_view {
    struct ste_example_row row;
    struct ste_token_ids prompt;
};
/* Reads those of an iteration, by position. */
int ste_each_example(struct ste_store *s, int64_t iteration,
                     int (*each)(void *arg, const struct ste_example_view *v, struct ste_err *err), void *arg,
                     struct ste_err *err);

/* Reads those of an iteration, by step. */
int ste_each_checkpoint(struct ste_store *s, int64_t iteration,
                        int (*each)(void *arg, const struct ste_checkpoint_row *r, struct ste_err *err), void *arg,
                        struct ste_err *err);
/* ITERATION 0: all. */
int ste_each_iteration(struct ste_store *s, int64_t iteration,
                       int (*each)(void *arg, const struct ste_iteration_row *r, struct ste_err *err), void *arg,
                       struct ste_err *err);
/* Reads those of a suite by position and the winner's place. KIND: of the pairs of that kind alone, unless NULL. */
int ste_each_evaluation(struct ste_store *s, const char *suite, const char *kind, int64_t iteration, int64_t step,
                        int (*each)(void *arg, const struct ste_evaluation_row *r, struct ste_err *err), void *arg,
                        struct ste_err *err);

/* Read the rows whose column BY ("id", "pair", a name that the code knows) is VALUE. */
#define STE_FIND(name, type)                                                                                           \
    int ste_find_##name(struct ste_store *s, const char *by, const char *value,                                        \
                        int (*each)(void *arg, const type *r, struct ste_err *err), void *arg, struct ste_err *err)
STE_FIND(provenance, struct ste_provenance_row);
STE_FIND(instruction, struct ste_instruction_row);
STE_FIND(label, struct ste_label_row);           /* by kind */
STE_FIND(generation, struct ste_generation_row); /* by kind and sample */
STE_FIND(pair, struct ste_pair_row);
STE_FIND(judgment, struct ste_judgment_row);     /* by iteration, sample and winner */
STE_FIND(outcome, struct ste_outcome_row);       /* by iteration */
STE_FIND(example, struct ste_example_row);       /* by iteration */
STE_FIND(evaluation, struct ste_evaluation_row); /* by iteration, step and winner */
int ste_find_check(struct ste_store *s, const char *pair,
                   int (*each)(void *arg, const struct ste_check_row *r, struct ste_err *err), void *arg,
                   struct ste_err *err);

/* ---- counting ---- */

enum ste_counted {
    STE_COUNT_INSTRUCTIONS,
    STE_COUNT_INSTRUCTIONS_KEPT,
    STE_COUNT_INSTRUCTIONS_ASKED,   /* that a label model would be asked about */
    STE_COUNT_INSTRUCTIONS_WAITING, /* read and not chosen yet, or kept and without a pair */
    STE_COUNT_KEPT_CHARS,           /* in the dialogues of kept instructions */
    STE_COUNT_LABELLED_KEPT,        /* of them came with both answers */
    STE_COUNT_GIVEN_CHARS,          /* in one of these answers, in the mean */
    STE_COUNT_PAIRS,
    STE_COUNT_PAIRS_KEPT,
    STE_COUNT_TOKENS,        /* of all attempts at texts */
    STE_COUNT_TRAIN_PAIRS,   /* kept */
    STE_COUNT_DEV_PAIRS,     /* kept */
    STE_COUNT_MODELS,        /* opened for the run; before the first it has nothing but what it read */
    STE_COUNT_TRAINED,       /* iterations with an adapter */
    STE_COUNT_LAST_JUDGED,   /* the last iteration that has judgments; 0: none */
    STE_COUNT_LAST_EXAMPLES, /* the last iteration that has examples; 0: none */
    STE_COUNT_EXAMPLES,      /* from here on: of an iteration */
    STE_COUNT_SAME_EXAMPLES, /* that the iteration before has as well, with nearly the same weight */
    STE_COUNT_EVALUATIONS,
    STE_N_COUNTED
};
/* ITERATION: where WHAT is of one. */
int ste_count(struct ste_store *s, enum ste_counted what, int64_t iteration, int64_t *out, struct ste_err *err);

/* The judgments of a pair in an order in an iteration. */
struct ste_judged {
    int64_t n, right, too_long;
};
int ste_judged(struct ste_store *s, int64_t iteration, const char *pair, const char *winner, struct ste_judged *out,
               struct ste_err *err);
/* How many orders of pairs have SAMPLES judgments, or one whose prompt was too long, or (STOP_EARLY) a right one. */
int ste_count_judged(struct ste_store *s, int64_t iteration, int64_t samples, bool stop_early, int64_t *out,
                     struct ste_err *err);

#endif
