/* What a report shows of a run, counted and averaged by the database, as JSON. */
#ifndef STE_STORE_TABLES_H
#define STE_STORE_TABLES_H

#include <jansson.h>

#include "store/store.h"

/* Where rows went: how many are in each state. */
enum ste_states {
    STE_STATES_INSTRUCTIONS,
    STE_STATES_SPLIT,      /* of kept instructions, by part */
    STE_STATES_PAIRS,      /* of kept instructions */
    STE_STATES_PAIR_SPLIT, /* of kept pairs, by part */
    STE_STATES_AGAIN,      /* of disputed pairs that were made again, by what they were */
    STE_STATES_RULES,      /* of kept pairs that a rule made, by rule */
    STE_STATES_TESTS,      /* of runs of code, by outcome */
    STE_STATES_JUDGMENTS,  /* from here on: of an iteration */
    STE_STATES_OUTCOMES,
    STE_STATES_EXAMPLES, /* by label */
    STE_N_STATES
};
/* {"total": N, "states": {"kept": n, ...}} in *OUT. */
int ste_states(struct ste_store *s, enum ste_states what, int64_t iteration, json_t **out, struct ste_err *err);

/* Lists of objects, one a row. */
enum ste_listed {
    STE_LIST_KINDS,      /* of pairs: kind, pairs, kept, checked_out, means of length and Markdown, margin */
    STE_LIST_ITERATIONS, /* the columns of an iteration; yield, steps, first_loss, last_loss */
    STE_LIST_CHECKPOINTS,
    STE_LIST_WORK,   /* step, iteration, seconds */
    STE_LIST_SUITES, /* but dev, the held-out synthetic pairs first: suite, last (iteration) */
    STE_LIST_STEPS,  /* of trainings: iteration, step, loss */
    STE_LIST_TOKENS, /* by step and iteration: what, how many, tokens read, written and learnt (null: not of it) */
    STE_LIST_MADE,   /* who made rows: role, model, its hash, adapter_hash, pack_hash, numerics, sampling, seed */
    STE_LIST_FACTS,  /* key and value of what is known of the run but its recipe */
    STE_N_LISTED
};
int ste_list(struct ste_store *s, enum ste_listed what, json_t **out, struct ste_err *err);

#endif
