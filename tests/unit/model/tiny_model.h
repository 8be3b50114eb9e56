/* A whole model of a few kilobytes: two layers, width 8, the 256 bytes, two merges, ChatML's control tokens. */
#ifndef STE_TEST_TINY_MODEL_H
#define STE_TEST_TINY_MODEL_H

#include <stdbool.h>

#include "gguf_writer.h"

enum { TINY_BYTES = 256, TINY_HE = 256, TINY_LL, TINY_START, TINY_END, TINY_TOOL, TINY_VOCAB };

/* gpt2's character of a byte, as UTF-8. */
static inline const char *tiny_byte(int b, char out[3])
{
    int c = b;
    if (!((b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE))
        c = b <= 0x20 ? 0x100 + b : b < 0xA1 ? 0x100 + 33 + b - 0x7F : 0x143;
    out[0] = (char)(c < 0x80 ? c : 0xC0 | c >> 6);
    out[1] = (char)(c < 0x80 ? 0 : 0x80 | (c & 63));
    out[2] = 0;
    return out;
}

static inline void tiny_tokenizer(struct gw *w, const char *pre, const char *wrong)
{
#define WRONG(s) (wrong && !strcmp(wrong, s))
    static char bytes[TINY_BYTES][3];
    const char *tokens[TINY_VOCAB];
    int32_t types[TINY_VOCAB];
    for (int i = 0; i < TINY_VOCAB; i++) {
        tokens[i] = i < TINY_BYTES ? tiny_byte(i, bytes[i]) : NULL;
        types[i] = i < TINY_START ? 1 : i == TINY_TOOL ? 4 : 3;
    }
    tokens[TINY_HE] = "he";
    tokens[TINY_LL] = "ll";
    tokens[TINY_START] = "<|im_start|>";
    tokens[TINY_END] = "<|im_end|>";
    tokens[TINY_TOOL] = "<tool>";
    const char *merges[] = {"h e", WRONG("merge form") ? "ll" : WRONG("merge vocab") ? "l e" : "l l"};
    gw_key_str(w, "tokenizer.ggml.model", WRONG("kind") ? "spm" : "gpt2");
    if (!WRONG("no pre"))
        gw_key_str(w, "tokenizer.ggml.pre", WRONG("pre") ? "deepseek-llm" : pre);
    if (!WRONG("no tokens"))
        gw_key_strs(w, "tokenizer.ggml.tokens", tokens, TINY_VOCAB);
    gw_key_i32s(w, "tokenizer.ggml.token_type", types, WRONG("types") ? TINY_VOCAB - 1 : TINY_VOCAB);
    if (!WRONG("no merges"))
        gw_key_strs(w, "tokenizer.ggml.merges", merges, 2);
    gw_key_u32(w, "tokenizer.ggml.eos_token_id", WRONG("no eos") ? TINY_VOCAB : TINY_END);
}

static inline void tiny_tensor(struct gw *w, const char *name, uint32_t type, uint64_t cols, uint64_t rows)
{
    size_t n = cols * (rows ? rows : 1);
    float *v = ste_xcalloc(n, sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)((i * 37 + w->n_tensors * 11) % 101) / 101 - 0.5f;
    gw_tensor(w, name, type, rows ? 2 : 1, (const uint64_t[]){cols, rows}, v, n * (type ? 2 : 4));
    free(v);
}

/* WRONG names the one thing that is wrong with it, or is NULL. */
static inline void tiny_model(const char *path, const char *arch, const char *wrong)
{
    static const char *const linear[] = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};
    static const int in[] = {8, 8, 8, 8, 8, 8, 16}, out[] = {8, 8, 8, 8, 16, 16, 8};
    bool qwen = !strcmp(arch, "qwen2");
    struct gw w = {0};
    struct ste_buf b = STE_BUF_INIT;
    char key[64];
#define KEY(name) (snprintf(key, sizeof key, "%s.%s", arch, name), key)
    if (!WRONG("no arch"))
        gw_key_str(&w, "general.architecture", WRONG("other arch") ? "mamba" : arch);
    if (!WRONG("no layers"))
        gw_key_u32(&w, KEY("block_count"), 2);
    gw_key_u32(&w, KEY("context_length"), 64);
    gw_key_u32(&w, KEY("embedding_length"), 8);
    const int32_t widths[] = {16, WRONG("layers of two widths") ? 8 : 16};
    if (WRONG("layers of two widths") || WRONG("layers of one width"))
        gw_key_i32s(&w, KEY("feed_forward_length"), widths, 2);
    else
        gw_key_u32(&w, KEY("feed_forward_length"), 16);
    gw_key_u32(&w, KEY("attention.head_count"), WRONG("width") ? 6 : 2);
    gw_key_u32(&w, KEY("attention.head_count_kv"), WRONG("heads") ? 3 : 2);
    gw_key_f32(&w, KEY("attention.layer_norm_rms_epsilon"), WRONG("eps") ? -1.0f : 1e-5f);
    gw_key_f32(&w, KEY("rope.freq_base"), 10000.0f);
    if (WRONG("scaling"))
        gw_key_str(&w, KEY("rope.scaling.type"), "ntk");
    if (WRONG("factor") || WRONG("factor 1"))
        gw_key_f32(&w, KEY("rope.scaling.factor"), WRONG("factor") ? -4 : 1);
    if (WRONG("old factor"))
        gw_key_f32(&w, KEY("rope.scale_linear"), 2);
    if (WRONG("whole factor"))
        gw_key_u32(&w, KEY("rope.scale_linear"), 8);
    if (WRONG("none"))
        gw_key_str(&w, KEY("rope.scaling.type"), "none");
    if (WRONG("part")) {
        gw_key_u32(&w, "split.no", 1);
        gw_key_u32(&w, "split.count", 5);
    }
    if (WRONG("one part"))
        gw_key_u32(&w, "split.count", 1);
    if (WRONG("adapter") || WRONG("mmproj"))
        gw_key_str(&w, "general.type", WRONG("adapter") ? "adapter" : "mmproj");
    if (WRONG("experts"))
        gw_key_u32(&w, KEY("expert_count"), 4);
    if (WRONG("window"))
        gw_key_f32(&w, KEY("attention.sliding_window"), -1);
    if (WRONG("rope dims"))
        gw_key_u32(&w, KEY("rope.dimension_count"), 3);
    tiny_tokenizer(&w, qwen ? "qwen2" : "smollm", wrong);
    tiny_tensor(&w, "token_embd.weight", 0, 8, WRONG("vocab") ? TINY_VOCAB - 1 : TINY_VOCAB);
    tiny_tensor(&w, "output_norm.weight", WRONG("norm type") ? 1 : 0, 8, 0);
    for (int i = 0; i < 2; i++) {
        for (int l = 0; l < 7; l++) {
            snprintf(key, sizeof key, "blk.%d.%s.weight", i, linear[l]);
            if (!(WRONG("missing") && i == 1 && l == 5))
                tiny_tensor(&w, key, 0, (uint64_t)in[l], WRONG("shape") && !l && !i ? 6 : (uint64_t)out[l]);
            snprintf(key, sizeof key, "blk.%d.%s.bias", i, linear[l]);
            if (l < 3 && (qwen || WRONG("bias") || (WRONG("bias shape") && l == 1)))
                tiny_tensor(&w, key, 0, WRONG("bias shape") ? 6 : (uint64_t)out[l], 0);
        }
        if (WRONG("sinks") && !i)
            tiny_tensor(&w, "blk.0.attn_sinks.weight", 0, 2, 0);
        snprintf(key, sizeof key, "blk.%d.attn_norm.weight", i);
        tiny_tensor(&w, key, 0, 8, 0);
        snprintf(key, sizeof key, "blk.%d.ffn_norm.weight", i);
        tiny_tensor(&w, key, 0, 8, 0);
    }
    gw_file(&w, &b);
    gw_write(path, b.s, b.len);
    ste_buf_clear(&b);
#undef KEY
#undef WRONG
}

static inline void tiny_model_remove(char *path)
{
    char *beside = ste_xasprintf("%s.sha256", path);
    unlink(beside);
    free(beside);
    gw_temp_remove(path);
}

#endif
