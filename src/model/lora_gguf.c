/* GGUF-LoRA files, as llama.cpp loads them. */
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "model/lora.h"


/* The B's of linear layers that are one in the file, N of them from P on: the rows of one behind those of the other. */
static float *joined_rows(struct ste_gguf *g, const struct ste_lora_factors *p, int n, uint64_t r, uint64_t *out)
{
    *out = 0;
    for (int j = 0; j < n; j++)
        *out += (uint64_t)p[j].out;
    if (n == 1)
        return p->b;
    float *rows = ste_gguf_keep_small(g, ste_xmalloc(*out * r * sizeof *rows)), *at = rows;
    for (int j = 0; j < n; at += (size_t)p[j++].out * r)
        memcpy(at, p[j].b, (size_t)p[j].out * r * sizeof *at);
    return rows;
}

/* Of layer I: as the model's file has them, fused or each by itself. */
static int add_layer(struct ste_gguf *g, const struct ste_lora *l, const struct ste_model *m, int i,
                     struct ste_err *err)
{
    const uint64_t r = (uint64_t)l->r;
    int rc = 0;
    for (int k = 0, n; k < STE_N_LINEAR && !rc; k += n) {
        const struct ste_fused *f = m->layers[i].fused[k];
        const struct ste_lora_factors *p = &l->factors[i][k];
        char name[96];
        uint64_t out;
        n = f ? f->n : 1;
        if (!p->a)
            continue;
        snprintf(name, sizeof name, "blk.%d.%s.weight.lora_a", i, f ? f->gguf : m->hp.arch->linear[k].gguf);
        rc = ste_gguf_add(g, name, STE_F32, 2, (const uint64_t[]){(uint64_t)p->in, r}, p->a, err);
        name[strlen(name) - 1] = 'b';
        const float *b = joined_rows(g, p, n, r, &out);
        if (!rc)
            rc = ste_gguf_add(g, name, STE_F32, 2, (const uint64_t[]){r, out}, b, err);
    }
    return rc;
}

int ste_lora_write_gguf(struct ste_lora *l, const struct ste_model *m, const char *path, struct ste_err *err)
{
    struct ste_gguf *g = ste_gguf_new(path);
    const char *arch = m->hp.arch->name;
    int rc = 0;
    ste_gguf_set_string(g, "general.architecture", arch, strlen(arch));
    ste_gguf_set_string(g, "general.type", "adapter", strlen("adapter"));
    ste_gguf_set_string(g, "adapter.type", "lora", strlen("lora"));
    ste_gguf_set_real(g, "adapter.lora.alpha", l->alpha);
    for (int i = 0; i < l->n_layers && !rc; i++)
        rc = add_layer(g, l, m, i, err);
    ste_lora_rehash(l);
    if (!rc)
        rc = ste_gguf_write(g, path, NULL, err);
    ste_gguf_close(g);
    return rc;
}
