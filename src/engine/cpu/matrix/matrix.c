#include "engine/cpu/matrix/matrix.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"

struct form {
    enum ste_type type;
    int bits, zero;
    enum ste_scale scale;
    const int8_t *table; /* less the zero */
};
static const struct form forms[] = {
    {STE_F32, STE_F32_BITS, 0, STE_SCALE_NONE, NULL},
    {STE_F16, STE_F16_BITS, 0, STE_SCALE_NONE, NULL},
    {STE_BF16, STE_BF16_BITS, 0, STE_SCALE_NONE, NULL},
    {STE_Q4_0, 4, 8, STE_SCALE_BLOCK, NULL},
    {STE_Q4_1, 4, 0, STE_SCALE_MIN, NULL},
    {STE_Q5_0, 5, 16, STE_SCALE_BLOCK, NULL},
    {STE_Q5_1, 5, 0, STE_SCALE_MIN, NULL},
    {STE_Q8_0, 8, 128, STE_SCALE_BLOCK, NULL},
    {STE_Q2_K, 2, 0, STE_SCALE_K16_MIN, NULL},
    {STE_Q3_K, 3, 0, STE_SCALE_K16_MIN, NULL},
    {STE_Q4_K, 4, 0, STE_SCALE_K, NULL},
    {STE_Q5_K, 5, 0, STE_SCALE_K, NULL},
    {STE_Q6_K, 6, 32, STE_SCALE_K16, NULL},
    {STE_IQ4_NL, STE_TABLE, 128, STE_SCALE_TABLE, ste_iq4_values},
    {STE_IQ4_XS, STE_TABLE, 128, STE_SCALE_TABLE, ste_iq4_values},
    {STE_MXFP4, STE_TABLE, 128, STE_SCALE_TABLE, ste_mxfp4_values},
};
/* Bytes of scales for the 16 rows: of a cell, or of the 8 cells of a block of 256. */
static const size_t scale_bytes[] = {[STE_SCALE_NONE] = 0,
                                     [STE_SCALE_BLOCK] = 32,
                                     [STE_SCALE_MIN] = 64,
                                     [STE_SCALE_TABLE] = 64,
                                     [STE_SCALE_K] = STE_K_SCALES,
                                     [STE_SCALE_K16] = STE_K16_SCALES,
                                     [STE_SCALE_K16_MIN] = STE_K16_MIN_SCALES};

/* Where those of CELL begin, or of the block that it is of. */
static size_t scales_before(enum ste_scale scale, size_t cell)
{
    return (STE_SCALE_IS_K(scale) ? cell / 8 : cell) * scale_bytes[scale];
}

static void read_nibbles(const uint8_t qs[16], uint8_t q[32])
{
    for (int i = 0; i < 16; i++) {
        q[i] = qs[i] & 15;
        q[i + 16] = qs[i] >> 4;
    }
}

