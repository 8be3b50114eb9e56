/* What the steps share. Nothing above loop/ includes this. */
#ifndef STE_LOOP_INTERNAL_H
#define STE_LOOP_INTERNAL_H

#include "core/hash.h"
#include "core/log.h"
#include "eval/eval.h"
#include "loop/loop.h"

/* A model in a role: where to ask, with which adapter, and the id of the provenance row for what comes back. */
struct ste_voice {
    struct ste_llm *llm;
    int adapter;
    const char *model; /* as the recipe names it */
};
/* The model of a role; for STE_LOOP_JUDGE of iteration ITERATION (1 and up). Opened at the first call, kept open. */
int ste_loop_voice(struct ste_loop *l, enum ste_loop_role role, int iteration, struct ste_voice *out,
                   struct ste_err *err);
const char *ste_loop_role_name(enum ste_loop_role role); /* as provenance has it */
/* The judge that iteration ITERATION trained; 0: the seed. */
int ste_loop_trained(struct ste_loop *l, int iteration, struct ste_voice *out, struct ste_err *err);
int ste_loop_seed(struct ste_loop *l, struct ste_llm **out, struct ste_err *err);
char *ste_loop_adapter_folder(const struct ste_loop *l, int iteration); /* caller frees */

/* Writes the row if it is new (inside the caller's transaction) and gives its id. SAMPLING: what was asked for. */
int ste_loop_provenance(struct ste_loop *l, const char *role, const struct ste_voice *v,
                        const struct ste_sampling *sampling, int max_tokens, const char *mode, int round,
                        struct ste_id *id, struct ste_err *err);
/* The same with HOW (taken) in place of the sampling. */
int ste_loop_provenance_of(struct ste_loop *l, const char *role, const struct ste_voice *v, json_t *how, int round,
                           struct ste_id *id, struct ste_err *err);
/* Of what no model wrote, but a file gave. */
int ste_loop_provenance_given(struct ste_loop *l, struct ste_id *id, struct ste_err *err);
/* The pairs of the recipe's eval.files[WHICH], up to LIMIT (0: all), under the name that tells the file from the others.
 * Once it was read, another content under its path is STE_EUSAGE. */
int ste_loop_eval_file(struct ste_loop *l, size_t which, size_t limit, struct ste_answer_pairs *out,
                       struct ste_err *err);
/* For evaluation: labels are not drawn. */
void ste_loop_judge_setting(struct ste_loop *l, const struct ste_voice *v, bool evaluation,
                            struct ste_judge_setting *out);

/*
 * Keeps a model's window full. NEXT fills an ask and returns 1, or 0 when there is nothing to ask now (there may be
 * after an answer). SUBMITTED gets its ticket and frees the ask's texts; TOO_LONG comes in its place when the prompt
 * does not fit. ANSWER takes an answer. All run inside a transaction that is committed every few seconds, at the end
 * and on Ctrl-C; whatever is still in flight is then cancelled.
 */
struct ste_drive {
    struct ste_llm *llm;
    void *arg;
    int (*next)(void *arg, struct ste_ask *ask, struct ste_err *err);
    void (*submitted)(void *arg, void *tag, uint64_t ticket);
    int (*too_long)(void *arg, void *tag, struct ste_err *err);
    int (*answer)(void *arg, const struct ste_answer *a, struct ste_err *err);
};
int ste_loop_drive(struct ste_loop *l, const struct ste_drive *d, struct ste_err *err);

/* Every kept instruction has a pair: else STE_EUSAGE names the step that is missing. */
int ste_loop_paired(struct ste_loop *l, struct ste_err *err);
/* A pair to train on is left: else STE_ETHRESHOLD, in the name of STEP. */
int ste_loop_pairs_left(struct ste_loop *l, const char *step, struct ste_err *err);
/* By the rule margin with a verdict at once the right label is trained, whichever a judgment drew. */
bool ste_loop_any_label(const struct ste_loop *l);
/* Judgments of a pair in an order, at most; and whether those above the first right one are left out (contract 7): only
 * where the filter's rule is to keep one right judgment. */
int ste_loop_samples(const struct ste_loop *l);
bool ste_loop_stops_early(const struct ste_loop *l);
/* The training pairs that filter.kinds keeps out of ITERATION, sorted by id; the caller clears the list. */
int ste_loop_held_back(struct ste_loop *l, int iteration, struct ste_strings *held, struct ste_err *err);
bool ste_loop_is_held_back(const struct ste_strings *held, const char *pair);

/* Splits texts into train, dev and test by clusters: SPLIT[i] becomes one of these names. IDS name the items,
 * CLUSTER_OF[i] is the lowest index of i's cluster. A cluster goes whole into one part. */
void ste_loop_split(const char *const *ids, const size_t *cluster_of, size_t n, double dev, double test, uint64_t seed,
                    const char **split);

/* The labels A and B of N examples, named by IDS: KEEP[i] is set so that both classes have as many as the smaller one.
 * Which ones of the larger class stay is drawn by KEY. Counts are before the cut. */
void ste_loop_balance(const char *const *ids, const char *labels, size_t n, const char *key, bool *keep, size_t *a,
                      size_t *b);

/*
 * The samples of one pair in one order, which arrive in any order. Sample k becomes final once all below it are; with
 * STOP_EARLY nothing above the first right one is ever final. So the final ones do not depend on who came first.
 */
