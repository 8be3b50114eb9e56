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
    char *id;     /* the row's id (string or number as text), or "FILE-NAME:LINE"; "ID/2-3": of its answers these two */
    char *row_id; /* ID, where the row has lists of answers and gives a pair of each chosen and each rejected one */
    struct ste_dialogue prompt;
    char *first, *second; /* chosen and rejected, or response_a and response_b */
    bool tied;            /* chosen and rejected are the same text, or the row says tie */
    long line;
    json_t *row;                   /* the whole row, for output */
    struct ste_strings references; /* answers known to be right, once ste_answer_pairs_references has read them */
};

struct ste_answer_pairs {
    char *path, *name; /* NAME: the suite's, by default the file's without folder and ending */
    struct ste_answer_pair *items;
    size_t n;
    bool ask_ties; /* a label may be a tie, and such pairs are judged too: votes */
};

/*
 * How rows become pairs. HELPSTEER2: either rows of ratings (prompt, response, helpfulness), of which each two of one
 * prompt make a pair, wherever they stand, the more helpful one being chosen; or rows of the preference split (prompt,
 * response_1, response_2, preference_strength: negative is for the first). MTBENCH_VOTES: a human vote a row
 * (question_id, model_a, model_b, winner, conversation_a, conversation_b, turn); of the second turn each answer is its
 * whole conversation. VERIFIABLE: no file, data/verifiable.h.
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

/* NAME: NULL, or what to call the file. LIMIT: rows that make pairs, 0: all. The first bad row is the error: FILE:LINE,
 * what is wrong, what would mend it. chosen and rejected are strings or message lists that end with the assistant's;
 * where they are whole dialogues, what both begin with is the prompt, and the rest of each its answer; or lists of
 * texts, several answers on a side (RewardBench 2). An id that two rows bear is an error; rows without a partner are
 * counted in a warning, as are votes that are there twice; a labelled row whose answers are equal and that says no tie
 * is warned of. */
int ste_answer_pairs_read(struct ste_answer_pairs *out, const char *path, const char *name, enum ste_pairs_kind kind,
                          size_t limit, struct ste_err *err);
/* A name for each of PATHS: its stem, behind as many of its folders as tell it from the others ("a/test" and
 * "b/test"). A file that is there twice: STE_EUSAGE. The caller clears NAMES, whatever this returns. */
int ste_pairs_names(const struct ste_strings *paths, struct ste_strings *names, struct ste_err *err);
/* These read the same a piece at a time. REFERENCES: each row must have some. */
struct ste_pairs_reader;
int ste_pairs_reader_open(struct ste_pairs_reader **out, const char *path, const char *name, enum ste_pairs_kind kind,
                          bool references, struct ste_err *err);
/* Fills OUT with the pairs of up to MOST rows (0: all); OUT->n is 0 at the end. READY: after the first one only those
 * that are there already, so that a stream's rows need not wait for each other. The pairs before a bad row come first,
 * the error with the next call; the call after that goes on behind it. */
int ste_pairs_reader_next(struct ste_pairs_reader *r, struct ste_answer_pairs *out, size_t most, bool ready,
                          struct ste_err *err);
void ste_pairs_reader_close(struct ste_pairs_reader *r);
/* A vote as exports name it: *SIGN 1 for model_a (or model_1), -1 for the other, 0 for a tie (tie, both_bad and the
 * like). -1: no such name. */
int ste_vote_read(const char *winner, int *sign);
/* Reads each row's "reference" (a text) or "references" (a list of texts). A row without: STE_EINPUT. */
int ste_answer_pairs_references(struct ste_answer_pairs *p, struct ste_err *err);
/* Reads those of one row and adds them to OUT. */
int ste_references_read(struct ste_strings *out, const json_t *row, const char *where, struct ste_err *err);
/* Keeps N of the rows that are not tied, drawn by SEED and the place of the row: the same ones for every judge, in the
 * order of the file. */
void ste_answer_pairs_sample(struct ste_answer_pairs *p, size_t n, uint64_t seed);
void ste_answer_pairs_clear(struct ste_answer_pairs *p);

/* Files of pairs that are judged together. */
struct ste_pair_files {
    struct ste_answer_pairs *files;
    size_t n, pairs, tied; /* PAIRS: all but the tied ones, unless ties are asked */
};
struct ste_pairs_params {
    size_t limit, sample; /* rows of each file: the first ones, or so many that are drawn; 0: all */
    uint64_t seed;        /* of the draw */
    bool references;      /* each row must have some */
};
/* PATHS of KIND, named by ste_pairs_names; VERIFIABLE ones are made. A file without rows: STE_EINPUT. */
int ste_pair_files_read(struct ste_pair_files *out, const struct ste_strings *paths, enum ste_pairs_kind kind,
                        const struct ste_pairs_params *p, struct ste_err *err);
void ste_pair_files_clear(struct ste_pair_files *f);

#endif