/* A block of the file as unsigned integers. */
static void read_weights(enum ste_type type, const void *src, uint8_t *q)
{
    switch (type) {
    case STE_Q4_0:
        read_nibbles(((const struct ste_block_q4_0 *)src)->qs, q);
        break;
    case STE_Q4_1:
        read_nibbles(((const struct ste_block_q4_1 *)src)->qs, q);
        break;
    case STE_IQ4_NL:
        read_nibbles(((const struct ste_block_iq4_nl *)src)->qs, q);
        break;
    case STE_MXFP4:
        read_nibbles(((const struct ste_block_mxfp4 *)src)->qs, q);
        break;
    case STE_IQ4_XS:
        for (int j = 0; j < 8; j++)
            read_nibbles(((const struct ste_block_iq4_xs *)src)->qs + 16 * j, q + 32 * j);
        break;
    case STE_Q5_0:
    case STE_Q5_1: {
        const struct ste_block_q5_0 *b0 = src;
        const struct ste_block_q5_1 *b1 = src;
        const uint8_t *qs = type == STE_Q5_0 ? b0->qs : b1->qs, *qh = type == STE_Q5_0 ? b0->qh : b1->qh;
        for (int i = 0; i < 16; i++) {
            q[i] = (uint8_t)((qs[i] & 15) | ((qh[i / 8] >> (i % 8)) & 1) << 4);
            q[i + 16] = (uint8_t)((qs[i] >> 4) | ((qh[2 + i / 8] >> (i % 8)) & 1) << 4);
        }
        break;
    }
    case STE_Q8_0:
        for (int i = 0; i < 32; i++)
            q[i] = (uint8_t)(((const struct ste_block_q8_0 *)src)->qs[i] + 128);
        break;
    case STE_Q2_K:
    case STE_Q3_K: {
        const uint8_t *qs = type == STE_Q2_K ? ((const struct ste_block_q2_k *)src)->qs
                                             : ((const struct ste_block_q3_k *)src)->qs,
                      *high = type == STE_Q3_K ? ((const struct ste_block_q3_k *)src)->hmask : NULL;
        for (int i = 0; i < 256; i++) {
            q[i] = qs[i / 128 * 32 + i % 32] >> 2 * (i / 32 % 4) & 3;
            if (high)
                q[i] |= (uint8_t)((high[i % 32] >> i / 32 & 1) << 2);
        }
        break;
    }
    case STE_Q4_K:
    case STE_Q5_K: {
        const struct ste_block_q4_k *b4 = src;
        const struct ste_block_q5_k *b5 = src;
        const uint8_t *qs = type == STE_Q4_K ? b4->qs : b5->qs;
        for (int j = 0; j < 8; j++)
            for (int i = 0; i < 32; i++) {
                int n = j % 2 ? qs[j / 2 * 32 + i] >> 4 : qs[j / 2 * 32 + i] & 15;
                if (type == STE_Q5_K)
                    n |= ((b5->qh[i] >> j) & 1) << 4;
                q[j * 32 + i] = (uint8_t)n;
            }
        break;
    }
    case STE_Q6_K: {
        const struct ste_block_q6_k *b = src;
        for (int half = 0; half < 2; half++)
            for (int i = 0; i < 128; i++) {
                int low = b->ql[half * 64 + i % 64], high = b->qh[half * 32 + i % 32];
                q[half * 128 + i] = (uint8_t)((i < 64 ? low & 15 : low >> 4) | ((high >> (i / 32 * 2)) & 3) << 4);
            }
        break;
    }
    default:
        break;
    }
}

static void put_f16(uint8_t *dst, int r, uint16_t h)
{
    memcpy(dst + 2 * r, &h, 2);
}

static void put_f32(uint8_t *dst, int r, float f)
{
    memcpy(dst + 4 * r, &f, 4);
}

/* The largest |w| that integers from 0 to TOP can be. */
static float largest_of(float d, float c, int top)
{
    return fmaxf(fabsf(c), fabsf(d * (float)top + c));
}

static void pack_k(uint8_t *dst, int r, uint16_t d, uint16_t dmin, const uint8_t packed[12], int top)
{
    float largest = 0;
    put_f16(dst, r, d);
    put_f16(dst + 32, r, dmin);
    for (int j = 0; j < 8; j++) {
        int scale, min;
        ste_k_scale_min(packed, j, &scale, &min);
        dst[64 + j * 32 + r] = (uint8_t)scale;
        dst[64 + j * 32 + 16 + r] = (uint8_t)min;
        largest =
            fmaxf(largest, largest_of(ste_f16_to_f32(d) * (float)scale, -(ste_f16_to_f32(dmin) * (float)min), top));
    }
    put_f32(dst + STE_LARGEST_AT(STE_K_SCALES), r, largest);
}

