/*
 * A server that was asked who it is and what it does: its kind and version, its model, how verdicts are read there.
 * What it was told to do and did not do in a request of the probe is not relied on. Its calls wait for their replies;
 * the questions' own requests are remote.c's.
 */
#ifndef STE_LLM_SERVER_H
#define STE_LLM_SERVER_H

#include "llm/endpoint.h"
#include "llm/meter.h"
#include "llm/wire.h"

#define STE_MAX_REPLY (64u << 20) /* bytes of a reply that are read */

struct ste_server {
    struct ste_endpoint at;
    struct ste_dialect dialect;
    char *version, *root; /* ROOT: where the server has the model's weights from; "" not known */
    char model_hash[65];
    char *numerics;
    int ctx; /* 0: not known */
    char *authorization;
    const char *headers[2];
    struct ste_http_pool *pool; /* of the calls here */
    struct ste_strings known;   /* texts whose ids are known */
    struct ste_tokens *known_ids;
    struct ste_tokens line;    /* the ids of "\n", where a text by itself is given a space in front; else none */
    struct ste_meter meter;    /* of the probe as well */
    struct ste_served *served; /* [n_served]: adapters by handle - 1 (adapters.h) */
    int n_served;
    bool patient; /* a server that is not there now is waited for, too */
    bool takes_adapters;
    json_t *listed; /* of llama-server with on_adapter: what each address lists of adapters; else NULL */
};

/* Waits while the server loads its model. SPENT: as of ste_llm_params. The caller closes S, whatever this returns. */
int ste_server_open(struct ste_server *s, const char *name, const char *spent, struct ste_err *err);
/* The same without asking anybody, for requests that go by files: the server is what its name or file says it is, of
 * kind openai unless that says otherwise, and it must say the model. Nothing but ste_server_close can follow. */
int ste_server_assume(struct ste_server *s, const char *name, const char *spent, struct ste_err *err);
void ste_server_close(struct ste_server *s);

/* PATH of ste_wire_request, or "/v1/...", at the WHICH-th address. Caller frees. */
char *ste_server_url(const struct ste_server *s, size_t which, const char *path);
/* Appends the ids of TEXT, in which nothing is a control token's name by the server's own lights; KEEP: it will be
 * asked for again. */
int ste_server_tokenize(struct ste_server *s, const char *text, bool keep, struct ste_tokens *out, struct ste_err *err);
/* 0: the WHICH-th address answers a short question of the usual form. */
int ste_server_check(struct ste_server *s, size_t which, struct ste_err *err);
/* One request to the WHICH-th address: a POST of BODY, or a GET. What passes is tried again, and a server that loads
 * its model is waited for. *OUT, the caller's, is the JSON of a reply below 300, or NULL, with *STATUS (0: no reply)
 * and a sentence in ERR. */
int ste_server_call(struct ste_server *s, size_t which, const char *path, const json_t *body, json_t **out,
                    long *status, struct ste_err *err);
/* The same, once; gives the status. 0: no reply. */
long ste_server_try(struct ste_server *s, size_t which, const char *path, const json_t *body);
/* Log-probabilities of the labels A and B behind TEXT as the user's turn, as the server tells them of ADAPTER. *STATUS:
 * of the last reply. */
int ste_server_labels(struct ste_server *s, size_t which, int adapter, const char *text, float out[2], long *status,
                      struct ste_err *err);
/* Waits SECONDS, or until the work is cancelled. */
int ste_server_wait(struct ste_server *s, double seconds, struct ste_err *err);
/* TEXT, which a server wrote, without the key; caller frees. */
char *ste_server_said(const struct ste_server *s, const char *text);
/* What would help against STATUS, as the end of a sentence; "" not known. */
const char *ste_server_hint(long status);

#endif
