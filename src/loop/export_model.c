#include "core/mem.h"
#include "core/strings.h"
#include "data/catalogue.h"
#include "judge/judge.h"
#include "loop/export.h"
#include "model/merge.h"
#include "store/run.h"

static int write(const struct ste_export_model *x, struct ste_merge *g, struct ste_buf *said, struct ste_err *err)
{
    const struct ste_mix *mix = g->mix ? g->mix : ste_merge_mix(g->model);
    g->pool = ste_pool_new(x->threads);
    int rc =
        ste_ends_in(x->out, ".gguf") ? ste_merge_write_gguf(g, x->out, err) : ste_merge_write_folder(g, x->out, err);
    ste_pool_free(g->pool);
    if (rc)
        return rc;
    ste_buf_addf(said, "%s and adapter %.12s as %s in %s", g->base_name, g->lora->hash, mix->name, x->out);
    if (ste_type_block(g->model->layers[0].linear[STE_Q]->type) > 1)
        ste_buf_adds(said, "; the base was quantized, and what that took from it stays lost");
    return 0;
}

int ste_export_model(const struct ste_export_model *x, struct ste_buf *said, struct ste_err *err)
{
    struct ste_judge_spec spec = {0};
    struct ste_model *m = NULL;
    struct ste_lora *lora = NULL;
    struct ste_merge g = {.mix = x->type ? ste_mix_of(x->type) : NULL};
    char *path = NULL;
    if (x->type && !g.mix)
        return ste_err_set(err, STE_EUSAGE, "\"%s\" is no type that ste writes; there are %s", x->type,
                           ste_mix_names());
    int rc = ste_judge_spec_parse(&spec, x->judge, err);
    if (!rc && !spec.adapter)
        rc = ste_err_set(err, STE_EUSAGE, "%s has no adapter to merge; name a RUN[:ITERATION] or an adapter's folder",
                         x->judge);
    if (!rc)
        rc = ste_judge_spec_base(&spec, x->base, "name it with --base", err);
    if (!rc)
        rc = ste_model_resolve(spec.model, &path, err);
    if (!rc)
        rc = ste_model_open(&m, path, err);
    if (!rc)
        rc = ste_lora_read_peft(&lora, m, spec.adapter, err);
    if (!rc) {
        g.model = m;
        g.lora = lora;
        g.base_name = spec.model;
        rc = write(x, &g, said, err);
    }
    ste_lora_free(lora);
    ste_model_close(m);
    ste_xfree(path);
    ste_judge_spec_clear(&spec);
    return rc;
}