static void pack_k16_min(uint8_t *dst, int r, uint16_t d, uint16_t dmin, const int scales[16], const int mins[16],
                         int top)
{
    float largest = 0;
    put_f16(dst, r, d);
    put_f16(dst + 32, r, dmin);
    for (int j = 0; j < 16; j++) {
        uint8_t *half = &dst[64 + j / 2 * 64 + j % 2 * 16 + r];
        half[0] = (uint8_t)scales[j];
        half[32] = (uint8_t)mins[j];
        largest = fmaxf(
            largest, largest_of(ste_f16_to_f32(d) * (float)scales[j], -(ste_f16_to_f32(dmin) * (float)mins[j]), top));
    }
    put_f32(dst + STE_LARGEST_AT(STE_K16_MIN_SCALES), r, largest);
}

static void pack_k16(uint8_t *dst, int r, const struct ste_block_q6_k *b)
{
    float largest = 0;
    put_f16(dst, r, b->d);
    for (int j = 0; j < 16; j++) {
        dst[32 + j * 16 + r] = (uint8_t)b->scales[j];
        largest = fmaxf(largest, 32 * fabsf(ste_f16_to_f32(b->d) * (float)b->scales[j]));
    }
    put_f32(dst + STE_LARGEST_AT(STE_K16_SCALES), r, largest);
}

/* Row R's scales of a block of blocks of 32. */
static void pack_small_scales(enum ste_type type, const void *src, uint8_t *dst, int r)
{
    switch (type) {
    case STE_Q4_0:
        put_f16(dst, r, ((const struct ste_block_q4_0 *)src)->d);
        break;
    case STE_Q5_0:
        put_f16(dst, r, ((const struct ste_block_q5_0 *)src)->d);
        break;
    case STE_Q8_0:
        put_f16(dst, r, ((const struct ste_block_q8_0 *)src)->d);
        break;
    case STE_Q4_1:
        put_f16(dst, r, ((const struct ste_block_q4_1 *)src)->d);
        put_f16(dst + 32, r, ((const struct ste_block_q4_1 *)src)->m);
        break;
    case STE_Q5_1:
        put_f16(dst, r, ((const struct ste_block_q5_1 *)src)->d);
        put_f16(dst + 32, r, ((const struct ste_block_q5_1 *)src)->m);
        break;
    case STE_IQ4_NL:
        put_f32(dst, r, ste_f16_to_f32(((const struct ste_block_iq4_nl *)src)->d));
        break;
    case STE_MXFP4: {
        const float d = ste_mxfp4_scale(((const struct ste_block_mxfp4 *)src)->e);
        put_f32(dst, r, d < 0x1p-42f ? 0 : d);
        break;
    }
    default:
        break;
    }
}

/* Row R's scales of a block, into the block's place among the panel's. */
static void pack_scales(enum ste_type type, const void *src, uint8_t *dst, int r)
{
    int scales[16], mins[16];
    switch (type) {
    case STE_Q2_K: {
        const struct ste_block_q2_k *b = src;
        for (int j = 0; j < 16; j++) {
            scales[j] = b->scales[j] & 15;
            mins[j] = b->scales[j] >> 4;
        }
        pack_k16_min(dst, r, b->d, b->dmin, scales, mins, 3);
        break;
    }
    case STE_Q3_K: { /* its zero is 4 */
        const struct ste_block_q3_k *b = src;
        for (int j = 0; j < 16; j++) {
            scales[j] = ste_q3_k_scale(b->scales, j);
            mins[j] = 4 * scales[j];
        }
        pack_k16_min(dst, r, b->d, b->d, scales, mins, 7);
        break;
    }
    case STE_Q4_K:
        pack_k(dst, r, ((const struct ste_block_q4_k *)src)->d, ((const struct ste_block_q4_k *)src)->dmin,
               ((const struct ste_block_q4_k *)src)->scales, 15);
        break;
    case STE_Q5_K:
        pack_k(dst, r, ((const struct ste_block_q5_k *)src)->d, ((const struct ste_block_q5_k *)src)->dmin,
               ((const struct ste_block_q5_k *)src)->scales, 31);
        break;
    case STE_Q6_K:
        pack_k16(dst, r, src);
        break;
    case STE_IQ4_XS: {
        const struct ste_block_iq4_xs *b = src;
        for (int j = 0; j < 8; j++)
            put_f32(dst + j * 64, r, ste_f16_to_f32(b->d) * (float)ste_iq4_xs_scale(b, j));
        break;
    }
    default:
        pack_small_scales(type, src, dst, r);
    }
}

