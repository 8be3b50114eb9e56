#include "engine/adapter.h"

#include <string.h>

#include "core/mem.h"
#include "engine/engine.h"

static int check(const struct ste_hparams *hp, const struct ste_lora *l, struct ste_err *err)
{
    if (l->n_layers != hp->n_layers || l->r < 1 || l->r > STE_MAX_LORA_R)
        return ste_err_set(err, STE_EINPUT,
                           "cannot use the adapter: it has %d layers and rank %d; this model has %d layers, and ranks "
                           "go from 1 to %d",
                           l->n_layers, l->r, hp->n_layers, STE_MAX_LORA_R);
    if (l->head)
        return ste_err_set(
            err, STE_EINPUT,
            "cannot generate with the adapter: it is a reward model's; `ste eval --judge` takes its folder");
    for (int i = 0; i < l->n_layers; i++) {
        for (int k = 0; k < STE_N_LINEAR; k++) {
            int rows, cols;
            ste_linear_shape(hp, (enum ste_linear)k, &rows, &cols);
            const struct ste_lora_factors *p = &l->factors[i][k];
            if (p->a && p->b && (p->out != rows || p->in != cols))
                return ste_err_set(err, STE_EINPUT,
                                   "cannot use the adapter: %s of layer %d is %d x %d, the model's is %d x %d; it was "
                                   "made for another model",
                                   ste_linear_peft_name(hp->arch, (enum ste_linear)k), i, p->out, p->in, rows, cols);
        }
    }
    return 0;
}

int ste_adapter_make(struct ste_adapter **out, struct ste_device *d, const struct ste_hparams *hp, uint64_t serial,
                     const struct ste_lora *l, struct ste_err *err)
{
    void *on_device = NULL;
    *out = NULL;
    int rc = check(hp, l, err);
    if (!rc)
        rc = d->ops->adapter_new(d, l, &on_device, err);
    if (rc)
        return rc;
    struct ste_adapter *a = ste_xcalloc(1, sizeof *a);
    a->serial = serial;
    a->holders = 1;
    memcpy(a->hash, l->hash, sizeof a->hash);
    a->device = d;
    a->on_device = on_device;
    *out = a;
    return 0;
}

struct ste_adapter *ste_adapter_hold(struct ste_adapter *a)
{
    a->holders++;
    return a;
}

void ste_adapter_free(struct ste_adapter *a)
{
    if (!a || --a->holders > 0)
        return;
    a->device->ops->adapter_free(a->device, a->on_device);
    ste_xfree(a);
}

const char *ste_adapter_hash(const struct ste_adapter *a)
{
    return a ? a->hash : "";
}
