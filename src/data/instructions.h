/*
 * Unlabelled instructions: what a run starts from. JSONL with instruction (+ input), prompt, messages or
 * conversations and, where they are given, id, source and category; .txt: one instruction a line; "builtin": the ones
 * that come with ste.
 */
#ifndef STE_DATA_INSTRUCTIONS_H
#define STE_DATA_INSTRUCTIONS_H

#include "core/err.h"
#include "data/dialogue.h"

struct ste_instruction {
    char *id;       /* the row's, or "FILE-NAME:LINE" */
    char *source;   /* the row's, or the file's name without its folder */
    char *category; /* the row's, or NULL */
    char *truth;    /* what the row says is the right answer (data/truth.h), or NULL */
    long line;
    struct ste_dialogue dialogue;
};

struct ste_instructions {
    struct ste_instruction *items;
    size_t n, cap;
};

/* Adds those of PATH to L (a fresh one is all zero). LIMIT 0: all. The first bad row is the error: FILE:LINE and what
 * is wrong. What was added before it stays; ste_instructions_clear frees all. */
int ste_instructions_read(struct ste_instructions *l, const char *path, size_t limit, struct ste_err *err);
void ste_instructions_clear(struct ste_instructions *l);

#endif