/* Bit FROM of each of eight quads, side by side. */
static void put_bits(const uint32_t quad[8], int from, uint8_t *dst, int r)
{
    uint32_t out = 0;
    for (int i = 0; i < 8; i++)
        out |= (quad[i] >> from & 0x01010101) << i;
    memcpy(dst + 4 * r, &out, 4);
}

/* Bits FROM and FROM + 1 of each. */
static void put_pairs(const uint32_t quad[8], int from, uint8_t *dst, int r)
{
    for (int h = 0; h < 2; h++) {
        uint32_t out = 0;
        for (int i = 0; i < 4; i++)
            out |= (quad[4 * h + i] >> from & 0x03030303) << (2 * i);
        memcpy(dst + h * STE_QUAD_BYTES + 4 * r, &out, 4);
    }
}

/* 32 weights of row R into a cell. */
static void pack_cell(int bits, const uint8_t *q, uint8_t *dst, int r)
{
    uint32_t quad[8], out;
    memcpy(quad, q, sizeof quad);
    if (bits == 8) {
        for (int i = 0; i < 8; i++)
            memcpy(dst + i * STE_QUAD_BYTES + 4 * r, &quad[i], 4);
        return;
    }
    if (bits < 4) {
        put_pairs(quad, 0, dst, r);
        if (bits == 3)
            put_bits(quad, 2, dst + 2 * STE_QUAD_BYTES, r);
        return;
    }
    for (int g = 0; g < 4; g++) {
        out = (quad[2 * g] & 0x0f0f0f0f) | (quad[2 * g + 1] & 0x0f0f0f0f) << 4;
        memcpy(dst + g * STE_QUAD_BYTES + 4 * r, &out, 4);
    }
    if (bits == 5)
        put_bits(quad, 4, dst + 4 * STE_QUAD_BYTES, r);
    else if (bits == 6)
        put_pairs(quad, 4, dst + 4 * STE_QUAD_BYTES, r);
}

struct packing {
    struct ste_matrix *w;
    const struct ste_tensor *t;
    size_t row_bytes;
};

/* Of row R's input K in a panel, where weights are taken as they are. */
static size_t place_of(const struct ste_matrix *w, size_t k, size_t r)
{
    return w->bits == STE_BF16_BITS ? (k / 2 * STE_PANEL + r) * 2 + k % 2 : k * STE_PANEL + r;
}

/* Those below 2^-57 are 0 (bf16.h). */
static bool bf16_counts(const uint8_t *src)
{
    uint16_t bits;
    memcpy(&bits, src, sizeof bits);
    return (bits & 0x7fff) >> 7 >= 127 - 57;
}

static void pack_panel(void *arg, int panel)
{
    const struct packing *p = arg;
    struct ste_matrix *w = p->w;
    const enum ste_type type = p->t->type;
    const int block = ste_type_block(type);
    uint8_t *weights = w->weights + (size_t)panel * w->panel_weights;
    uint8_t *scales = w->scales + (size_t)panel * w->panel_scales;
    for (int r = 0; r < STE_PANEL && panel * STE_PANEL + r < w->out; r++) {
        const uint8_t *src = (const uint8_t *)p->t->data + (size_t)(panel * STE_PANEL + r) * p->row_bytes;
        if (!ste_matrix_is_quantized(w)) {
            const size_t bytes = ste_type_bytes(type);
            for (size_t k = 0; k < (size_t)w->in; k++)
                if (type != STE_BF16 || bf16_counts(src + k * bytes))
                    memcpy(weights + place_of(w, k, (size_t)r) * bytes, src + k * bytes, bytes);
            continue;
        }
        for (int b = 0; b < w->in / block; b++, src += ste_type_bytes(type)) {
            uint8_t q[256];
            read_weights(type, src, q);
            for (int c = 0; c < block / STE_CELL; c++)
                pack_cell(w->bits, q + c * STE_CELL, weights + (size_t)(b * (block / STE_CELL) + c) * w->cell_bytes, r);
            pack_scales(type, src, scales + scales_before(w->scale, (size_t)(b * (block / STE_CELL))), r);
        }
    }
}

