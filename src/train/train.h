/*
 * Training of a LoRA adapter on a frozen, still quantized base, by one of the objectives below.
 *
 * What is guaranteed, bit for bit: loss, gradients and updates depend on the examples of the batch and their order, the
 * parameters and the seed; not on micro_tokens (how examples share a forward pass), the memory limit, threads or a
 * resume. It holds because every row of an activation is computed from its own example alone, and a gradient element is
 * g = (..((0 + s_1) + s_2)..) + s_n, where s_e is the sum over the rows of example e in their order: one ste_gemm an
 * example with beta 1, never one over a whole pack.
 *
 * Neighbours of a batch whose prompts begin alike share those rows: they are computed once, forward and back. Examples
 * of one prompt are taken one after the other, as several judgments of one pair are. What is shared depends on the
 * batch alone, so the guarantee holds.
 *
 * One thread owns a trainer; it works with the pool's.
 */
#ifndef STE_TRAIN_TRAIN_H
#define STE_TRAIN_TRAIN_H

#include "core/options.h"
#include "engine/cpu/weights.h"
#include "model/lora.h"

struct ste_example {
    const int32_t *tokens; /* prompt, then completion */
    int n, n_prompt;       /* the completion is tokens n_prompt .. n-1 */
    float weight;
    /* Of an objective with a reference: where the completion's log-probability by the model without its adapter is
     * kept, NAN until a pass over the example has found it; NULL: each pass finds it again. The caller's. */
    double *reference;
};

struct ste_objective; /* objective.h */
/* The mean cross-entropy of the completion tokens of a batch, each example's tokens times its weight:
 * sum_i w_i nll_i / sum_i w_i (TRL's token mean where all weights are 1). */
extern const struct ste_objective ste_language_modelling;
/* A reward model (Ouyang et al., arXiv 2203.02155; Stiennon et al., arXiv 2009.01325): the adapter has a head, which
 * starts at 0, and an example's score is taken at its last token. Examples are pairs of neighbours with one prompt,
 * chosen before rejected, and the loss is that of Bradley and Terry, the mean of
 * w * -log sigmoid(score(chosen) - score(rejected)). */
extern const struct ste_objective ste_bradley_terry;
/* Direct preference optimization (Rafailov et al., arXiv 2305.18290) with a term for the likelihood of what is chosen.
 * Examples are pairs as above. With s(y) the log-probability of a completion less that by the model without its
 * adapter, the loss is the mean over pairs of w * (-log sigmoid(beta (s(chosen) - s(rejected))) + nll * the mean
 * cross-entropy of the chosen completion's tokens). */
extern const struct ste_objective ste_dpo;

enum ste_schedule { STE_SCHEDULE_CONSTANT, STE_SCHEDULE_LINEAR, STE_SCHEDULE_COSINE };
/* Which epochs take the examples in another order than they are given in: all, all but the first, none. */
enum ste_shuffle { STE_SHUFFLE_ALL, STE_SHUFFLE_LATER, STE_SHUFFLE_NONE };

struct ste_train_params {
    struct ste_pool *pool;
    enum ste_isa isa;
    int r;
    double alpha;
    double learning_rate, beta1, beta2, adam_eps, weight_decay,
        max_grad_norm; /* AdamW, decoupled decay; norm 0: no clipping */
    enum ste_schedule schedule;
    int warmup_steps, total_steps;
    int batch_examples; /* an optimizer step; of an objective with groups: groups */
    enum ste_shuffle shuffle;
    int together;            /* so many that stand side by side are shuffled as one */
    int micro_tokens;        /* packed tokens a forward pass: accumulation is over such packs; speed and memory only */
    size_t activation_bytes; /* a pack that needs more keeps no layer's activations: they are computed again in the
                              * backward pass, a third more time; speed and memory only */
    /* STE_ACT_INT8: the forward pass multiplies rounded activations with the base's integers, as generation does; the
     * backward pass takes that forward pass for an exact one. Faster, and another result. */
    enum ste_activations activations;
    enum ste_gradients gradients; /* settled */
    const struct ste_objective *objective;
    int n_ctx; /* of who is to generate with the adapter (ste_engine_params), where positions are stretched by it */
    double beta, nll; /* of DPO */
    uint64_t seed;    /* of A, and of the order of examples */
};
/* Language modelling, r 16, alpha 32, AdamW (.9, .999, 1e-8) at 1e-4 without decay, norm 1, constant schedule, 8
 * examples a step, 512 tokens a pack, 2 GB of activations, all in f32, each example shuffled by itself in every epoch;
 * of DPO beta 0.1 and nll 1.5. */
