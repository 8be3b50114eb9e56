/*
 * The parts of the trainer, seen by this floor only: a pack of examples, the activations of a layer, and the forward
 * and backward pass of each part. Matrices are row-major, one row a token of the pack; T is the pack's tokens, D the
 * model's width, H heads of HD, HK key-value heads, F the feed-forward width.
 */
#ifndef STE_TRAIN_INTERNAL_H
#define STE_TRAIN_INTERNAL_H

#include "train/external.h"
#include "train/objective.h"

/* Neighbouring rows of a pack that attend to their span, up to themselves, to all of its prefix and of that one's. */
struct ste_span {
    const int32_t *tokens;
    int start, n; /* rows start .. start + n - 1 */
    int prefix;   /* the span whose rows come before; -1: none */
    int pos;      /* position of the first row: the rows of all its prefixes */
};
#define STE_LAYOUT_DEPTH 4 /* prefixes before a span */

/* Examples side by side in one forward pass. An example is a span of its own, unless its prompt begins as its
 * neighbour's does: what they share (a rubric; of the two orders of a pair the request too; of several judgments of one
 * question the whole prompt but its last token) is a span, computed once, and each example's rest a span with that
 * prefix. */
struct ste_layout {
    int n; /* spans */
    struct ste_span *spans;
    int n_groups;                       /* spans that see each other are neighbours: */
    int *group;                         /* [n_groups + 1]: the first span of each group */
    int tokens;                         /* T */
    int n_loss;                         /* rows that the objective needs */
    int *loss_rows;                     /* their indices, ascending */
    int32_t *loss_target;               /* the next token of each; -1: none */
    float *loss_weight;                 /* the weight of its example */
    const struct ste_example *examples; /* (n_examples), the caller's */
    int n_examples;
    int *first_loss; /* [n_examples + 1]: the first loss row of each example */
};

/* What a layer's backward pass needs of its forward pass. */
struct ste_acts {
    float *x;                  /* (T, D) input */
    float *q, *k, *v;          /* (T, H*HD), (T, HK*HD) x 2: q and k after RoPE */
    float *q_raw, *k_raw;      /* the same before their norms; NULL: they have none */
    float *lse;                /* (T, H) log-sum-exp of the scores */
    float *o;                  /* (T, H*HD) attention output */
    float *attn_out, *ffn_out; /* (T, D) of O and DOWN before their norms; NULL: they have none */
    float *x2;                 /* (T, D) after attention */
    float *gate, *up;          /* (T, F) x 2; the backward pass writes their gradients over them */
    float *low[STE_N_LINEAR];  /* (T, r): inputs times A^T */
};

/* Memory of one pass, for up to CAP tokens. */
struct ste_scratch {
    int cap;
    float *arena;
    size_t arena_bytes;
    bool recompute;
    struct ste_acts *acts;              /* [n_layers]; with recompute all share everything but x */
    float *final;                       /* (T, D) output of the last layer */
    float *dx;                          /* (T, D) gradient of a layer's output, then of its input */
    float *norm, *dnorm;                /* (T, D) */
    float *h, *dh;                      /* (T, F); h also holds (T, H*HD) */
    float *dq, *dk_heads, *dv_heads;    /* (T, H*HD): keys and values once a query head, then folded */
    float *dk, *dv;                     /* (T, HK*HD) */
    float *dlow;                        /* (T, r) */
    float *cos_sin[STE_N_ROTARY];       /* (T, dims), by position, of each kind that layers are of */
    float *logits;                      /* (chunk, V) */
    float *loss_x, *loss_norm, *loss_d; /* (chunk, D) */
    double *value;                      /* (T): the objective's, of each row that it needs */
    double *gain;                       /* (T): what the loss gains with each of these values */
    int chunk;
};

struct ste_trainer {
    const struct ste_model *model;
    const struct ste_weights *w;
    struct ste_weights *own_w; /* NULL when shared */
    struct ste_train_params p;
    const struct ste_ops *ops;
    const struct ste_rotary *rotary[STE_N_ROTARY]; /* NULL: no layer is of that kind */
    struct ste_lora *lora, *grads;
    float **m, **v; /* moments, one array a tensor of the adapter: see ste_lora_tensor */
    char start[65]; /* hash of the adapter that it started from; "": drawn by the seed */
    int step;
    struct ste_train_step *log; /* [step] */
    size_t log_cap;
    bool bare;          /* passes leave the adapter out */
    double *references; /* [n_references], of the training's examples (ste_example); NULL: the objective needs none */
    int n_references;
    struct ste_scratch s;
};

