/*
 * Pairs of answers read from a user's files: labelled ones for evaluation (prompt or messages, chosen,
 * rejected), unlabelled ones for judging (prompt or messages, response_a, response_b).
 */
#ifndef STE_DATA_PAIRS_H
#define STE_DATA_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/options.h"
#include "data/dialogue.h"

struct ste_answer_pair {
    char *id; /* the row's id (string or number as text), or "FILE-NAME:LINE" */
    struct ste_dialogue prompt;
    char *first, *second; /* chosen and rejected, or response_a and response_b */
    bool tied;            /* chosen and rejected are the same text, or the row says tie */
    long line;
    json_t *row; /* the whole row, for output */
    struct ste_strings references; /* answers known to be right, once ste_answer_pairs_references has read them */
};

struct ste_answer_pairs {
    char *path, *name; /* NAME: the file's name without folder and ending: the suite's name */
    struct ste_answer_pair *items;
    size_t n;
};

/*
 * How rows become pairs. HELPSTEER2: either rows of ratings (prompt, response, helpfulness), of which neighbours with
 * one prompt make a pair, the more helpful one being chosen; or rows of the preference split (prompt, response_1,
 * response_2, preference_strength: negative is for the first). MTBENCH_VOTES: a human vote a row (question_id, model_a,
 * model_b, winner, conversation_a, conversation_b, turn); of the second turn each answer is its whole conversation.
 * VERIFIABLE: no file, data/verifiable.h.
 */
enum ste_pairs_kind {
    STE_PAIRS_LABELLED,
    STE_PAIRS_UNLABELLED,
    STE_PAIRS_HELPSTEER2,
    STE_PAIRS_MTBENCH_VOTES,
    STE_PAIRS_VERIFIABLE
};
/* "pairs", "helpsteer2", "mtbench-votes", "verifiable". WHAT stands in the error. */
int ste_pairs_kind_by_name(const char *name, enum ste_pairs_kind *out, const char *what, struct ste_err *err);

/* LIMIT 0: all rows. The first bad row is the error: FILE:LINE, what is wrong, what would mend it. chosen and
 * rejected may be strings or message lists that end with an assistant turn (then the last turn is the answer). An id
 * that two rows bear is an error; a labelled row whose answers are equal and that says no tie is warned of. */
int ste_answer_pairs_read(struct ste_answer_pairs *out, const char *path, enum ste_pairs_kind kind, size_t limit,
                          struct ste_err *err);
/* The same a piece at a time. */
struct ste_pairs_reader;
int ste_pairs_reader_open(struct ste_pairs_reader **out, const char *path, enum ste_pairs_kind kind,
                          struct ste_err *err);
/* Fills OUT with up to MOST pairs (0: all); OUT->n is 0 at the end. READY: after the first one only those that are
 * there already, so that a stream's rows need not wait for each other. */
int ste_pairs_reader_next(struct ste_pairs_reader *r, struct ste_answer_pairs *out, size_t most, bool ready,
                          struct ste_err *err);
void ste_pairs_reader_close(struct ste_pairs_reader *r);
/* Reads each row's "reference" (a text) or "references" (a list of texts). A row without: STE_EINPUT. */
int ste_answer_pairs_references(struct ste_answer_pairs *p, struct ste_err *err);
/* The same of one row, added to OUT. */
int ste_references_read(struct ste_strings *out, const json_t *row, const char *where, struct ste_err *err);
/* Keeps N of the pairs that are not tied, drawn by SEED and the place of the row: the same ones for every judge, in the
 * order of the file. */
void ste_answer_pairs_sample(struct ste_answer_pairs *p, size_t n, uint64_t seed);
void ste_answer_pairs_clear(struct ste_answer_pairs *p);

#endif
