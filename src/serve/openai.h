/*
 * The routes that OpenAI's clients use: /v1/models, /v1/chat/completions and /v1/completions, whole and as a stream,
 * for the base model and, by a second name, for the base with the judge's adapter. What the engine has not is refused
 * with a 400 that names it. Control tokens in texts are plain text (contract 2).
 *
 * openai_request.c reads requests, openai_reply.c shapes what is sent, openai.c is a request's way in between.
 */
#ifndef STE_SERVE_OPENAI_H
#define STE_SERVE_OPENAI_H

#include "serve/exchange.h"
#include "serve/work.h"

/* ---- the routes ---- */

struct ste_openai_params {
    struct ste_work *work;
    const struct ste_llm *llm; /* of the work: what is known of it is read, and no more */
    const char *base, *judge;  /* as the user names them; JUDGE NULL: there is no adapter */
};
struct ste_openai;
struct ste_openai *ste_openai_new(const struct ste_openai_params *p);
void ste_openai_free(struct ste_openai *o);
/* The table, whose arg is O and which lives as long as O: /v1/models, /v1/models/{model}, /v1/chat/completions,
 * /v1/completions, /v1/reload. */
const struct ste_route *ste_openai_table(struct ste_openai *o, size_t *n);

/* ---- requests ---- */

#define STE_OPENAI_MAX_CHOICES 128 /* prompts times n */

/* The ids of a prompt, or a text. */
struct ste_openai_prompt {
    const char *text;
    int32_t *ids;
    size_t n_ids;
};

struct ste_openai_request {
    bool chat;
    const char *model;
    struct ste_message *messages; /* (n_messages) of a chat */
    size_t n_messages;
    char **texts; /* (n_texts) that messages made of several parts have */
    size_t n_texts;
    struct ste_openai_prompt *prompts; /* (n_prompts); of a chat 1, which is empty */
    size_t n_prompts;
    int n; /* samples of each prompt */
    struct ste_sampling sampling;
    int max_tokens; /* 0: as many as fit */
    const char *stops[STE_MAX_STOPS];
    int n_stops;
    bool has_seed;
    uint64_t seed;
    bool stream, usage; /* USAGE: the stream ends with it */
    bool logprobs;
};
/* OUT's texts are BODY's, which must outlive it. STE_EINPUT, or STE_EUSAGE for what is known but cannot be done; *CODE
 * is then OpenAI's word for it. The caller clears OUT, whatever this returns. */
int ste_openai_read(struct ste_openai_request *out, const json_t *body, bool chat, const char **code,
                    struct ste_err *err);
void ste_openai_clear(struct ste_openai_request *r);

/* ---- what is sent ---- */

/* What all pieces of a reply have in common. */
struct ste_openai_head {
    bool chat, stream;
    char id[48];
    long long created;
    const char *model;
    char fingerprint[16]; /* of what decides the numbers */
};
struct ste_openai_usage {
    uint64_t prompt, completion; /* tokens */
};
/* Bytes of each token of a text. */
struct ste_openai_token {
    char *bytes;
    size_t n;
    float logprob;
};

/* The shortest start of TEXT's N bytes that may be told now: behind it stands a stop, or what may become one. ENDED: no
 * text comes any more. */
size_t ste_openai_safe(const struct ste_openai_request *r, const char *text, size_t n, bool ended);
const char *ste_openai_finish(enum ste_finish f); /* "stop" or "length" */
/* The "logprobs" of N tokens. OFFSET: characters of the text before them. */
json_t *ste_openai_logprobs(bool chat, const struct ste_openai_token *tokens, size_t n, size_t offset);
/* A choice, whole, or a piece of one: N bytes of TEXT (NULL: none), FINISH may be NULL, LOGPROBS (given away) too. */
json_t *ste_openai_choice(const struct ste_openai_head *h, size_t index, bool first, const char *text, size_t n,
                          const char *finish, json_t *logprobs);
/* The reply around CHOICES, which is given away. USAGE NULL: none. NULL_USAGE: it is there as null. */
json_t *ste_openai_reply(const struct ste_openai_head *h, json_t *choices, const struct ste_openai_usage *usage,
                         bool null_usage);

#endif
