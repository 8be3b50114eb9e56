#include "engine/cpu/cpu.h"

#include "core/mem.h"
#include "engine/cpu/forward.h"

struct cpu {
    struct ste_device device;
    struct ste_weights *weights;
    struct ste_kv_store kv;
    struct ste_forward f;
};

static struct cpu *cpu_of(struct ste_device *d)
{
    return (struct cpu *)d;
}

static void close_cpu(struct ste_device *d)
{
    struct cpu *c = cpu_of(d);
    ste_forward_clear(&c->f);
    ste_kv_store_clear(&c->kv);
    ste_weights_free(c->weights);
    ste_xfree(c);
}

static int sizes(const struct ste_model *m, const struct ste_device_params *p, struct ste_device_sizes *out,
                 struct ste_err *err)
{
    *out = (struct ste_device_sizes){.weights = ste_weights_size(m),
                                     .cache = (size_t)p->n_blocks * ste_kv_store_block_bytes(&m->hp)};
    return ste_forward_size(m, p, &out->work, err);
}

static int open_cpu(struct ste_device **out, const struct ste_model *m, const struct ste_device_params *p,
                    struct ste_err *err)
{
    struct cpu *c = ste_xcalloc(1, sizeof *c);
    c->device.ops = &ste_cpu;
    int rc = ste_weights_new(&c->weights, m, p->isa, p->pool, err);
    if (!rc)
        rc = ste_kv_store_init(&c->kv, &m->hp, p->n_blocks, err);
    if (!rc)
        rc = ste_forward_init(&c->f, c->weights, &c->kv, p, err);
    if (rc) {
        close_cpu(&c->device);
        return rc;
    }
    *out = &c->device;
    return 0;
}

static void copy(struct ste_device *d, int to, int from, size_t n)
{
    ste_kv_store_copy(&cpu_of(d)->kv, to, from, n);
}

static int adapter_new(struct ste_device *d, const struct ste_lora *l, void **out, struct ste_err *err)
{
    *out = ste_cpu_adapter_new(l);
    return 0;
}

static void adapter_free(struct ste_device *d, void *adapter)
{
    ste_cpu_adapter_free(adapter);
}

static void run(struct ste_device *d, struct ste_row *rows, int n)
{
    ste_forward_run(&cpu_of(d)->f, rows, n);
}

static const float *logits(struct ste_device *d, const int *index, int n)
{
    return ste_forward_logits(&cpu_of(d)->f, index, n);
}

const struct ste_device_ops ste_cpu = {.name = "cpu",
                                       .numerics = "kv f16",
                                       .block_bytes = ste_kv_store_block_bytes,
                                       .sizes = sizes,
                                       .open = open_cpu,
                                       .close = close_cpu,
                                       .copy = copy,
                                       .adapter_new = adapter_new,
                                       .adapter_free = adapter_free,
                                       .run = run,
                                       .logits = logits};

const struct ste_weights *ste_cpu_weights(const struct ste_device *d)
{
    return d->ops == &ste_cpu ? ((const struct cpu *)d)->weights : NULL;
}
