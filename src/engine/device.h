/*
 * What the scheduler asks of a device: a model's weights made ready, storage for the blocks of the KV cache, adapters,
 * and the forward pass. The prefix tree (kv.h) deals in numbers of blocks; what is in a block is the device's own
 * matter. A device is a folder of engine/ and one table of operations; the CPU (cpu/) is the first.
 *
 * One thread at a time works with a device. Results depend on a row's sequence alone (contract 3).
 */
#ifndef STE_ENGINE_DEVICE_H
#define STE_ENGINE_DEVICE_H

#include "core/thread.h"
#include "engine/arithmetic.h"
#include "engine/cpu/isa.h"
#include "model/lora.h"
#include "model/model.h"

#define STE_KV_BLOCK 64   /* positions of a block */
#define STE_LOGIT_ROWS 64 /* rows whose logits are there at once */

/* A token of a sequence. */
struct ste_row {
    const int *blocks;   /* of the sequence: position P is in block BLOCKS[P / STE_KV_BLOCK] */
    int pos;             /* the token's; it sees positions 0 .. POS */
    const void *adapter; /* as adapter_new gave it; NULL: the base. Rows of one adapter are neighbours */
    int32_t token;
    bool scored; /* its logits will be asked for */
};

struct ste_device_params {
    struct ste_pool *pool; /* the caller's; must outlive the device */
    enum ste_isa isa;      /* of the CPU; speed only */
    enum ste_activations activations;
    int n_ctx;    /* positions a sequence may have */
    int max_rows; /* of one run */
    int n_blocks; /* of the cache, numbered from 0 */
};

struct ste_device { /* with a model on it; each kind's own struct begins with this one */
    const struct ste_device_ops *ops;
};

struct ste_device_sizes { /* bytes */
    size_t weights;       /* in the device's form */
    size_t cache;         /* of keys and values, when all its blocks were used */
    size_t work;          /* what a run writes */
};

struct ste_device_ops {
    const char *name;
    const char *numerics; /* what decides its numbers beside the activations, as ids name it: "kv f16" */
    /* Bytes of the cache that a block of this model takes. */
    size_t (*block_bytes)(const struct ste_hparams *hp);
    /* What open would take of a model, whose weights need not be there. STE_EINPUT as of open. */
    int (*sizes)(const struct ste_model *m, const struct ste_device_params *p, struct ste_device_sizes *out,
                 struct ste_err *err);
    /* M must outlive the device. STE_EINPUT for a model of a shape that the device cannot run. */
    int (*open)(struct ste_device **out, const struct ste_model *m, const struct ste_device_params *p,
                struct ste_err *err);
    void (*close)(struct ste_device *d);
    /* The first N positions of block FROM to block TO. */
    void (*copy)(struct ste_device *d, int to, int from, size_t n);
    /* L, whose shapes are the model's, ready to be applied; it may go afterwards. */
    int (*adapter_new)(struct ste_device *d, const struct ste_lora *l, void **out, struct ste_err *err);
    void (*adapter_free)(struct ste_device *d, void *adapter);
    /* Runs all layers; K and V of the rows go to their blocks. The last layer makes no more than that of rows that are
     * not scored. ROWS is used up. */
    void (*run)(struct ste_device *d, struct ste_row *rows, int n);
    /* Logits of N scored rows of the last run, (N, n_vocab) in the host's memory until the next call: INDEX says which;
     * N is at most STE_LOGIT_ROWS. */
    const float *(*logits)(struct ste_device *d, const int *index, int n);
};

extern const struct ste_device_ops ste_cpu;

#endif
