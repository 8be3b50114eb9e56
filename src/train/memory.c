#include "train/memory.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/positions.h"

/* The program with its libraries, and what the tokenizer keeps of each token: its text, its place in a table, a merge.
 */
#define PROGRAM ((size_t)16 << 20)
#define PER_TOKEN 256

int ste_memory_of(struct ste_memory *out, const struct ste_model *m, const struct ste_engine_params *e,
                  const struct ste_train_params *t, int tokens, struct ste_err *err)
{
    struct ste_device_sizes judging;
    struct ste_train_sizes training;
    int rc = ste_engine_sizes(m, e, &judging, err);
    if (rc)
        return rc;
    ste_train_sizes(m, t, tokens, &training);
    *out = (struct ste_memory){.weights = judging.weights,
                               .cache = judging.cache,
                               .work = judging.work,
                               .adapter = training.adapter,
                               .activations = training.activations,
                               .other = PROGRAM + PER_TOKEN * (size_t)m->hp.n_vocab};
    return 0;
}

size_t ste_memory_to_judge(const struct ste_memory *n)
{
    return n->weights + n->cache + n->work + n->other;
}

size_t ste_memory_to_train(const struct ste_memory *n)
{
    return n->weights + n->adapter + n->activations + n->other;
}

size_t ste_memory_of_a_run(const struct ste_memory *n)
{
    return ste_memory_to_judge(n) + n->adapter + n->activations;
}

static struct ste_tensor *stand_in(struct ste_model *m, size_t *used, const struct ste_mix *mix, bool tied,
                                   const char *name, int in, int out)
{
    struct ste_tensor *t = &m->slices[(*used)++];
    *t = (struct ste_tensor){
        .name = name, .n_dims = out ? 2 : 1, .shape = {(uint64_t)in, out ? (uint64_t)out : 1, 1, 1}};
    t->type = ste_mix_type(mix, t, m->hp.n_layers, tied);
    return t;
}

struct ste_model *ste_model_of_shape(const struct ste_shape *s, const struct ste_mix *mix)
{
    struct ste_model *m = ste_xcalloc(1, sizeof *m);
    size_t used = 0;
    m->hp = (struct ste_hparams){.arch = &ste_arch_llama,
                                 .n_layers = s->layers,
                                 .d_model = s->width,
                                 .n_heads = s->heads,
                                 .n_kv_heads = s->kv_heads,
                                 .head_dim = s->head_dim,
                                 .d_ff = s->ff,
                                 .n_vocab = s->vocab,
                                 .n_ctx_train = s->context};
    ste_rotary_plain(&m->hp.rotary[STE_ROTARY_FULL], 10000, s->head_dim);
    m->layers = ste_xcalloc((size_t)s->layers, sizeof *m->layers);
    m->slices = ste_xcalloc((size_t)s->layers * (STE_N_LINEAR + STE_N_NORM) + 3, sizeof *m->slices);
    m->embedding = stand_in(m, &used, mix, s->tied, "token_embd.weight", s->width, s->vocab);
    m->output = s->tied ? m->embedding : stand_in(m, &used, mix, false, "output.weight", s->width, s->vocab);
    m->output_norm = stand_in(m, &used, mix, s->tied, "output_norm.weight", s->width, 0);
    for (int i = 0; i < s->layers; i++) {
        for (int n = 0; n < STE_N_NORM; n++)
            if (m->hp.arch->norm[n].gguf)
                m->layers[i].norm[n] = stand_in(m, &used, mix, s->tied, "blk.0.attn_norm.weight", s->width, 0);
        for (int l = 0; l < STE_N_LINEAR; l++) {
            char name[96];
            int out, in;
            snprintf(name, sizeof name, "blk.%d.%s.weight", i, m->hp.arch->linear[l].gguf);
            ste_linear_shape(&m->hp, (enum ste_linear)l, &out, &in);
            struct ste_tensor *t = stand_in(m, &used, mix, s->tied, name, in, out);
            t->name = m->hp.arch->linear[l].gguf; /* NAME ends here */
            m->layers[i].linear[l] = t;
        }
    }
    return m;
}
