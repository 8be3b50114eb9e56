/*
 * A question as the requests of a server and its replies as an answer: what is sent and read, nothing of how. A
 * question takes one to four requests: the prompt's token ids where they are needed, the free part, the labels. Each
 * reply is checked whole, and one that does not fit what was asked is not taken. Requests are wire.c's, replies
 * reply.c's.
 */
#ifndef STE_LLM_WIRE_H
#define STE_LLM_WIRE_H

#include "llm/ask.h"

/* Which weights a request is for; NULL each: the dialect's model. */
struct ste_weights {
    char *model;
    char *lora; /* of llama-server: its adapters with their scales, as JSON */
};
/* The next request: its path below the server's root, with a leading slash, and its body, which the caller frees. W:
 * may be NULL. */
const char *ste_wire_request(const struct ste_dialect *d, const struct ste_ask *a, const struct ste_weights *w,
                             char **body);

/* What the requests that A still needs may take: at most, counting a token a byte, or as real runs take. */
void ste_wire_amount(const struct ste_dialect *d, const struct ste_ask *a, bool most, struct ste_amount *out);

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
