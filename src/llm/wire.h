/*
 * A question as the requests of a server and its replies as an answer: what is sent and read, nothing of how. A
 * question takes one to four requests: the prompt's token ids where they are needed, the free part, the labels. Each
 * reply is checked whole, and one that does not fit what was asked is not taken.
 *
 * How labels are read (enum ste_way) is decided when the server is opened, by what it was seen to do.
 */
#ifndef STE_LLM_WIRE_H
#define STE_LLM_WIRE_H

#include <jansson.h>

#include "llm/endpoint.h"
#include "llm/llm.h"
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
    json_t *messages, *stops; /* STOPS: NULL, or texts */
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
};
void ste_ask_free(struct ste_ask *a);

/* The next request: its path below the server's root, with a leading slash, and its body (the caller's). */
const char *ste_wire_request(const struct ste_dialect *d, const struct ste_ask *a, json_t **body);

enum ste_wire {
    STE_WIRE_BAD = -1, /* not taken; *WHY, which the caller frees, says why */
    STE_WIRE_MORE,     /* taken; another request comes */
    STE_WIRE_DONE,     /* taken; the answer is whole */
};
enum ste_wire ste_wire_take(const struct ste_dialect *d, struct ste_ask *a, const char *body, size_t n, char **why);
/* Moves the whole answer into OUT, but for ticket, tag and address. */
void ste_wire_answer(struct ste_ask *a, struct ste_answer *out);

/* What a status of 300 and above means for the question. */
enum ste_refusal {
    STE_REFUSAL_BUSY,     /* later: the server has too much to do, or is not up yet */
    STE_REFUSAL_FAULT,    /* another try may turn it */
    STE_REFUSAL_TOO_LONG, /* it does not fit the context */
    STE_REFUSAL_QUESTION, /* never for this question */
    STE_REFUSAL_ALL,      /* never for any: key, model, address, quota */
};
enum ste_refusal ste_wire_refusal(long status, const char *body, size_t n);

#endif
