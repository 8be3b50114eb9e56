/* The folder of a merged model: the base's files, with the adapted tensors changed in place. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/strings.h"
#include "model/merge_internal.h"
#include "model/quantize.h"
#include "model/safetensors.h"

#define PIECE ((size_t)4 << 20) /* bytes */

static const enum ste_type types[] = {[STE_ST_F32] = STE_F32, [STE_ST_F16] = STE_F16, [STE_ST_BF16] = STE_BF16};

/* A tensor of the folder is that of one linear layer, or has the rows of several behind each other. */
struct parts {
    const struct ste_tensor *of[STE_N_LINEAR]; /* the model's */
    int n;
};

/* What the folder calls NAME, if it may be adapted; none: it stays. */
static struct parts adapted(const struct ste_merge *g, const char *name)
{
    const struct ste_model *m = g->model;
    const struct ste_arch *arch = m->hp.arch;
    const char *at = strstr(name, "layers.");
    struct parts p = {.n = 0};
    int layer, end = 0;
    if (strstr(name, "vision") || !at || sscanf(at, "layers.%d.%n", &layer, &end) != 1 || !end || layer < 0 ||
        layer >= m->hp.n_layers || !ste_ends_in(name, ".weight"))
        return p;
    at += end;
    const size_t n = strlen(at) - strlen(".weight");
    for (int k = 0; k < STE_N_LINEAR; k++) {
        const struct ste_fused *f = ste_fused_of(arch, (enum ste_linear)k), *held = m->layers[layer].fused[k];
        const char *peft = f ? f->peft : arch->linear[k].peft;
        if (!peft || strlen(peft) != n || strncmp(peft, at, n) != 0)
            continue;
        p.of[p.n++] = m->layers[layer].linear[k];
        if (held) {
            char all[96];
            snprintf(all, sizeof all, "blk.%d.%s.weight", layer, held->gguf);
            p.of[0] = ste_gguf_tensor(m->gguf, all);
            break;
        }
    }
    return p;
}

/* The bytes of W, of ROW each, with what the adapter adds to its rows. */
static int put_merged(struct ste_file_writer *out, const struct ste_merge *g, const struct ste_st_tensor *t,
                      const struct ste_tensor *w, struct ste_err *err)
{
    const enum ste_type type = types[t->type];
    const uint64_t rows = ste_tensor_rows(w), cols = w->shape[0], row = w->size / rows, most = 1 + PIECE / row;
    float *x = ste_xmalloc((most < rows ? most : rows) * cols * sizeof *x);
    char *bytes = ste_xmalloc((most < rows ? most : rows) * row);
    int rc = 0;
    for (uint64_t at = 0; at < rows && !rc; at += most) {
        const uint64_t n = rows - at < most ? rows - at : most;
        ste_dequantize(w->type, (const char *)w->data + at * row, x, n * cols);
        ste_merge_add(g, w, at, n, x);
        rc = ste_quantize(type, x, bytes, n * cols, g->pool)
                 ? ste_file_put(out, bytes, n * row, err)
                 : ste_err_set(err, STE_EINPUT, "tensor '%s' has a weight that is not finite as %s", t->name,
                               ste_type_name(type));
    }
    ste_xfree(bytes);
    ste_xfree(x);
    return rc;
}

static int by_place(const void *a, const void *b)
{
    const struct ste_st_tensor *const *x = a, *const *y = b;
    return ((*x)->data > (*y)->data) - ((*x)->data < (*y)->data);
}

/* The safetensors file FROM as TO: shapes and types stay, and with them its head. MERGED counts the model's tensors
 * that the adapter was added to. */
static int merge_file(const struct ste_merge *g, const char *from, const char *to, int *merged, struct ste_err *err)
{
    struct ste_safetensors st;
    struct ste_file_writer *out = NULL;
    int rc = ste_safetensors_open(&st, from, err);
    if (rc)
        return rc;
    const struct ste_st_tensor **order = ste_xcalloc(st.n + 1, sizeof *order);
    const char *at = st.map, *end = at + st.map_size;
    for (size_t i = 0; i < st.n; i++)
        order[i] = &st.tensors[i];
    qsort(order, st.n, sizeof *order, by_place);
    rc = ste_file_create(&out, to, false, err);
    for (size_t i = 0; i <= st.n && !rc; i++) {
        const struct parts parts = i < st.n ? adapted(g, order[i]->name) : (struct parts){.n = 0};
        if (i < st.n && !parts.n)
            continue; /* with what comes before the next that is adapted */
        const char *next = parts.n ? order[i]->data : end;
        for (size_t some; at < next && !rc; at += some) {
            some = (size_t)(next - at) < PIECE ? (size_t)(next - at) : PIECE;
            rc = ste_file_put(out, at, some, err);
        }
        for (int k = 0; k < parts.n && !rc; k++)
            rc = put_merged(out, g, order[i], parts.of[k], err);
        *merged += parts.n;
        at = parts.n ? next + order[i]->size : at;
    }
    if (rc)
        ste_file_abort(out);
    else
        rc = ste_file_commit(out, err);
    ste_xfree(order);
    ste_safetensors_close(&st);
    return rc;
}

