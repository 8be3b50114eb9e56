/*
 * Prompt packs: every text that ste puts to a model, in one editable YAML file (prompts/NAME.yaml, built in; a folder
 * given by the recipe or STE_PROMPTS overrides). A text may hold {{prompt}}, {{response_a}}, {{response_b}},
 * {{response}}, {{criteria}}, {{references}}, {{reference}}, {{instruction}}, {{answer}}, {{fence}}; an unknown or a
 * missing placeholder is an error when the pack is read.
 * A pack may name another as its `base`, from which it takes what it does not say itself (docs/judging.md).
 */
#ifndef STE_JUDGE_PACK_H
#define STE_JUDGE_PACK_H

#include <stdbool.h>

#include "core/err.h"
#include "data/dialogue.h"

/* DESIGN.md, contract 1; PACK: as the pack says, of options only. */
enum ste_verdict_mode { STE_MODE_FREE, STE_MODE_CLOSED, STE_MODE_PACK };
extern const char *const ste_mode_names[]; /* NULL-ended, as the enum has them */

struct ste_pack {
    char *name;
    char hash[65]; /* of the canonical content: part of every row's provenance */
    /* judge: rubric first, then the fenced texts, so that prefixes are shared */
    char *judge_system, *judge_user; /* SYSTEM may be NULL: the template's default */
    char *judge_criteria;            /* what {{criteria}} stands for, unless the user brings a rubric; or NULL */
    char *judge_reference;           /* one reference answer's block; {{references}} stands for all; or NULL */
    enum ste_verdict_mode mode;
    bool reasoning;            /* false: the verdict at once */
    char *marker_a, *marker_b; /* "[[A]]": free mode reads these, closed mode ends the reasoning at the text they share
                                  ("[["), less CLOSING */
    char *closing;             /* closed mode: text put behind the reasoning; the label follows it at once */
    char *label_a, *label_b;   /* "A", "B" */
    int max_tokens;            /* of the reasoning */
    /* score: a single answer, from 1 to 10. Reasoning, if any, ends at STOP; the number follows CLOSING. */
    char *score_user, *score_criteria, *score_reference, *score_stop, *score_closing; /* USER NULL: the pack cannot */
    int score_max_tokens; /* of the reasoning; 0: the number at once */
    /* select: each is answered by one constrained choice, which is the whole answer: "A".."O" in the order of
     * ste_category_name, "1".."5", and "A".."E" in the order of ste_length_name */
    char *category_user, *complexity_user, *length_user;
    /* pair; {{instruction}} is the dialogue's text */
    char *modify_user;                                    /* x' only (two calls) */
    char *modify_and_answer_user;                         /* x' and its answer in one call (paper) */
    char *one_call_instruction_tag, *one_call_answer_tag; /* headings to read that one by */
    char *modify_again_user;                              /* x' in other words, where the first way brought nothing */
    char *worse_user;                                     /* ablation: a worse answer */
    char *decline_system, *comply_system;                 /* how to answer: by declining well; whatever is asked */
};

/* NAME: a built-in pack, or a path to a YAML file (it holds a '/' or ends in .yaml). FOLDER (NULL: the environment's
 * STE_PROMPTS, if set) is searched for NAME.yaml first. */
int ste_pack_load(struct ste_pack **out, const char *name, const char *folder, struct ste_err *err);
void ste_pack_free(struct ste_pack *p);

/* The method's 15 categories and 5 expected lengths, in the order of the letters that stand for them in a pack. */
#define STE_CATEGORIES 15
#define STE_COMPLEXITIES 5
#define STE_LENGTHS 5
extern const char *const ste_category_name[STE_CATEGORIES], *const ste_length_name[STE_LENGTHS];

struct ste_slot {
    const char *name, *value;
};
/* TEXT with its placeholders filled; values are copied as they are and never searched for placeholders. One without a
 * slot stays as it stands. Caller frees. */
char *ste_pack_fill(const char *text, const struct ste_slot *slots, size_t n);

#endif
