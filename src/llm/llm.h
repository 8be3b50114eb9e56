/*
 * One interface to whatever generates. Today that is the engine in this process; an HTTP endpoint fits behind the same
 * calls, which is why a question is made of messages and not of token ids. In front of it stands the request cache: its
 * own database outside any run, keyed by a request's address and the numerics id, so that a repeated question is
 * answered at once.
 *
 * A question's address is the SHA-256 of model, adapter, prompt ids, constraint, stops, token limit, sampling, seed and
 * sample index (contract 3). Its first 8 bytes key the random numbers. Failed transport is never cached.
 */
#ifndef STE_LLM_LLM_H
#define STE_LLM_LLM_H

#include "engine/engine.h"
#include "model/chat.h"

struct ste_llm_params {
    int threads, batch, ctx;       /* 0: default */
    const char *isa, *activations; /* NULL: default */
    const char *cache;             /* path of the cache database; NULL: none */
};

struct ste_llm; /* one model; adapters are switched per question */
/* MODEL: a catalogue name or a .gguf path. */
int ste_llm_open(struct ste_llm **out, const char *model, const struct ste_llm_params *p, struct ste_err *err);
void ste_llm_close(struct ste_llm *l);
const char *ste_llm_name(const struct ste_llm *l);       /* as given to open */
const char *ste_llm_model_hash(const struct ste_llm *l); /* SHA-256 of the file */
const char *ste_llm_numerics(const struct ste_llm *l);
struct ste_engine *ste_llm_engine(struct ste_llm *l); /* NULL for an endpoint */
struct ste_pool *ste_llm_pool(struct ste_llm *l);

/* What it can do; an endpoint may lack some. */
enum {
    STE_CAN_LOGPROBS = 1,
    STE_CAN_CHOICES = 2,
    STE_CAN_TOKEN_IDS = 4,
    STE_CAN_ADAPTERS = 8,
    STE_IS_DETERMINISTIC = 16
};
unsigned ste_llm_capabilities(const struct ste_llm *l);

/* Adapters by handle; 0 is the base. A folder or a lora whose hash is loaded already gives the same handle.
 * ste_llm_drop_adapter frees one (none of its questions may be in flight). */
int ste_llm_load_adapter(struct ste_llm *l, const char *peft_dir, int *handle, struct ste_err *err);
int ste_llm_add_adapter(struct ste_llm *l, struct ste_lora *lora, int *handle, struct ste_err *err);
void ste_llm_drop_adapter(struct ste_llm *l, int handle);
const char *ste_llm_adapter_hash(const struct ste_llm *l, int handle); /* "" for 0 */
/* For requests put to the engine itself; NULL for 0. */
const struct ste_adapter *ste_llm_adapter(const struct ste_llm *l, int handle);

struct ste_ask {
    const struct ste_message *messages;
    size_t n_messages;
    const char *prefill; /* the plain start of the answer, or NULL */
    /* The plain text of an answer whose likelihood is asked, or NULL. Nothing is sampled: the completion is that of a
     * model which wrote this text and ended its turn. Goes without max_tokens and choices. */
    const char *given;
    int adapter;
    struct ste_sampling sampling;
    int max_tokens;
    const char *stops[STE_MAX_STOPS];
    int n_stops;
    const char *closing; /* text put behind the free part before the choice; NULL: none */
    const char *choices[STE_MAX_CHOICES];
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
    char *text; /* the free part's text, less end-of-turn; always valid UTF-8 (a cut character at the end is left out,
                   other wrong bytes become U+FFFD) */
    size_t n_prompt;
    int32_t *prompt; /* (n_prompt): the prompt's ids, for training */
};
void ste_answer_clear(struct ste_answer *a);

/* How likely an answer's free part was: the sum of its tokens' log-probabilities and their number. */
struct ste_likelihood {
    double sum;
    int tokens;
};
/* END: with the end-of-turn token, where there is one. */
struct ste_likelihood ste_answer_likelihood(const struct ste_llm *l, const struct ste_answer *a, bool end);

/* As the engine's: submit, then next until it returns 0. STE_ETOOLONG: does not fit the context; nothing was submitted.
 */
int ste_llm_submit(struct ste_llm *l, const struct ste_ask *ask, uint64_t *ticket, struct ste_err *err);
void ste_llm_cancel(struct ste_llm *l, uint64_t ticket);
int ste_llm_next(struct ste_llm *l, struct ste_answer *out, struct ste_err *err);
size_t ste_llm_in_flight(const struct ste_llm *l);
/* How many questions a caller should keep in flight: about twice the batch, so that prompts fill in as samples end. */
size_t ste_llm_window(const struct ste_llm *l);

/* Rough figures for estimates, as seen in real runs. */
#define STE_CHARS_PER_TOKEN 4.2 /* of plain text */
#define STE_TEMPLATE_TOKENS 30  /* the chat template's own */
#define STE_LENGTH_SHARE 0.6    /* of a token limit that a text uses */

#endif
