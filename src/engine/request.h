/*
 * What is asked of a model, and what comes back. A request is one sample: free text, then (if CLOSING or CHOICES are
 * given) the closing words and a step that is constrained to the choices. Judging in closed mode is one such request.
 * Or the tokens are given, and only how likely they are is asked.
 */
#ifndef STE_ENGINE_REQUEST_H
#define STE_ENGINE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ste_sampling {
    double temperature; /* 0: the likeliest token */
    int top_k;          /* 0: off */
    double top_p;       /* 1: off */
    double min_p;       /* 0: off */
};

#define STE_MAX_STOPS 8
#define STE_MAX_CHOICES 32

struct ste_request {
    const int32_t *prompt; /* ids; copied at submit */
    size_t n_prompt;
    const struct ste_adapter *adapter; /* NULL: the base */
    uint64_t key;                      /* of the random numbers: a hash of all that defines the request */
    struct ste_sampling sampling;
    int max_tokens; /* of the free part; 0: there is none */
    const char
        *stops[STE_MAX_STOPS]; /* strings that end the free part (kept in the text); the end of turn always does */
    int n_stops;
    bool ignore_end_of_turn; /* benchmarks: sample on to max_tokens */
    /* Teacher forcing: tokens taken as the free part, as if they had been sampled; nothing else comes then, neither a
     * free part nor choices. */
    const int32_t *given; /* ids; copied at submit */
    size_t n_given;
    /* The constrained step. It is left out when the free part was cut by max_tokens. */
    const int32_t *closing; /* ids put behind the free part (less its end-of-turn token); may be NULL */
    size_t n_closing;
    const int32_t *choices[STE_MAX_CHOICES]; /* ids of each choice */
    size_t choice_len[STE_MAX_CHOICES];
    int n_choices;
    bool sample_choice; /* draw it at the temperature, top_p off; false: the likelier one */
};

enum ste_finish {
    STE_FINISH_END,    /* the end of the turn */
    STE_FINISH_STOP,   /* a stop string */
    STE_FINISH_LENGTH, /* cut at max_tokens or at the end of the context */
    STE_FINISH_CHOICE, /* the constrained step was taken */
    STE_FINISH_FAILED, /* transport (endpoints only) */
};

struct ste_completion {
    uint64_t ticket;
    enum ste_finish finish;
    enum ste_finish free_finish; /* how the free part ended */
    int32_t *tokens; /* the free part, with its end-of-turn token if it came; then closing; then the choice */
    float *logprobs; /* of each generated token at temperature 1, unfiltered; 0 for closing ones */
    size_t n, n_free;
    int choice; /* index, or -1 */
    /* log p of each choice at its place (temperature 1, over the whole vocabulary): exact where choices are single
     * tokens; for longer ones the sum along the path, -inf where the path was left. */
    float choice_logprobs[STE_MAX_CHOICES];
};
void ste_completion_clear(struct ste_completion *c);

#endif
