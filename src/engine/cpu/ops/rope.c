/* Rotary position embeddings: the angles. What turns by them is in ops_body.h. */
#include "engine/cpu/kernels.h"

#include <math.h>

void ste_rope_table(double base, int head_dim, int pos, float *cos_sin)
{
    const int half = head_dim / 2;
    for (int i = 0; i < half; i++) {
        double angle = (double)pos * pow(base, -2.0 * i / head_dim);
        cos_sin[i] = (float)cos(angle);
        cos_sin[half + i] = (float)sin(angle);
    }
}
