#include "train/train.h"

#define OPTIONS_OF struct ste_train_options
/* clang-format off */
const struct ste_option ste_train_options[] = {
    STE_INT("r", r, "16", 1, 1024, "rank of the adapter"),
    STE_REAL("alpha", alpha, "32", 0.001, 100000, "scale of the adapter: alpha / r"),
    STE_REAL("lr", lr, "0.0001", 0, 1, "peak learning rate of AdamW"),
    STE_CHOICE("schedule", schedule, "cosine", ste_schedule_names, "of the learning rate, after the warm-up"),
    STE_INT("warmup", warmup, "5", 0, STE_LARGE, "steps of warm-up"),
    STE_REAL("epochs", epochs, "1", 0, 1000, "times through the examples"),
    STE_INT("batch", batch, "8", 1, 100000, "examples a step"),
    STE_SPEED_INT("micro_tokens", micro_tokens, "512", 16, STE_LARGE, "tokens packed into one forward pass"),
    STE_CHOICE("activations", activations, "auto", ste_activations_names,
               "how products round when training: auto is bf16x3 (about exact) where the machine that begins the run "
               "has AMX tiles, else f32; those with int8 round in the forward pass only"),
    STE_CHOICE("gradients", gradients, "auto", ste_gradients_names,
               "how gradients round on their way back: auto is as activations; beside int8 bf16 where the machine that "
               "begins the run has AMX tiles, bf16-dot where it has AVX512_BF16, else f32"),
    STE_REAL("weight_decay", weight_decay, "0", 0, 10, "decoupled weight decay"),
    STE_REAL("max_grad_norm", max_grad_norm, "1", 0, STE_LARGE, "clip the gradient to this norm; 0: off"),
    STE_SPEED_INT("memory_mb", memory_mb, "2048", 0, STE_LARGE,
                  "activations of a pass that need more are computed again in the backward pass: a third more time"),
    {0},
};
/* clang-format on */

#undef OPTIONS_OF
#define OPTIONS_OF struct ste_dpo_options
/* clang-format off */
const struct ste_option ste_dpo_options[] = {
    STE_REAL("beta", beta, "0.1", 0, 1000, "of DPO: how much a margin of one nat over the reference counts"),
    STE_REAL("nll", nll, "1.5", 0, 1000,
             "of DPO: weight of the chosen completion's cross-entropy, its mean over tokens, beside DPO's own loss"),
    {0},
};
/* clang-format on */

void ste_train_params_dpo(struct ste_train_params *p, const struct ste_dpo_options *o)
{
    p->objective = &ste_dpo;
    p->beta = o->beta;
    p->nll = o->nll;
}

void ste_train_params_of(struct ste_train_params *p, const struct ste_train_options *o)
{
    ste_train_default_params(p);
    p->r = (int)o->r;
    p->alpha = o->alpha;
    p->learning_rate = o->lr;
    p->weight_decay = o->weight_decay;
    p->max_grad_norm = o->max_grad_norm;
    p->schedule = o->schedule;
    p->warmup_steps = (int)o->warmup;
    p->batch_examples = (int)o->batch;
    p->micro_tokens = (int)o->micro_tokens;
    p->activation_bytes = (size_t)o->memory_mb << 20;
    p->activations = ste_activations_settle(o->activations, true);
    p->gradients = ste_gradients_settle(o->gradients, p->activations);
}

void ste_train_params_total(struct ste_train_params *p, int steps)
{
    p->total_steps = steps;
    p->warmup_steps = p->warmup_steps < steps ? p->warmup_steps : steps > 0 ? steps - 1 : 0;
}
