/* Rotary position embeddings. */
#include "engine/kernels.h"

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

void ste_rope_apply(enum ste_rope form, const float *cos_sin, float *x, int heads, int head_dim, bool inverse)
{
    const int half = head_dim / 2;
    const int step = form == STE_ROPE_ADJACENT ? 2 : 1, other = form == STE_ROPE_ADJACENT ? 1 : half;
    const float *cosines = cos_sin, *sines = cos_sin + half;
    for (int h = 0; h < heads; h++, x += head_dim)
        for (int i = 0; i < half; i++) {
            float *a = x + i * step, *b = a + other;
            float c = cosines[i], s = inverse ? -sines[i] : sines[i], a0 = *a, b0 = *b;
            *a = a0 * c - b0 * s;
            *b = a0 * s + b0 * c;
        }
}
