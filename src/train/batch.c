#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "train/train.h"

/* Streams of the seed's numbers: one an epoch from here on, apart from the streams of other uses. */
#define EPOCH_STREAM 0x65706f63u

void ste_train_batch(uint64_t seed, int n_examples, int together, int batch, int step, int *indices, int *n)
{
    int per_epoch = (n_examples + batch - 1) / batch, epoch = step / per_epoch, from = step % per_epoch * batch;
    int groups = (n_examples + together - 1) / together;
    int *order = ste_xmalloc((size_t)groups * sizeof *order);
    for (int i = 0; i < groups; i++)
        order[i] = i;
    struct ste_rng rng;
    ste_rng_init(&rng, seed, EPOCH_STREAM + (uint32_t)epoch);
    for (int i = groups - 1; i > 0; i--) {
        int k = (int)ste_rng_below(&rng, (uint32_t)i + 1), was = order[i];
        order[i] = order[k];
        order[k] = was;
    }
    *n = 0;
    for (int i = 0, at = 0; i < groups && *n < batch; i++)
        for (int e = order[i] * together; e < (order[i] + 1) * together && e < n_examples && *n < batch; e++, at++)
            if (at >= from)
                indices[(*n)++] = e;
    free(order);
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
