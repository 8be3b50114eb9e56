/*
 * What a person looks through: the rows of a run a page at a time, by filters, while another process may write to it. A
 * page is named by the row that it begins behind or ends before, never by a number of rows to pass over, so that the
 * last one of 100,000 is as near as the first. Long texts are cut to their beginning; rows.h has them whole.
 */
#ifndef STE_STORE_BROWSE_H
#define STE_STORE_BROWSE_H

#include <stdbool.h>

#include "store/rows.h"

enum ste_browsed {
    STE_BROWSE_INSTRUCTIONS, /* by position */
    STE_BROWSE_PAIRS,        /* by position */
    STE_BROWSE_JUDGMENTS,    /* of training pairs, by iteration, pair, winner and sample, as in a dump */
    STE_BROWSE_VERDICTS,     /* of an evaluation, by iteration, step, position and winner */
};

/* NULL: whatever it is. What a list has no column for is passed over, but for SUITE, which verdicts need. */
struct ste_filter {
    const char *text;   /* stands in the prompt, or in an answer of the pair or the instruction; ASCII in either case */
    const char *state;  /* of a judgment: "right", "wrong" or "invalid" */
    const char *reason; /* of what is invalid */
    const char *kind;   /* of the pair; of an instruction its category */
    const char *split;
    const char *suite;
    const char *outcome;   /* what became of a pair, in ITERATION if that is given */
    const char *iteration; /* a number; of a pair: it was judged in that one */
    bool disagree; /* the first samples of the two orders: one is right, the other one wrong (in ITERATION, if given) */
};
/* The ids of a row that the page begins behind, or that it ends before; at most one is given. */
struct ste_page {
    const char *after, *before;
    int64_t limit;
};

struct ste_instruction_line {
    const char *id, *state, *category, *split, *begins; /* BEGINS: the last turn */
    int64_t position, pairs;
};
struct ste_pair_line {
    const char *id, *instruction, *state, *kind, *split, *begins, *chosen, *rejected;
    int64_t position;
    const char *outcomes; /* "1: kept, 2: none right"; NULL: none yet */
};
/* Of an evaluation PAIR is its item, which has a KIND and a SPLIT where it is a pair of the run; SAMPLE and CORRECT are
 * those of a judgment. */
struct ste_judgment_line {
    const char *id, *pair, *winner, *verdict, *reason, *kind, *split, *begins;
    int64_t iteration, step, sample, correct;
    double logprob_a, logprob_b;
};
typedef int ste_instruction_line_fn(void *arg, const struct ste_instruction_line *r, struct ste_err *err);
typedef int ste_pair_line_fn(void *arg, const struct ste_pair_line *r, struct ste_err *err);
typedef int ste_judgment_line_fn(void *arg, const struct ste_judgment_line *r, struct ste_err *err);

/* Looks once, before the first page or count, for the text of F; a store is browsed with one F and in one list. */
int ste_browse_begin(struct ste_store *s, enum ste_browsed what, const struct ste_filter *f, struct ste_err *err);
/* Reads the rows of a page in the list's order. Of P with BEFORE the last LIMIT ones of all before it. */
int ste_browse_instructions(struct ste_store *s, const struct ste_filter *f, const struct ste_page *p,
                            ste_instruction_line_fn *each, void *arg, struct ste_err *err);
int ste_browse_pairs(struct ste_store *s, const struct ste_filter *f, const struct ste_page *p, ste_pair_line_fn *each,
                     void *arg, struct ste_err *err);
/* WHAT: judgments or verdicts. */
int ste_browse_judgments(struct ste_store *s, enum ste_browsed what, const struct ste_filter *f,
                         const struct ste_page *p, ste_judgment_line_fn *each, void *arg, struct ste_err *err);
/* All rows that F leaves. */
int ste_browse_count(struct ste_store *s, enum ste_browsed what, const struct ste_filter *f, int64_t *out,
                     struct ste_err *err);

/* The values that a filter may have, with the number of rows that have each. */
enum ste_valued {
    STE_VALUES_INSTRUCTION_STATE,
    STE_VALUES_CATEGORY,
    STE_VALUES_INSTRUCTION_SPLIT,
    STE_VALUES_PAIR_STATE,
    STE_VALUES_KIND,
    STE_VALUES_SPLIT, /* of pairs */
    STE_VALUES_OUTCOME,
    STE_VALUES_REASON,    /* of judgments */
    STE_VALUES_ITERATION, /* of judgments */
    STE_VALUES_SUITE,     /* of evaluations */
    STE_VALUES_SUITE_REASON,
    STE_VALUES_SUITE_ITERATION,
    STE_N_VALUED
};
int ste_browse_values(struct ste_store *s, enum ste_valued what,
                      int (*each)(void *arg, const char *value, int64_t n, struct ste_err *err), void *arg,
                      struct ste_err *err);

/* A verdict that two runs differ in: of ITEM, in the order in which the better answer stands at WINNER. */
struct ste_difference {
    const char *item, *winner, *first, *second; /* what the first and the second run's judge said */
    const char *begins, *kind;                  /* NULL: it is no pair of the run */
};
/* Reads at most P's number of them, by item and winner, behind "ITEM WINNER" (P's after; before is not used): of the
 * evaluation SUITE in the last iteration that each run has of it, or, SUITE NULL, of the first samples of training
 * pairs in the last iteration that both have. OTHER: the second run's folder, which can be opened to be read. *BOTH:
 * how many verdicts both have, *DIFFER: how many of these differ. */
int ste_browse_differences(struct ste_store *s, const char *other, const char *suite, const struct ste_page *p,
                           int64_t *both, int64_t *differ,
                           int (*each)(void *arg, const struct ste_difference *r, struct ste_err *err), void *arg,
                           struct ste_err *err);

/* How far a run is, from the numbers of its rows. */
struct ste_run_progress {
    int64_t instructions, instructions_kept, generations;
    int64_t paired; /* instructions that have a pair */
    int64_t pairs, pairs_kept;
    int64_t iteration; /* that is worked on: the last that has judgments or evaluations; 0: the seed, or none */
    int64_t judgments, judged, to_judge; /* in ITERATION: judgments, pairs that have one, training pairs */
    int64_t steps, last_step;            /* of training in all, and in ITERATION */
    int64_t verdicts;                    /* of all evaluations */
};
int ste_browse_progress(struct ste_store *s, struct ste_run_progress *out, struct ste_err *err);

#endif
