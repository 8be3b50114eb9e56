/*
 * A request on its way: the tokens known so far, how many are computed, and what the next logits mean. It moves from
 * the free part to the closing words and the constrained step by itself; the scheduler only computes rows.
 */
#ifndef STE_ENGINE_SEQUENCE_H
#define STE_ENGINE_SEQUENCE_H

#include "core/buf.h"
#include "engine/kv.h"
#include "engine/sampler.h"

struct ste_sequence {
    struct ste_request r;  /* its pointers go to copies that belong to the sequence */
    int32_t *ids;          /* the context: prompt, free part less end of turn, closing, choice */
    size_t n, done, n_max; /* known (less the last token that is given: nothing follows it), computed, at most */
    struct ste_chain chain;
    bool choosing; /* the next logits decide the constrained step */
    struct ste_completion out;
    struct ste_buf text; /* of the free part, kept when there are stops */
    bool alive[STE_MAX_CHOICES];
    size_t depth;          /* tokens of the choice taken so far */
    bool over;             /* the completion is whole */
    int n_rows, first_row; /* in the step at hand */
};

/* Copies R. STE_ETOOLONG when it does not fit N_CTX. */
int ste_sequence_new(struct ste_sequence **out, const struct ste_request *r, uint64_t ticket, int n_ctx, int n_vocab,
                     struct ste_err *err);
void ste_sequence_free(struct ste_sequence *s);
/* Takes the logits behind the last known token. True when the request has ended; its completion is then s->out. */
bool ste_sequence_advance(struct ste_sequence *s, struct ste_sampler *sampler, const struct ste_ops *ops,
                          const struct ste_tokenizer *tok, const float *logits, int n_vocab);

#endif