static int copy_file(const char *from, const char *to, struct ste_err *err)
{
    struct ste_buf b = STE_BUF_INIT;
    int rc = ste_file_read(from, (size_t)256 << 20, &b, err);
    if (!rc)
        rc = ste_file_write(to, b.s, b.len, err);
    ste_buf_clear(&b);
    return rc;
}

/* What a model's folder has beside its weights. */
static bool belongs(const char *name)
{
    static const char *const kept[] = {"config.json",
                                       "generation_config.json",
                                       "tokenizer.json",
                                       "tokenizer.model",
                                       "tokenizer_config.json",
                                       "special_tokens_map.json",
                                       "added_tokens.json",
                                       "vocab.json",
                                       "merges.txt",
                                       "chat_template.jinja",
                                       "chat_template.json",
                                       "preprocessor_config.json",
                                       "model.safetensors.index.json",
                                       NULL};
    return ste_name_find(kept, name) >= 0 || strncmp(name, "LICENSE", 7) == 0;
}

static int write_source(const struct ste_merge *g, const char *dir, struct ste_err *err)
{
    char *path = ste_path_join(dir, "merged.json");
    json_t *j = json_pack("{s:s, s:s, s:s}", "base", g->base_name, "base_sha256", g->model->sha256, "adapter_sha256",
                          g->lora->hash);
    char *text = json_dumps(j, JSON_INDENT(2));
    int rc = ste_file_write(path, text, strlen(text), err);
    json_decref(j);
    ste_xfree(text);
    ste_xfree(path);
    return rc;
}

/* The tensors of M that hold linear layers. */
static int count_parts(const struct ste_model *m)
{
    int n = 0;
    for (int i = 0; i < m->hp.n_layers; i++)
        for (int k = 0; k < STE_N_LINEAR; k++)
            n += !m->layers[i].fused[k] || (int)m->layers[i].fused[k]->first == k;
    return n;
}

static int merge_all(const struct ste_merge *g, const char *base, const char *dir, struct ste_err *err)
{
    DIR *d = ste_opendir(base);
    int merged = 0, rc = d ? 0 : ste_err_errno(err, "cannot read %s", base);
    for (struct dirent *e; !rc && d && (e = readdir(d));) {
        char *from = ste_path_join(base, e->d_name), *to = ste_path_join(dir, e->d_name);
        if (strncmp(e->d_name, "model", 5) == 0 && ste_ends_in(e->d_name, ".safetensors"))
            rc = merge_file(g, from, to, &merged, err);
        else if (belongs(e->d_name))
            rc = copy_file(from, to, err);
        ste_xfree(from);
        ste_xfree(to);
    }
    ste_closedir(d);
    const int all = count_parts(g->model);
    if (!rc && merged != all)
        rc = ste_err_set(err, STE_EFAIL, "of %d tensors that may be adapted %d were found in %s (a bug in ste)", all,
                         merged, base);
    return rc;
}

int ste_merge_write_folder(const struct ste_merge *g, const char *dir, struct ste_err *err)
{
    const char *base = ste_gguf_path(g->model->gguf);
    int rc = ste_merge_check(g, err);
    if (rc)
        return rc;
    const bool folder = ste_gguf_is_folder(g->model->gguf);
    if (folder && g->mix)
        return ste_err_set(err, STE_EUSAGE,
                           "a folder keeps the types of its base; leave --type out, or name a .gguf file");
    if (ste_file_exists(dir))
        return ste_err_set(err, STE_EUSAGE, "%s is there already; name a new folder", dir);
    char *part = ste_xasprintf("%s.part", dir);
    rc = ste_mkdirs(part, err); /* one that was left is written over */
    if (!rc)
        rc = folder ? merge_all(g, base, part, err) : ste_merge_make_folder(g, part, err);
    if (!rc)
        rc = write_source(g, part, err);
    if (!rc && rename(part, dir))
        rc = ste_err_errno(err, "cannot rename %s to %s", part, dir);
    ste_xfree(part);
    return rc;
}
