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
    char *key;                       /* NULL: none */
};

/* Whether NAME is one of a server's model rather than of a file here. */
bool ste_endpoint_is(const char *name);
/* The caller clears E, whatever this returns. */
int ste_endpoint_read(struct ste_endpoint *e, const char *name, struct ste_err *err);
void ste_endpoint_clear(struct ste_endpoint *e);

#endif