static const struct form *form_of(enum ste_type t)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (forms[i].type == t)
            return &forms[i];
    return NULL;
}

static size_t cell_bytes(const struct form *f)
{
    return f->scale == STE_SCALE_NONE ? ste_type_bytes(f->type) * STE_CELL * STE_PANEL
                                      : (size_t)STE_STORED_BITS(f->bits) * STE_QUAD_BYTES;
}

/* Bytes of a panel's weights and of its scales, for IN inputs. */
static size_t panel_weights(const struct form *f, uint64_t in)
{
    if (f->scale != STE_SCALE_NONE)
        return in / STE_CELL * cell_bytes(f);
    return (f->type == STE_BF16 ? (in + 1) / 2 * 2 : in) * STE_PANEL * ste_type_bytes(f->type);
}

static size_t panel_scales(const struct form *f, uint64_t in)
{
    return scales_before(f->scale, in / STE_CELL);
}

size_t ste_matrix_size(enum ste_type t, uint64_t in, uint64_t out)
{
    const struct form *f = form_of(t);
    return f ? (out + STE_PANEL - 1) / STE_PANEL * (panel_weights(f, in) + panel_scales(f, in)) : 0;
}

int ste_matrix_pack(struct ste_matrix **out, const struct ste_tensor *t, enum ste_isa isa, struct ste_pool *pool,
                    struct ste_err *err)
{
    *out = NULL;
    const struct form *form = form_of(t->type);
    if (!form)
        return ste_err_set(err, STE_EINPUT, "cannot pack %s: its weight type %d has no kernels", t->name, (int)t->type);
    const uint64_t in = t->shape[0], rows = t->n_dims > 1 ? t->shape[1] : 1, block = (uint64_t)ste_type_block(t->type);
    uint64_t weights, scales, panels = (rows + STE_PANEL - 1) / STE_PANEL;
    if (!in || !rows || in > 1 << 24 || rows > 1 << 26 || in % block)
        return ste_err_set(err, STE_EINPUT, "cannot pack %s: %llu x %llu is no shape for a matrix of type %s", t->name,
                           (unsigned long long)rows, (unsigned long long)in, ste_type_name(t->type));
    if (t->size / (in / block * ste_type_bytes(t->type)) < rows)
        return ste_err_set(err, STE_EINPUT, "cannot pack %s: its data is shorter than its shape says", t->name);
    struct ste_matrix *w = ste_xcalloc(1, sizeof *w);
    w->out = (int)rows;
    w->in = (int)in;
    w->panels = (int)panels;
    w->bits = form->bits;
    w->zero = form->zero;
    w->scale = form->scale;
    for (int i = 0; form->table && i < 16; i++)
        w->table[i] = (uint8_t)(form->table[i] + form->zero);
    w->isa = isa;
    w->cell_bytes = cell_bytes(form);
    w->panel_weights = panel_weights(form, in);
    w->panel_scales = panel_scales(form, in);
    int rc = 0;
    if (ste_mul_overflows(panels, w->panel_weights, &weights) || ste_mul_overflows(panels, w->panel_scales, &scales)) {
        rc = ste_err_set(err, STE_ENOMEM, "cannot pack %s: it is too large", t->name);
    } else if ((rc = ste_big_alloc((void **)&w->weights, weights, t->name, err)) == 0) {
        w->weights_size = weights;
        if ((rc = ste_big_alloc((void **)&w->scales, scales, t->name, err)) == 0)
            w->scales_size = scales;
    }
    if (rc) {
        ste_matrix_free(w);
        return rc;
    }
    struct packing p = {w, t, (size_t)(in / block) * ste_type_bytes(t->type)};
    ste_pool_run(pool, pack_panel, &p, w->panels);
    *out = w;
    return 0;
}

