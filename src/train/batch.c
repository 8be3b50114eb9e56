#include <math.h>

#include "core/mem.h"
#include "core/rng.h"
#include "train/train.h"

/* Streams of the seed's numbers: one an epoch from here on, apart from the streams of other uses. */
#define EPOCH_STREAM 0x65706f63u

int ste_train_steps(int n, int batch, double epochs)
{
    const double per_epoch = (n + batch - 1) / batch, steps = ceil(epochs * per_epoch - 1e-9);
    return steps < 1 ? 1 : steps > 1e9 ? 1000000000 : (int)steps;
}

int ste_train_batch(const struct ste_train_params *p, int n, int step, int *indices)
{
    const int batch = p->batch_examples, per_epoch = (n + batch - 1) / batch, epoch = step / per_epoch,
              from = step % per_epoch * batch, count = n - from < batch ? n - from : batch;
    if (p->shuffle == STE_SHUFFLE_NONE || (p->shuffle == STE_SHUFFLE_LATER && epoch == 0)) {
        for (int i = 0; i < count; i++)
            indices[i] = from + i;
        return count;
    }
    const int groups = (n + p->together - 1) / p->together;
    int *order = ste_xmalloc((size_t)groups * sizeof *order);
    for (int i = 0; i < groups; i++)
        order[i] = i;
    struct ste_rng rng;
    ste_rng_init(&rng, p->seed, EPOCH_STREAM + (uint32_t)epoch);
    for (int i = groups - 1; i > 0; i--) {
        int k = (int)ste_rng_below(&rng, (uint32_t)i + 1), was = order[i];
        order[i] = order[k];
        order[k] = was;
    }
    for (int i = 0, at = 0; i < groups && at < from + count; i++)
        for (int e = order[i] * p->together; e < (order[i] + 1) * p->together && e < n && at < from + count; e++, at++)
            if (at >= from)
                indices[at - from] = e;
    ste_xfree(order);
    return count;
}

double ste_schedule_factor(enum ste_schedule s, int step, int warmup_steps, int total_steps)
{
    if (step < warmup_steps)
        return (double)step / warmup_steps;
    if (s == STE_SCHEDULE_CONSTANT)
        return 1;
    int rest = total_steps - warmup_steps > 1 ? total_steps - warmup_steps : 1;
    double f = s == STE_SCHEDULE_LINEAR ? (double)(total_steps - step) / rest
                                        : 0.5 * (1 + cos(3.141592653589793 * (step - warmup_steps) / rest));
    return f > 0 ? f : 0;
}

const char *const ste_schedule_names[] = {"constant", "linear", "cosine", NULL};
const char *const ste_shuffle_names[] = {"shuffle", "file-first", "file", NULL};
