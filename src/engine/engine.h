/*
 * The engine: a model ready to generate on a device, a KV cache in blocks, a scheduler that keeps the batch full.
 * Requests are submitted and come back in the order in which they end; what comes back depends on the request alone
 * (contract 3). Not thread-safe: one thread owns an engine; it works with the pool's.
 */
#ifndef STE_ENGINE_ENGINE_H
#define STE_ENGINE_ENGINE_H

#include "engine/device.h"
#include "engine/request.h"

struct ste_engine_params {
    struct ste_pool *pool;               /* the caller's; must outlive the engine */
    const struct ste_device_ops *device; /* NULL: the CPU */
    enum ste_isa isa;                    /* of the CPU; speed only */
    enum ste_activations activations;
    int n_ctx;        /* tokens a sequence may have; 0: the smaller of the model's and 8192 */
    int max_batch;    /* sequences in flight; speed only */
    int token_budget; /* rows a step: prefill and decode together; speed only */
    size_t kv_bytes;  /* bound on the cache; sequences wait when it is full; speed only */
};
void ste_engine_default_params(struct ste_engine_params *p);

/* What an engine of M with P takes of its device's memory: before there is one, and of a model without its weights
 * (struct ste_tensor without data) too. */
int ste_engine_sizes(const struct ste_model *m, const struct ste_engine_params *p, struct ste_device_sizes *out,
                     struct ste_err *err);

struct ste_engine;
int ste_engine_new(struct ste_engine **out, struct ste_model *m, const struct ste_engine_params *p,
                   struct ste_err *err);
void ste_engine_free(struct ste_engine *e);
const struct ste_model *ste_engine_model(const struct ste_engine *e);
int ste_engine_ctx(const struct ste_engine *e);
/* The packed weights, for a trainer in the same process; NULL: they are on another device than the CPU. */
const struct ste_weights *ste_engine_weights(const struct ste_engine *e);
/* Names what decides the numbers beside the request: the engine's revision, what the device rounds and how products
 * round. The instruction set is not part of it, since all give the same bits. */
const char *ste_engine_numerics(const struct ste_engine *e);

/* A LoRA ready to be applied; switched per request without touching the base. The engine must outlive it. */
struct ste_adapter;
int ste_adapter_new(struct ste_adapter **out, struct ste_engine *e, const struct ste_lora *l, struct ste_err *err);
struct ste_adapter *ste_adapter_hold(struct ste_adapter *a); /* A again, for one more holder: each calls ..._free */
void ste_adapter_free(struct ste_adapter *a);
const char *ste_adapter_hash(const struct ste_adapter *a); /* "" for NULL */

/* STE_ETOOLONG when prompt, max_tokens, closing and choices do not fit the context. */
int ste_engine_submit(struct ste_engine *e, const struct ste_request *r, uint64_t *ticket, struct ste_err *err);
/* Forgets a request; nothing more comes back for it. Unknown tickets (already ended) are passed over. */
void ste_engine_cancel(struct ste_engine *e, uint64_t ticket);
/* Works until a request ends. 1: *OUT is it (the caller clears it); 0: none is in flight. */
int ste_engine_next(struct ste_engine *e, struct ste_completion *out, struct ste_err *err);
/* The same for one step at most, behind which others may be submitted: 0 where none has ended by then too. */
int ste_engine_step(struct ste_engine *e, struct ste_completion *out, struct ste_err *err);
/* How many tokens the free part of a request in flight has so far (0: none, or the ticket is unknown); they and their
 * log-probabilities are the engine's and stay until it works again. */
size_t ste_engine_written(const struct ste_engine *e, uint64_t ticket, const int32_t **tokens, const float **logprobs);
size_t ste_engine_in_flight(const struct ste_engine *e);

/* Logits of every position of a token sequence, (n, n_vocab) f32 in OUT: for tests and interop. */
int ste_engine_logits(struct ste_engine *e, const struct ste_adapter *a, const int32_t *ids, size_t n, float *out,
                      struct ste_err *err);

/* speed.c: tokens a second of this machine and model. */
struct ste_workload {
    int prompt_tokens, samples, new_tokens; /* of each sample; all at least 1, samples at most 4096 */
};
struct ste_speed {
    double read, written;
};
/* Reads PROMPT (W's prompt_tokens of it; NULL: random tokens, others for each NUMBER), then writes samples that share
 * it. Tokens that were found in the cache do not count as read. */
int ste_engine_speed(struct ste_engine *e, const int32_t *prompt, const struct ste_workload *w, int number,
                     struct ste_speed *out, struct ste_err *err);
/* A rough figure for estimates, in a second or two; a short context makes it rougher. */
int ste_engine_speed_roughly(struct ste_engine *e, struct ste_speed *out, struct ste_err *err);
/* Submits W's samples of a given prompt, of exactly W's new tokens each. */
int ste_engine_submit_samples(struct ste_engine *e, const int32_t *ids, size_t n, const struct ste_workload *w,
                              int number, struct ste_err *err);

struct ste_engine_stats {
    uint64_t prompt_tokens, shared_tokens, generated_tokens, steps; /* shared: found in the cache */
    double prefill_seconds, decode_seconds;
};
void ste_engine_stats(const struct ste_engine *e, struct ste_engine_stats *out);

#endif
