/*
 * The score of a single answer, a whole number from 1 to 10, and its expected value over the judge's own distribution
 * (G-Eval, arXiv 2303.16634): finer than the likeliest number, and with fewer ties. Numbers are read from the tokens at
 * one place. The first question gives the probabilities of the digits there; where 1 is among them, a second one asks
 * which digit follows it, if any: it may be the 1 of 10 (or of 15, which is no score).
 */
#ifndef STE_JUDGE_SCORE_H
#define STE_JUDGE_SCORE_H

#include "judge/judge.h"

#define STE_SCORES 10

struct ste_score {
    enum ste_invalid reason; /* NONE, or why there is no score */
    double expected;         /* NAN where there is none */
    int likeliest;           /* 1..10; 0 where there is none */
    double p[STE_SCORES];    /* of 1, 2, ... 10 among the ten; all 0 where there is none */
    double mass;             /* of the ten together, over the whole vocabulary */
    char *reasoning;         /* NULL where nothing was generated */
};
void ste_score_clear(struct ste_score *s);

/* The material's A is the answer, its B is NULL. Free the texts after submit. */
void ste_score_ask(const struct ste_judge_setting *s, const struct ste_judge_material *m,
                   struct ste_judge_prompt *texts, struct ste_question *question);
/* Reads the first answer. True: the second question is to be asked. */
bool ste_score_read(const struct ste_answer *a, struct ste_score *out);
/* *PREFILL is freed by the caller after submit. */
void ste_score_ask_ten(const struct ste_judge_setting *s, const struct ste_judge_material *m,
                       const struct ste_score *so_far, struct ste_judge_prompt *texts, char **prefill,
                       struct ste_question *question);
void ste_score_read_ten(const struct ste_answer *a, struct ste_score *out);

#endif
