/*
 * One interface to whatever generates: a table of operations and what the implementation can do. local.c is the engine
 * in this process, remote.c a server; cache.c wraps any implementation; tests have one of paper. Nothing above this
 * floor knows which it speaks to, but for training, benchmarks and the tools for logits and tokens, which need the
 * engine (local.h).
 *
 * A question's address is the SHA-256 of model, adapter, prompt ids, constraint, stops, token limit, sampling, seed and
 * sample index (contract 3). Its first 8 bytes key the random numbers. Failed transport is never cached.
 *
 * One thread at a time works with an llm; what it does inside may be spread over more.
 */
#ifndef STE_LLM_LLM_H
#define STE_LLM_LLM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/options.h"
#include "engine/arithmetic.h"
#include "engine/request.h"
#include "model/chat.h"
#include "model/choices.h"
#include "store/spent.h"

struct ste_question {
    const struct ste_message *messages;
    size_t n_messages;
    const char *prefill; /* the plain start of the answer, or NULL */
    /* Token ids in place of messages and prefill (STE_CAN_TOKEN_IDS); NULL: the messages. */
    const int32_t *ids;
    size_t n_ids;
    /* The plain text of an answer whose likelihood is asked, or NULL (STE_CAN_GIVEN). Nothing is sampled: the
     * completion is that of a model which wrote this text and ended its turn. Goes without max_tokens and choices. */
    const char *given;
    int adapter;
    struct ste_sampling sampling;
    int max_tokens;
    const char *stops[STE_MAX_STOPS];
    int n_stops;
    const char *closing;                  /* text put behind the free part before the choice; NULL: none */
    const char *choices[STE_MAX_CHOICES]; /* STE_CAN_CHOICES */
    int n_choices;
    bool sample_choice;
    uint64_t seed; /* the run's */
    int sample;    /* 0, 1, ... of the same question */
    void *tag;     /* the caller's; comes back with the answer */
};

struct ste_answer {
    uint64_t ticket;
    void *tag;
    char address[65];
    bool from_cache;
    struct ste_completion completion;
    size_t n_written; /* tokens of the free part less the end of the turn */
    char *text; /* the free part's text, less end-of-turn; always valid UTF-8 (a cut character at the end is left out,
                   other wrong bytes become U+FFFD) */
    size_t n_prompt;
    int32_t *prompt; /* (n_prompt): the prompt's ids, for training */
    char *too_long;  /* NULL; else there is no answer, since the question does not fit the context, and this says so */
};
void ste_answer_clear(struct ste_answer *a);

/* How likely an answer's free part was: the sum of its tokens' log-probabilities and their number. */
struct ste_likelihood {
    double sum;
    int tokens;
};
/* END: with the end-of-turn token, where there is one. */
struct ste_likelihood ste_answer_likelihood(const struct ste_answer *a, bool end);

/* What an implementation can do. */
enum {
    STE_CAN_CHOICES = 1,
    STE_CAN_GIVEN = 2,
    STE_CAN_TOKEN_IDS = 4, /* takes them as a prompt, and gives those of prompts and answers */
    STE_CAN_ADAPTERS = 8,
};

struct ste_llm_about {
    const char *name;       /* as given to open */
    const char *model_hash; /* SHA-256 of the file; of a server's model, of what the server says it is */
    const char *numerics;   /* what else decides the numbers: kind and revision of what computes them */
    unsigned can;
    size_t window;    /* questions that a caller should keep in flight */
    size_t batch;     /* of these, that are worked on at once; 0: not known */
    int ctx;          /* tokens that a question and its answer may have together; 0: not known */
    bool late_prompt; /* a prompt's ids come with its answer, and are not known before */
};

/* ---- for callers ---- */