/* trainer.c: room for the references of a training's N examples, where the objective asks for them. */
void ste_keep_references(struct ste_trainer *t, int n);

/* driver.c: what is trained on, as a hash. */
void ste_examples_hash(const struct ste_example *examples, int n, char hex[65]);

/* handover.c: writes what an external trainer is given. RESUME: the checkpoint in the folder to go on from, or NULL. A
 * folder with another job is STE_EINPUT. */
int ste_hand_over(const struct ste_external_job *j, const char *resume, struct ste_err *err);

/* layout.c. OUT: the examples of BATCH, those of one prompt behind the first of them. */
void ste_layout_order(const struct ste_example *batch, int n, struct ste_example *out);
/* Packs are runs of neighbouring examples, so that gradients are summed in the order of the batch; neighbours that
 * share are never parted, so that what is shared does not depend on the packs. */
int ste_layout_count(const struct ste_example *batch, int n, int micro_tokens,
                     int *tokens); /* examples of the next pack, and its T */
void ste_layout_init(struct ste_layout *lay, const struct ste_example *batch, int n, const struct ste_objective *o);
void ste_layout_clear(struct ste_layout *lay);
int ste_scratch_reserve(struct ste_trainer *t, int tokens, struct ste_err *err);
void ste_scratch_free(struct ste_scratch *s);

/* attention.c: causal, grouped-query, within the layer's window, each span and its prefix. Keeps LSE; scores are
 * computed again on the way back. */
void ste_attention_forward(struct ste_trainer *t, const struct ste_layout *lay, int layer);
/* DO (T, H*HD) to s.dq, s.dk, s.dv. */
void ste_attention_backward(struct ste_trainer *t, const struct ste_layout *lay, int layer, const float *d_o);

/* lm.c. Puts the cross-entropy of each loss row into s.value. GAIN, unless NULL, has the loss's slope along each of
 * these: then also s.dx, the gradient of the final rows. */
void ste_cross_entropy(struct ste_trainer *t, const struct ste_layout *lay, const double *gain);
void ste_rows_before_completion(const struct ste_example *x, int *from, int *to);
/* reward.c: as an objective's check, that neighbours are pairs; and -log sigmoid(x). */
int ste_check_pairs(const struct ste_example *batch, int n, struct ste_err *err);
double ste_nll_of_sigmoid(double x);

/* rows.c: the operations of struct ste_ops (engine/cpu/kernels.h) on all rows, spread over the pool. */
void ste_rows_norm(struct ste_trainer *t, float *y, const float *x, const float *w, int rows, int width);
void ste_rows_norm_backward(struct ste_trainer *t, float *dx, const float *x, const float *w, float *dy, int rows,
                            int width);
void ste_rows_gate(struct ste_trainer *t, float *h, const float *gate, const float *up, int rows);
void ste_rows_gate_backward(struct ste_trainer *t, float *gate, float *up, const float *dh, int rows);
/* Q and K of the layer by their positions; INVERSE: their gradients, from after that to before it. */
void ste_rows_turn(struct ste_trainer *t, const struct ste_layout *lay, int layer, float *q, float *k, bool inverse);

/* block.c. OUT (T, D) is the layer's output; NULL when only the activations are wanted again. */
void ste_block_forward(struct ste_trainer *t, const struct ste_layout *lay, int layer, float *out);
/* s.dx: from the gradient of the output to that of the input (not for layer 0, which nothing below needs). */
void ste_block_backward(struct ste_trainer *t, const struct ste_layout *lay, int layer);

/* optimizer.c */
int ste_lora_tensor_count(const struct ste_lora *l);
/* Tensor I in the order layer, linear, A then B, and the head, if any, last; *N its values. NULL: that layer is not
 * adapted, or A is that of the layer before. */
float *ste_lora_tensor(const struct ste_lora *l, int i, size_t *n);
double ste_grad_norm(struct ste_trainer *t);
void ste_adamw_step(struct ste_trainer *t, double lr, double clip);

#endif
