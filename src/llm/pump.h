/*
 * The one place where a model's answers are taken. It asks until the model's window is full, hands each answer to its
 * caller, lets the caller save what it has every few seconds, and stops on Ctrl-C; what is in flight then is cancelled.
 */
#ifndef STE_LLM_PUMP_H
#define STE_LLM_PUMP_H

#include "llm/llm.h"

#define STE_TICK_SECONDS 2.0 /* what is lost at most when the program is killed */

struct ste_pump {
    struct ste_llm *llm;
    void *arg;
    /* Fills QUESTION and returns 1, or 0 when there is nothing to ask now (there may be after an answer). */
    int (*next)(void *arg, struct ste_question *question, struct ste_err *err);
    /* The question is submitted as TICKET, or did not fit (0, and TOO_LONG comes next): its texts may go. */
    void (*submitted)(void *arg, void *tag, uint64_t ticket);
    /* WHY: a sentence with the lengths, for a warning. It comes in place of ANSWER. */
    int (*too_long)(void *arg, void *tag, const char *why, struct ste_err *err);
    /* May move what it wants out of A; the rest is cleared. */
    int (*answer)(void *arg, struct ste_answer *a, struct ste_err *err);
    /* Every STE_TICK_SECONDS, between answers, to save what is there; NULL: nothing is to be saved. */
    int (*tick)(void *tick_arg, struct ste_err *err);
    void *tick_arg;
};
/* 0 when nothing is left to ask. All callbacks' errors end it. */
int ste_pump_run(const struct ste_pump *p, struct ste_err *err);
/* For who has a loop of its own: asks a question. 1: *TICKET is its (0: it did not fit); 0: there is none now. */
int ste_pump_ask(const struct ste_pump *p, uint64_t *ticket, struct ste_err *err);
/* Hands A over and clears it. */
int ste_pump_take(const struct ste_pump *p, struct ste_answer *a, struct ste_err *err);

#endif
