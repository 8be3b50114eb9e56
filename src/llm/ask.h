/*
 * A question on its way through a server: what is asked, in what the requests to such a server depend on (its dialect),
 * and what has come of it so far. What comes next is a step; wire.h makes the request of a step and reads its reply.
 *
 * How labels are read (enum ste_way) is decided when the server is opened, by what it was seen to do.
 */
#ifndef STE_LLM_ASK_H
#define STE_LLM_ASK_H

#include "llm/endpoint.h"
#include "llm/llm.h"
#include "llm/meter.h"
#include "model/tokenizer.h"

enum ste_way {
    STE_WAY_IDS,  /* log-probabilities of the labels' ids behind the ids of prompt, free part and closing words */
    STE_WAY_TURN, /* log-probabilities of the labels' texts, asked for in one more turn */
    STE_WAY_VOTE, /* the label that is written in one more turn, as one vote: p is 2/3 of two, by Laplace's rule */
};

/* What the requests to a server depend on. */
struct ste_dialect {
    enum ste_api api; /* not AUTO */
    enum ste_way way;
    char *model;
    bool plain;          /* it takes no sampling, as models that reason by themselves */
    const char *limit;   /* the name of the token limit in a chat: "max_tokens" or "max_completion_tokens" */
    int n_vocab;         /* of llama-server; 0: not known */
    int32_t end_of_turn; /* of llama-server, which leaves it out; -1: not known */
};

/* A question and what has come of it. */
struct ste_ask {
    char *messages, *stops; /* as canonical JSON, lists; STOPS: NULL, or texts */
    struct ste_sampling sampling;
    int max_tokens, n_choices, adapter;
    bool sample_choice;
    uint64_t key;
    char *choices[STE_MAX_CHOICES];
    struct ste_tokens choice_ids[STE_MAX_CHOICES], closing, prefill; /* of STE_WAY_IDS */
    /* from here on what has come */
    char *rendered; /* the prompt as text */
    struct ste_tokens prompt, free, path;
    size_t n_written;
    bool have_prompt, have_free, all_probs;
    bool alive[STE_MAX_CHOICES];
    char *text;
    enum ste_finish free_finish;
    int choice; /* -1: none yet */
    float logprobs[STE_MAX_CHOICES];
    struct ste_spent used; /* of the last reply: tokens, as it says */
    bool heard;            /* it says so, or is of a request that takes none */
};

/* Of QUESTION, but for token ids, whose server's tokenizer is needed. The caller frees it. */
struct ste_ask *ste_ask_new(const struct ste_question *question);
void ste_ask_free(struct ste_ask *a);
/* Says what a server of D, which errors call NAME, lacks for this question: STE_EUSAGE. */
int ste_ask_lacks(const struct ste_dialect *d, const char *name, const struct ste_question *question,
                  struct ste_err *err);
/* The question's address; A's key is taken from it. ADAPTER_HASH: NULL or "" for the base. */
void ste_ask_address(const char *model_hash, const char *adapter_hash, const struct ste_question *question,
                     struct ste_ask *a, char out[65]);

/* What the next request is for. */
enum ste_step { STE_STEP_TEMPLATE, STE_STEP_PROMPT, STE_STEP_FREE, STE_STEP_LABELS, STE_STEP_DONE };
enum ste_step ste_ask_step(const struct ste_dialect *d, const struct ste_ask *a);
/* The id that choice I has next. */
int32_t ste_ask_wanted(const struct ste_ask *a, int i);

#endif
