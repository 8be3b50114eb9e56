/* Rotary position embeddings: the angles. What turns by them is in ops_body.h. */
#include "engine/cpu/kernels.h"

#include <math.h>

void ste_rope_table(const struct ste_rotary *r, int pos, float *cos_sin)
{
    const int half = r->dims / 2;
    for (int i = 0; i < half; i++) {
        double angle = (double)pos * r->inv_freq[i];
        cos_sin[i] = (float)(r->magnitude * cos(angle));
        cos_sin[half + i] = (float)(r->magnitude * sin(angle));
    }
}
