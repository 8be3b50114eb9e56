/* The two products over tiles, shared by the vector sets: each defines scores_tile, mix_tile and EACH_TILE first. */
static void scores(const float *const *q, int n, const float *kt, int head_dim, int n_pos, float *s)
{
#define CALL(R) scores_tile(R, q + r, kt + p, head_dim, s + (size_t)r * STE_KV_BLOCK + p)
    for (int p = 0; p < n_pos; p += 16)
        EACH_TILE(n, CALL)
#undef CALL
}

static void mix(float *const *acc, int n, const float *p, const float *v, int head_dim, int n_pos)
{
#define CALL(R) mix_tile(R, acc + r, p + (size_t)r * STE_KV_BLOCK, v, head_dim, n_pos, at)
    for (int at = 0; at < head_dim; at += 16)
        EACH_TILE(n, CALL)
#undef CALL
}
