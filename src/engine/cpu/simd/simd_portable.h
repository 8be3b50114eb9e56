/* simd.h in plain C; included by it. */

#include "model/quant.h"
#define VL 16
typedef struct {
    float v[VL];
} vf;
typedef struct {
    uint32_t v[VL];
} vi;
#define EACH for (int l_ = 0; l_ < VL; l_++)

ALWAYS vf v_set1(float f)
{
    vf r;
    EACH r.v[l_] = f;
    return r;
}
ALWAYS vf v_zero(void)
{
    return v_set1(0);
}
ALWAYS vf v_load(const float *p)
{
    vf r;
    memcpy(r.v, p, sizeof r.v);
    return r;
}
ALWAYS void v_store(float *p, vf v)
{
    memcpy(p, v.v, sizeof v.v);
}
ALWAYS vf v_add(vf a, vf b)
{
    EACH a.v[l_] += b.v[l_];
    return a;
}
ALWAYS vf v_sub(vf a, vf b)
{
    EACH a.v[l_] -= b.v[l_];
    return a;
}
ALWAYS vf v_mul(vf a, vf b)
{
    EACH a.v[l_] *= b.v[l_];
    return a;
}
ALWAYS vf v_div(vf a, vf b)
{
    EACH a.v[l_] /= b.v[l_];
    return a;
}
ALWAYS vf v_fma(vf a, vf b, vf c)
{
    EACH c.v[l_] = fmaf(a.v[l_], b.v[l_], c.v[l_]);
    return c;
}
/* As the instructions do it: the second when one is not a number. */
ALWAYS vf v_max(vf a, vf b)
{
    EACH b.v[l_] = a.v[l_] > b.v[l_] ? a.v[l_] : b.v[l_];
    return b;
}
ALWAYS vf v_min(vf a, vf b)
{
    EACH b.v[l_] = a.v[l_] < b.v[l_] ? a.v[l_] : b.v[l_];
    return b;
}
ALWAYS vf v_abs(vf a)
{
    EACH a.v[l_] = fabsf(a.v[l_]);
    return a;
}
ALWAYS vf v_round(vf a)
{
    EACH a.v[l_] = rintf(a.v[l_]);
    return a;
}
ALWAYS vi i_from_v(vf a)
{
    vi r;
    EACH r.v[l_] = a.v[l_] >= -2147483648.0f && a.v[l_] < 2147483648.0f ? (uint32_t)(int32_t)rintf(a.v[l_]) : 1u << 31;
    return r;
}
ALWAYS vf v_pow2(vf n)
{
    vi r = i_from_v(n);
    EACH r.v[l_] = (r.v[l_] + 127) << 23;
    memcpy(n.v, r.v, sizeof n.v);
    return n;
}
ALWAYS vf v_load_f16(const uint16_t *p)
{
    vf r;
    EACH r.v[l_] = ste_f16_to_f32(p[l_]);
    return r;
}
ALWAYS void v_store_f16(uint16_t *p, vf v)
{
    EACH p[l_] = ste_f32_to_f16(v.v[l_]);
}
ALWAYS vf v_from_u8(const uint8_t *p)
{
    vf r;
    EACH r.v[l_] = p[l_];
    return r;
}
ALWAYS vf v_from_s8(const int8_t *p)
{
    vf r;
    EACH r.v[l_] = p[l_];
    return r;
}
ALWAYS void v_store_s8(int8_t *p, vf v)
{
    vi r = i_from_v(v);
    EACH p[l_] = (int8_t)(uint8_t)r.v[l_];
}
ALWAYS vi i_load(const void *p)
{
    vi r;
    memcpy(r.v, p, sizeof r.v);
    return r;
}
ALWAYS void i_store(void *p, vi v)
{
    memcpy(p, v.v, sizeof v.v);
}
ALWAYS vi i_set1(int32_t n)
{
    vi r;
    EACH r.v[l_] = (uint32_t)n;
    return r;
}
ALWAYS vi i_and(vi a, vi b)
{
    EACH a.v[l_] &= b.v[l_];
    return a;
}
ALWAYS vi i_or(vi a, vi b)
{
    EACH a.v[l_] |= b.v[l_];
    return a;
}
ALWAYS vi i_srl(vi a, int n)
{
    EACH a.v[l_] >>= n;
    return a;
}
ALWAYS vi i_sll(vi a, int n)
{
    EACH a.v[l_] <<= n;
    return a;
}
ALWAYS vi i_add(vi a, vi b)
{
    EACH a.v[l_] += b.v[l_];
    return a;
}
ALWAYS vi i_spread(vi a)
{
    EACH a.v[l_] = (a.v[l_] & 0xffff) * 0x00010001u;
    return a;
}
ALWAYS vi i_scale_bytes(vi q, vi s, vi c)
{
    vi r = i_set1(0);
    for (int j = 0; j < 32; j += 8)
        EACH r.v[l_] |= ((q.v[l_] >> j & 0xff) * (s.v[l_] & 0xffff) + (c.v[l_] & 0xffff)) >> 8 << 24 >> (24 - j);
    return r;
}
ALWAYS vi i_scale_nibbles(vi q, const int high, vi s, vi c)
{
    return i_scale_bytes(i_and(high ? i_srl(q, 4) : q, i_set1(0x0f0f0f0f)), s, c);
}
ALWAYS vi i_sixteen(const uint8_t *p)
{
    vi r;
    EACH memcpy(&r.v[l_], p + l_ % 4 * 4, 4);
    return r;
}
ALWAYS vi i_look_up(vi table, vi n)
{
    uint8_t of[16], b[sizeof n.v];
    memcpy(of, table.v, sizeof of);
    memcpy(b, n.v, sizeof b);
    for (size_t i = 0; i < sizeof b; i++)
        b[i] = of[b[i] & 15];
    memcpy(n.v, b, sizeof b);
    return n;
}
ALWAYS vi i_sub(vi a, vi b)
{
    EACH a.v[l_] -= b.v[l_];
    return a;
}
ALWAYS vf v_from_i32(vi a)
{
    vf r;
    EACH r.v[l_] = (float)(int32_t)a.v[l_];
    return r;
}
ALWAYS vi i_from_bits(vf a)
{
    vi r;
    memcpy(r.v, a.v, sizeof r.v);
    return r;
}
ALWAYS vf v_from_bits(vi a)
{
    vf r;
    memcpy(r.v, a.v, sizeof r.v);
    return r;
}
ALWAYS float v_max_lanes(vf a)
{
    float m = a.v[0];
    EACH m = a.v[l_] > m ? a.v[l_] : m;
    return m;
}
ALWAYS float v_sum_lanes(vf a) /* folded in halves */
{
    for (int half = VL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            a.v[i] += a.v[i + half];
    return a.v[0];
}
ALWAYS vf v_keep(vf a, vf size, vf least) /* A where SIZE is at least LEAST, else 0 */
{
    EACH a.v[l_] = size.v[l_] >= least.v[l_] ? a.v[l_] : 0;
    return a;
}
ALWAYS void i_store_high16(uint16_t *p, vi a)
{
    EACH p[l_] = (uint16_t)(a.v[l_] >> 16);
}
ALWAYS vf v_from_byte(vi a, int j)
{
    vf r;
    EACH r.v[l_] = (float)((a.v[l_] >> (8 * j)) & 0xff);
    return r;
}
#define D_WIDE
typedef vi dacc;
ALWAYS dacc d_step(dacc s, vi w, vi x)
{
    for (int j = 0; j < 32; j += 8)
        EACH s.v[l_] += (uint32_t)((int32_t)((w.v[l_] >> j) & 0xff) * (int8_t)((x.v[l_] >> j) & 0xff));
    return s;
}
ALWAYS dacc d_first(vi w, vi x)
{
    return d_step(i_set1(0), w, x);
}
ALWAYS dacc d_from(vi n)
{
    return n;
}
ALWAYS vi d_sum(dacc s)
{
    return s;
}