void ste_matrix_free(struct ste_matrix *w)
{
    if (!w)
        return;
    ste_big_free(w->weights, w->weights_size);
    ste_big_free(w->scales, w->scales_size);
    ste_xfree(w);
}

int ste_matrix_out(const struct ste_matrix *w)
{
    return w->out;
}

int ste_matrix_in(const struct ste_matrix *w)
{
    return w->in;
}

size_t ste_matrix_bytes(const struct ste_matrix *w)
{
    return w->weights_size + w->scales_size;
}

static float f16_at(const uint8_t *p, int i)
{
    uint16_t h;
    memcpy(&h, p + 2 * i, 2);
    return ste_f16_to_f32(h);
}

/* Row R's d and c of the SUBth scale of a cell. */
static void row_scale(const struct ste_matrix *w, const uint8_t *scales, int cell, int sub, int r, float *d, float *c)
{
    const uint8_t *s = scales + scales_before(w->scale, (size_t)cell);
    cell %= 8;
    switch (w->scale) {
    case STE_SCALE_MIN:
        *d = f16_at(s, r);
        *c = f16_at(s + 32, r);
        return;
    case STE_SCALE_K:
        *d = f16_at(s, r) * (float)s[64 + cell * 32 + r];
        *c = -(f16_at(s + 32, r) * (float)s[64 + cell * 32 + 16 + r]);
        return;
    case STE_SCALE_K16_MIN:
        *d = f16_at(s, r) * (float)(int8_t)s[64 + cell * 64 + sub * 16 + r];
        *c = -(f16_at(s + 32, r) * (float)(int8_t)s[64 + cell * 64 + 32 + sub * 16 + r]);
        return;
    case STE_SCALE_K16:
        *d = f16_at(s, r) * (float)(int8_t)s[32 + (cell * 2 + sub) * 16 + r];
        break;
    case STE_SCALE_TABLE:
        memcpy(d, s + 4 * r, 4);
        break;
    default:
        *d = f16_at(s, r);
    }
    *c = *d * (float)-w->zero;
}

void ste_matrix_row(const struct ste_matrix *w, int row, float *dst)
{
    const int panel = row / STE_PANEL, r = row % STE_PANEL;
    const uint8_t *weights = w->weights + (size_t)panel * w->panel_weights;
    const uint8_t *scales = w->scales + (size_t)panel * w->panel_scales;
    if (!ste_matrix_is_quantized(w)) {
        const enum ste_type type = w->bits == STE_F16_BITS    ? STE_F16
                                   : w->bits == STE_BF16_BITS ? STE_BF16
                                                              : STE_F32;
        for (size_t k = 0; k < (size_t)w->in; k++)
            ste_dequantize(type, weights + place_of(w, k, (size_t)r) * ste_type_bytes(type), dst + k, 1);
        return;
    }
    for (int k = 0; k < w->in; k += STE_CELL, weights += w->cell_bytes)
        for (int i = 0; i < STE_CELL; i++) {
            const int quad = i / 4, at = 4 * r + i % 4;
            const uint8_t *own = weights + at;
            int q = own[(w->bits == 8 ? quad : quad / 2) * STE_QUAD_BYTES];
            if (w->bits < 4)
                q = own[quad / 4 * STE_QUAD_BYTES] >> (2 * (quad % 4)) & 3;
            else if (w->bits != 8)
                q = quad % 2 ? q >> 4 : q & 15;
            if (w->bits == STE_TABLE)
                q = w->table[q];
            else if (w->bits == 3 || w->bits == 5)
                q |= (own[(w->bits - 1) * STE_QUAD_BYTES] >> quad & 1) << (w->bits - 1);
            else if (w->bits == 6)
                q |= (own[(4 + quad / 4) * STE_QUAD_BYTES] >> (2 * (quad % 4)) & 3) << 4;
            float d, c;
            row_scale(w, scales, k / STE_CELL, i / 16, r, &d, &c);
            dst[k + i] = d * (float)q + c; /* the product is exact */
        }
}