struct ste_llm; /* one model; adapters are switched per question */
struct ste_llm_params {
    long long threads, batch, ctx; /* 0: default */
    enum ste_activations activations;
    struct ste_model_choices choices; /* of a model of this machine */
    char *isa;                        /* an instruction set that is forced; NULL or empty: none */
    const char *cache;                /* path of the cache database; NULL: none; no option of the table */
    const char *spent; /* path of the ledger of what servers took (store/spent.h); NULL: none; no option either */
};
extern const struct ste_option ste_llm_options[]; /* in a recipe and as flags; ste_options_init gives the defaults */
/* MODEL: a catalogue name, a .gguf path, or a server's (endpoint.h). */
int ste_llm_open(struct ste_llm **out, const char *model, const struct ste_llm_params *p, struct ste_err *err);
/* Opens MODEL and loads the adapter in the folder PEFT_DIR (NULL: none, *HANDLE is 0). On an error *OUT is NULL. */
int ste_llm_open_with(struct ste_llm **out, const char *model, const char *peft_dir, const struct ste_llm_params *p,
                      int *handle, struct ste_err *err);
void ste_llm_close(struct ste_llm *l);
const struct ste_llm_about *ste_llm_about(const struct ste_llm *l);

/* Adapters by handle; 0 is the base. One that is loaded twice is freed when it was dropped twice (none of a handle's
 * questions may be in flight then). A server has it on all its addresses, and was seen to answer by it. */
int ste_llm_load_adapter(struct ste_llm *l, const char *peft_dir, int *handle, struct ste_err *err);
void ste_llm_drop_adapter(struct ste_llm *l, int handle);
const char *ste_llm_adapter_hash(const struct ste_llm *l, int handle); /* "" for 0 */

/* TEXT, without control tokens, as ids (STE_CAN_TOKEN_IDS); it goes on from another text. The caller frees *IDS. */
int ste_llm_tokenize(struct ste_llm *l, const char *text, int32_t **ids, size_t *n, struct ste_err *err);

/* Submit, then next until it returns 0: 1 with an answer (the caller clears it), in the order in which they end.
 * STE_ETOOLONG: does not fit the context; nothing was submitted. A server may say so only later (answer.too_long). */
int ste_llm_submit(struct ste_llm *l, const struct ste_question *question, uint64_t *ticket, struct ste_err *err);
/* Forgets a question; nothing comes back for it. Unknown tickets (already answered) are passed over. */
void ste_llm_cancel(struct ste_llm *l, uint64_t ticket);
int ste_llm_next(struct ste_llm *l, struct ste_answer *out, struct ste_err *err);
size_t ste_llm_in_flight(const struct ste_llm *l);
bool ste_llm_is_in_flight(const struct ste_llm *l, uint64_t ticket);

/* For who has a loop of its own. As next, but it comes back after a step of the engine, or a short wait for a server:
 * 0 where no answer is there by then, or no question is in flight. */
int ste_llm_step(struct ste_llm *l, struct ste_answer *out, struct ste_err *err);
/* What the free part of a question in flight has so far; as the answer will have it, and it only grows. */
struct ste_written {
    const char *text; /* (n) bytes of valid UTF-8, and a NUL */
    size_t n;
    const int32_t *tokens; /* (n_tokens); their text may go beyond TEXT, where it ends within a character */
    const float *logprobs;
    size_t n_tokens;
};
/* OUT lives until L is used again. False: nothing yet, or L, such as a server, tells nothing before the answer. */
bool ste_llm_written(struct ste_llm *l, uint64_t ticket, struct ste_written *out);
/* An error of next or step is forgotten, that others would meet too, such as that of a server that did not answer: it
 * is tried again. None is in flight. */
void ste_llm_again(struct ste_llm *l);

/* Tokens a second, read and written, from a short measurement; 0 where there is none to be had. */
struct ste_llm_speed {
    double read, written;
};
int ste_llm_speed(struct ste_llm *l, struct ste_llm_speed *out, struct ste_err *err);

