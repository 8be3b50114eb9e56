/*
 * Where a server's model is, and how it is to be asked: a name URL#MODEL (URL,URL#MODEL: several that share the load),
 * or a YAML file of the options below. The key comes from the environment or from a file of its own and goes to the
 * server alone.
 */
#ifndef STE_LLM_ENDPOINT_H
#define STE_LLM_ENDPOINT_H

#include <stdbool.h>

#include "core/err.h"
#include "core/strings.h"

enum ste_api { STE_API_AUTO, STE_API_VLLM, STE_API_SGLANG, STE_API_LLAMA_SERVER, STE_API_OPENAI };
extern const char *const ste_api_names[]; /* NULL-ended */

/* How the labels of a verdict are read (wire.h); AUTO: as the server was seen to do, of batch files by TURN. */
enum ste_labels { STE_LABELS_AUTO, STE_LABELS_TURN, STE_LABELS_VOTES };

/* Of a million tokens, in whatever currency; all 0: not given. */
struct ste_price {
    double input, output;
    double cached; /* of input that the server had in its cache; below 0: as INPUT */
    double batch;  /* the share of these prices that batch files cost */
};

struct ste_endpoint {
    char *name;              /* as it was given */
    struct ste_strings urls; /* without a slash at their ends */
    char *model;             /* NULL: the only one that the server has */
    enum ste_api api;
    char *key_env, *key_file;
    long long max_in_flight;         /* requests, at each URL */
    double timeout;                  /* seconds for one request */
    double patience;                 /* seconds without any answer, and with failures, after which the work ends */
    bool adapters;                   /* it may be given some, where it takes them */
    struct ste_strings adapter_root; /* none, or two: a folder here, and the same as the server sees it */
    struct ste_strings on_adapter;   /* a command that gives the server an adapter; none: by its own routes */
    enum ste_labels labels;
    bool no_sampling; /* it takes no temperature, top_p and seed, as models that reason by themselves */
    struct ste_price price;
    double budget; /* 0: none */
    char *key;     /* NULL: none */
};

bool ste_endpoint_is_openai(const struct ste_endpoint *e); /* https://api.openai.com alone */
bool ste_price_given(const struct ste_price *p);

/* Whether NAME is one of a server's model rather than of a file here. */
bool ste_endpoint_is(const char *name);
/* The caller clears E, whatever this returns. */
int ste_endpoint_read(struct ste_endpoint *e, const char *name, struct ste_err *err);
/* The same without the key, for what asks no server. */
int ste_endpoint_read_keyless(struct ste_endpoint *e, const char *name, struct ste_err *err);
void ste_endpoint_clear(struct ste_endpoint *e);

#endif
