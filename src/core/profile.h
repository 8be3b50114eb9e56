/*
 * Where time goes, by step of the loop and kind of work. Time counts for the innermost kind that is open, so that all
 * of it adds up to the whole. One thread opens and closes kinds: the one that owns the engine; what the pool does
 * meanwhile is that thread's time. While it is off, a call is a test of a flag.
 */
#ifndef STE_CORE_PROFILE_H
#define STE_CORE_PROFILE_H

#include <stdint.h>

#include "core/buf.h"

enum ste_work {
    STE_WORK_OTHER,
    STE_WORK_LOAD,      /* opening and packing models */
    STE_WORK_PRODUCTS,  /* with the base's weights, forward */
    STE_WORK_BACKWARD,  /* with the base's weights, backward */
    STE_WORK_ADAPTER,   /* low-rank products, forward and backward */
    STE_WORK_ATTENTION, /* forward and backward */
    STE_WORK_ROWS,      /* embedding, norms, RoPE, SwiGLU */
    STE_WORK_SAMPLING,
    STE_WORK_LOSS, /* softmax of training */
    STE_WORK_OPTIMIZER,
    STE_WORK_STORE,
    STE_N_WORK
};

void ste_profile_start(void);
/* What follows belongs to this step; NAME is a constant string. Before the first: "start". */
void ste_profile_step(const char *name);
/* Opens a kind of work; what was open before comes back, for ste_profile_end. */
enum ste_work ste_profile_begin(enum ste_work w);
void ste_profile_end(enum ste_work before);
/* Tokens that the step read, wrote or trained on. */
void ste_profile_tokens(uint64_t read, uint64_t written, uint64_t trained);
/* A table of at most 80 columns: a line for each step and kind that took time, steps with their sum and tokens a
 * second, and the whole. Nothing where it is off. */
void ste_profile_table(struct ste_buf *out);

#endif
