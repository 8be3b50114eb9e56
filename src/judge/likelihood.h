/*
 * A judge that is asked nothing: how much more likely the model finds an answer behind its prompt than behind none. It
 * needs no prompt pack, and both orders of a pair say the same, since each answer is scored by itself. What it measures
 * is the pointwise mutual information of prompt and answer, so that an answer that is likely anyway (common, well
 * formed) gains nothing by that. In all, it is what the answer says of the prompt (log p(prompt | answer) up to what
 * both answers have in common), and a long one says more; a token at a time it falls with length, as the first tokens
 * gain most. Divided by the fourth root of the length it leans to neither (docs/learning.md has the measurements).
 */
#ifndef STE_JUDGE_LIKELIHOOD_H
#define STE_JUDGE_LIKELIHOOD_H

#include "core/log.h"
#include "llm/pump.h"

/* What an answer's score is, of its log-probabilities behind the prompt and behind an empty user message. */
enum ste_normalise {
    STE_NORMALISE_EVEN,      /* "even": their difference, by the fourth root of the answer's tokens */
    STE_NORMALISE_TOKEN,     /* "token": their difference, a token */
    STE_NORMALISE_SUM,       /* "sum": their difference */
    STE_NORMALISE_PLAIN,     /* "plain": that behind the prompt, a token */
    STE_NORMALISE_PLAIN_SUM, /* "plain-sum": that behind the prompt */
    STE_N_NORMALISE
};
extern const char *const ste_normalise_names[]; /* NULL-ended, as the enum has them */
/* SUM, a log-probability or a difference of two, of an answer of TOKENS. */
double ste_normalised(enum ste_normalise n, double sum, int tokens);

struct ste_likelihood_setting {
    int adapter;
    enum ste_normalise normalise;
    bool end; /* the end-of-turn token counts too: how likely the answer ends there */
};

/* A text behind a dialogue. */
struct ste_given {
    const struct ste_message *messages;
    size_t n_messages;
    const char *text;
};
/* The likelihoods of N texts, asked together; neighbours with one prompt share it. OUT[i].sum is NAN where a text and
 * its prompt do not fit the context. Of an empty text the end of the turn counts, as nothing else is there. */
int ste_likelihoods(struct ste_llm *llm, const struct ste_likelihood_setting *s, const struct ste_given *given,
                    size_t n, struct ste_likelihood *out, struct ste_progress *progress, struct ste_err *err);

/* The same in parts, for who has a loop of its own: what PUMP asks, until it is done. What is pointed to stays. */
struct ste_likelihoods_asked;
struct ste_likelihoods_asked *ste_likelihoods_ask(struct ste_llm *llm, const struct ste_likelihood_setting *s,
                                                  const struct ste_given *given, size_t n, struct ste_likelihood *out,
                                                  struct ste_progress *progress, struct ste_pump *pump);
void ste_likelihoods_done(struct ste_likelihoods_asked *g);

/* The texts whose likelihood a pair takes: both answers behind the prompt, then perhaps both behind none. */
enum { STE_LIKELIHOOD_MOST = 4 };
int ste_likelihood_texts(enum ste_normalise n);
/* An answer's score; L[0] and L[2] are those of its texts, of ste_likelihood_texts. */
double ste_likelihood_score(enum ste_normalise n, const struct ste_likelihood *l);

#endif