struct ste_samples {
    int limit;     /* N */
    int asked_to;  /* samples below this may be asked */
    int next_ask;  /* the next to ask */
    int final;     /* how many are final: 0 .. final-1 */
    bool stop_early, done;
};
void ste_samples_init(struct ste_samples *s, int limit, int already, int speculate, bool stop_early);
/* The next to be asked, or -1: wait, or done. */
int ste_samples_ask(struct ste_samples *s);
/* Sample FINAL of S is known and RIGHT or not. Then DONE may be set. Returns true when more may be asked. */
bool ste_samples_final(struct ste_samples *s, bool right);

/* Why a text that ended by FINISH is of no use to anybody: "empty", "cut off", ..., or NULL. */
const char *ste_loop_degenerate(const char *text, const char *finish);

/*
 * The examples of an iteration (its number is the query's first value) in twos, an A and a B: both orders of one pair,
 * then what is left of the two labels. A batch takes them together, so that its step teaches no position: what says "A"
 * whatever the answers are is pushed as hard one way as the other. And twos in twos: a pair of `refuse` with one of
 * `comply`, as far as there are both, so that a step does not teach that to decline is right, or wrong, whatever was asked.
 * PLACE of PLACES is an example's rank by the check's margin, the clearest first, among those of its label.
 */
#define STE_LOOP_EXAMPLES                                                                                              \
    "(SELECT o.*, row_number() OVER (PARTITION BY o.opposed, o.label ORDER BY o.margin DESC, o.pair) AS place, "       \
    "1.0 * count(*) OVER (PARTITION BY o.opposed, o.label) AS places FROM (SELECT x.*, c.margin, count(*) OVER "       \
    "(PARTITION BY x.pair) AS orders, CASE WHEN p.kind IN ('refuse', 'comply') THEN p.kind END AS opposed FROM example x "\
    "JOIN pair p ON p.id = x.pair LEFT JOIN pair_check c ON c.pair = x.pair WHERE x.iteration = ?) o) e"
#define STE_LOOP_IN_TWOS                                                                                               \
    "ORDER BY e.orders DESC, e.opposed IS NULL, row_number() OVER (PARTITION BY e.orders, e.opposed, e.label ORDER BY "  \
    "e.pair), e.opposed, e.label"
/* The clearest first, by the check's margin, and harder ones among them as it goes on: a pair is kept back by its rank,
 * then comes at a time of its own (multiples of the golden ratio lie evenly). Pairs without a margin, which rank as they
 * come, are kept back for a third, still in twos of twos. */
#define STE_LOOP_RANK                                                                                                  \
    "(CASE WHEN e.opposed IS NULL THEN e.place / e.places ELSE 0.33 + 0.67 * e.place / e.places END)"
#define STE_LOOP_EASY_FIRST                                                                                            \
    "ORDER BY " STE_LOOP_RANK " + (1 - " STE_LOOP_RANK ") * (0.618034 * e.place - CAST(0.618034 * e.place AS INTEGER)), "\
    "e.opposed, e.pair, e.label"
#define STE_LOOP_TOGETHER 4 /* examples that a shuffle moves as one */

/* Token ids to and from a blob: four bytes each, little endian. */
void ste_loop_tokens_pack(const int32_t *ids, size_t n, struct ste_buf *out);
int32_t *ste_loop_tokens_unpack(const void *blob, size_t bytes, size_t *n); /* caller frees */

/* A stored example as token ids. The completion ends with the label that is right, whichever the judgment drew. */
struct ste_loop_example {
    int32_t *prompt, *completion;
    size_t n_prompt, n, n_free; /* N_FREE of the completion are the judge's own text */
    size_t n_label;             /* ids of the label; 0: cannot be told */
    const char *id, *label, *label_source; /* valid until the next row */
    double weight;
};
/* The examples of an iteration (the query's only value); behind it an order, STE_LOOP_IN_TWOS or STE_LOOP_EASY_FIRST. */
#define STE_LOOP_EXAMPLE_ROWS                                                                                          \
    "SELECT p.tokens, j.completion, j.n_free, e.label, e.weight, e.id, e.label_source FROM " STE_LOOP_EXAMPLES          \
    " JOIN judgment j ON j.id = e.judgment JOIN prompt p ON p.id = j.prompt "
/* The row that the query stands at; ste_loop_example_clear frees. */
void ste_loop_example_read(sqlite3_stmt *q, const struct ste_pack *p, const struct ste_tokenizer *t,
                           struct ste_loop_example *out);
void ste_loop_example_clear(struct ste_loop_example *x);

struct ste_loop_clock {
    const char *step;
    int iteration;
    double began;
};
void ste_loop_clock_start(struct ste_loop_clock *c, const char *step, int iteration);
int ste_loop_clock_stop(struct ste_loop *l, const struct ste_loop_clock *c, struct ste_err *err);

/* A column's text, never NULL ("" for null); valid until the next step of the query. */
const char *ste_loop_text(sqlite3_stmt *q, int column);
char *ste_loop_text_dup(sqlite3_stmt *q, int column); /* NULL for null; caller frees */
int ste_loop_dialogue(const char *json, struct ste_dialogue *out, struct ste_err *err);

/* Evaluates V on the dev pairs (STEP of ITERATION) and gives their figures; LOG_LOSS as of ste_log_loss. */
int ste_loop_evaluate_dev(struct ste_loop *l, const struct ste_voice *v, int iteration, int step,
                          struct ste_metrics *out, double *log_loss, struct ste_err *err);

#endif