/* What a server's model took. */
struct ste_llm_spent {
    struct ste_spent now, all; /* since it was opened; with what the ledger has of other processes */
    double budget;             /* 0: none */
    bool priced;
};
bool ste_llm_spent(const struct ste_llm *l, struct ste_llm_spent *out); /* false: it takes nothing that is counted */

/* ---- for implementations ---- */

/* A question that an implementation, which owns OWN, has made ready. */
struct ste_prepared {
    uint64_t ticket;
    void *tag;
    char address[65];
    int32_t *prompt; /* (n_prompt) ids; NULL where they are not known */
    size_t n_prompt;
    void *own;
    void (*free_own)(void *own);
};
void ste_prepared_clear(struct ste_prepared *q);
/* OUT is Q's answer: its ticket, tag and address. */
void ste_answer_is_of(struct ste_answer *out, const struct ste_prepared *q);
/* OUT, which is empty but for too_long, is one that failed. */
void ste_answer_fail(struct ste_answer *out);

struct ste_llm_ops {
    /* Fills all of Q but ticket and tag; copies what it needs of QUESTION. */
    int (*prepare)(struct ste_llm *l, const struct ste_question *question, struct ste_prepared *q, struct ste_err *err);
    /* Takes Q, and leaves it empty, when it returns 0. Q's ticket is that of the answer to come. */
    int (*submit)(struct ste_llm *l, struct ste_prepared *q, struct ste_err *err);
    void (*cancel)(struct ste_llm *l, uint64_t ticket); /* only of tickets in flight */
    /* 1: *OUT is an answer; 0: none is in flight. */
    int (*next)(struct ste_llm *l, struct ste_answer *out, struct ste_err *err);
    /* As next, but 0 where no answer is there soon; NULL: next. */
    int (*step)(struct ste_llm *l, struct ste_answer *out, struct ste_err *err);
    void (*close)(struct ste_llm *l); /* frees L itself, not what it wraps */
    /* A wrapper leaves the rest NULL: what it wraps is asked. */
    int (*load_adapter)(struct ste_llm *l, const char *peft_dir, int *handle, struct ste_err *err);
    void (*drop_adapter)(struct ste_llm *l, int handle);
    const char *(*adapter_hash)(const struct ste_llm *l, int handle);
    int (*tokenize)(struct ste_llm *l, const char *text, int32_t **ids, size_t *n, struct ste_err *err);
    int (*speed)(struct ste_llm *l, struct ste_llm_speed *out, struct ste_err *err); /* may be NULL */
    void (*spent)(struct ste_llm *l, struct ste_llm_spent *out);                     /* may be NULL */
    bool (*written)(struct ste_llm *l, uint64_t ticket, struct ste_written *out);    /* may be NULL */
    void (*again)(struct ste_llm *l);                                                /* may be NULL */
};
/* L's step, or next. */
int ste_llm_ops_step(struct ste_llm *l, struct ste_answer *out, struct ste_err *err);

/* The first member of every implementation's own struct. */
struct ste_llm {
    const struct ste_llm_ops *ops;
    struct ste_llm_about about; /* its texts live as long as L */
    struct ste_llm *inner;      /* what a wrapper wraps, and closes with itself; else NULL */
    /* Set by the WRAPPER, or NULL. Who waits for others calls it before, and again after the seconds that it gives. */
    double (*before_wait)(struct ste_llm *wrapper);
    struct ste_llm *wrapper;
    uint64_t last_ticket;
    uint64_t *flying; /* (n_flying) tickets */
    size_t n_flying, cap_flying;
};
/* Finds what stands under all wrappers. */
struct ste_llm *ste_llm_innermost(const struct ste_llm *l);

/* Rough figures for estimates, as seen in real runs. */
#define STE_CHARS_PER_TOKEN 4.2 /* of plain text */
#define STE_TEMPLATE_TOKENS 30  /* the chat template's own */
#define STE_LENGTH_SHARE 0.6    /* of a token limit that a text uses */

#endif