void ste_train_default_params(struct ste_train_params *p);
/* The parameters that a user may set, in a recipe and as flags. */
struct ste_train_options {
    long long r, warmup, batch, micro_tokens, memory_mb;
    double alpha, lr, epochs, weight_decay, max_grad_norm;
    enum ste_schedule schedule;
    enum ste_activations activations;
    enum ste_gradients gradients;
};
extern const struct ste_option ste_train_options[];
/* Sets P to the defaults, and to O where O says something. */
void ste_train_params_of(struct ste_train_params *p, const struct ste_train_options *o);
/* The same for DPO. */
struct ste_dpo_options {
    double beta, nll;
};
extern const struct ste_option ste_dpo_options[];
/* Makes P train by DPO with the options O. */
void ste_train_params_dpo(struct ste_train_params *p, const struct ste_dpo_options *o);
/* Makes P run for STEPS steps; a warm-up that is longer ends before the last one. */
void ste_train_params_total(struct ste_train_params *p, int steps);

/* Bytes that a trainer takes beside the base: ADAPTER, its gradients and moments, and a state of these while it is
 * written; ACTIVATIONS and scratch memory of a pass over TOKENS packed tokens. Some tokens of a prompt that several
 * examples share count once. */
struct ste_train_sizes {
    size_t adapter, activations;
};
void ste_train_sizes(const struct ste_model *m, const struct ste_train_params *p, int tokens,
                     struct ste_train_sizes *out);

struct ste_trainer;
/* The model's matrices are packed once for the trainer, or shared: BASE may be NULL (then the trainer packs its own) or
 * those of an engine. */
int ste_trainer_new(struct ste_trainer **out, const struct ste_model *m, const struct ste_weights *base,
                    const struct ste_train_params *p, struct ste_err *err);
void ste_trainer_free(struct ste_trainer *t);

struct ste_train_step {
    int step;    /* of the step just done, from 1 */
    double loss; /* of its batch, before the update */
    double lr, grad_norm;
    double seconds; /* for people only */
    long tokens, loss_tokens;
};
/* One optimizer step on the given examples. */
int ste_trainer_step(struct ste_trainer *t, const struct ste_example *batch, int n, struct ste_train_step *out,
                     struct ste_err *err);
/* Forward only: the loss of the batch. */
int ste_trainer_loss(struct ste_trainer *t, const struct ste_example *batch, int n, double *loss, struct ste_err *err);
/* Gradients without an update (tests, interop): written into GRADS, shaped as the trainer's adapter. */
int ste_trainer_grads(struct ste_trainer *t, const struct ste_example *batch, int n, struct ste_lora *grads,
                      double *loss, struct ste_err *err);

/* Scores of a reward model: SCORES has N items. Neighbours with one prompt share it. Examples as of a step, but for
 * their being pairs: STE_EINPUT for a token that the model does not know. */
int ste_trainer_scores(struct ste_trainer *t, const struct ste_example *examples, int n, double *scores,
                       struct ste_err *err);

struct ste_lora *ste_trainer_lora(struct ste_trainer *t); /* the trainer's, live */
/* Starts from the values of L (copied), which must have the trainer's shapes, r and alpha. A state names L's hash. */
int ste_trainer_set_lora(struct ste_trainer *t, const struct ste_lora *l, struct ste_err *err);
int ste_trainer_steps_done(const struct ste_trainer *t);

/* Steps that EPOCHS times over N examples (or groups) take: at least 1, part of a step is one. */
int ste_train_steps(int n, int batch, double epochs);
/* Which of N examples (or groups) make step STEP (from 0): indices into 0..N-1, and how many; the last batch of an
 * epoch may be smaller. The shuffle is keyed by the seed. INDICES has room for batch_examples. */
int ste_train_batch(const struct ste_train_params *p, int n, int step, int *indices);
/* The learning rate's factor at step STEP (from 0): transformers' get_*_schedule_with_warmup. */
double ste_schedule_factor(enum ste_schedule s, int step, int warmup_steps, int total_steps);
extern const char *const ste_schedule_names[], *const ste_shuffle_names[]; /* NULL-ended, as the enums have them */

/* A state of training: adapter, optimizer moments, the log of all steps, the references that are known; one file,
 * written whole. Loading gives a trainer that goes on to the same bytes. EXAMPLES names what is trained on (a hash). A
 * file that is cut off, damaged, or of another model, other examples or other parameters is refused (STE_EINPUT) and
 * changes nothing. */
int ste_trainer_save(const struct ste_trainer *t, const char *examples, const char *path, struct ste_err *err);
int ste_trainer_load(struct ste_trainer *t, const char *examples, const char *path, struct ste_err *err);

#endif
