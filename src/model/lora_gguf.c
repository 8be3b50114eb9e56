/* GGUF-LoRA files, as llama.cpp loads them. */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "model/lora.h"

static void add_u32(struct ste_buf *b, uint32_t v)
{
    ste_buf_add(b, &v, 4);
}

static void add_u64(struct ste_buf *b, uint64_t v)
{
    ste_buf_add(b, &v, 8);
}

static void add_string(struct ste_buf *b, const char *s)
{
    add_u64(b, strlen(s));
    ste_buf_adds(b, s);
}

static void add_key(struct ste_buf *b, const char *key, const char *value)
{
    add_string(b, key);
    add_u32(b, 8); /* a string */
    add_string(b, value);
}

static void add_info(struct ste_buf *b, const char *name, uint64_t cols, uint64_t rows, uint64_t *offset)
{
    add_string(b, name);
    add_u32(b, 2);
    add_u64(b, cols);
    add_u64(b, rows);
    add_u32(b, STE_F32);
    add_u64(b, *offset);
    *offset += (cols * rows * 4 + 31) / 32 * 32;
}

static void pad(struct ste_buf *b)
{
    while (b->len % 32)
        ste_buf_addc(b, 0);
}

/* Of layer I: as the model's file has them, fused or each by itself. What VALUES asks for: the tensors' values, or
 * their names and shapes. */
static void add_layer(struct ste_buf *b, const struct ste_lora *l, const struct ste_model *m, int i, bool values,
                      uint64_t *offset)
{
    const uint64_t r = (uint64_t)l->r;
    for (int k = 0, n; k < STE_N_LINEAR; k += n) {
        const struct ste_fused *f = m->layers[i].fused[k];
        const struct ste_lora_factors *p = &l->factors[i][k];
        char name[96];
        uint64_t out = 0;
        n = f ? f->n : 1;
        for (int j = 0; j < n; j++)
            out += (uint64_t)p[j].out;
        if (!p->a)
            continue;
        if (values) {
            ste_buf_add(b, p->a, (size_t)p->in * r * 4);
            pad(b);
            for (int j = 0; j < n; j++)
                ste_buf_add(b, p[j].b, (size_t)p[j].out * r * 4);
            pad(b);
            continue;
        }
        snprintf(name, sizeof name, "blk.%d.%s.weight.lora_a", i, f ? f->gguf : m->hp.arch->linear[k].gguf);
        add_info(b, name, (uint64_t)p->in, r, offset);
        name[strlen(name) - 1] = 'b';
        add_info(b, name, r, out, offset);
    }
}

int ste_lora_write_gguf(struct ste_lora *l, const struct ste_model *m, const char *path, struct ste_err *err)
{
    struct ste_buf b = STE_BUF_INIT;
    uint64_t n = 0, offset = 0;
    float alpha = (float)l->alpha;
    for (int i = 0; i < l->n_layers; i++)
        for (int k = 0; k < STE_N_LINEAR; k++) {
            const struct ste_fused *f = m->layers[i].fused[k];
            n += l->factors[i][k].a && (!f || (int)f->first == k) ? 2 : 0;
        }
    ste_buf_adds(&b, "GGUF");
    add_u32(&b, 3);
    add_u64(&b, n);
    add_u64(&b, 4); /* keys */
    add_key(&b, "general.architecture", m->hp.arch->name);
    add_key(&b, "general.type", "adapter");
    add_key(&b, "adapter.type", "lora");
    add_string(&b, "adapter.lora.alpha");
    add_u32(&b, 6); /* f32 */
    ste_buf_add(&b, &alpha, 4);
    for (int values = 0; values < 2; values++) {
        for (int i = 0; i < l->n_layers; i++)
            add_layer(&b, l, m, i, values, &offset);
        pad(&b); /* the values begin at a multiple of 32 */
        if (!values)
            ste_buf_reserve(&b, offset);
    }
    ste_lora_rehash(l);
    int rc = ste_file_write(path, b.s, b.len, err);
    ste_buf_clear(&b);
    return rc;
}
