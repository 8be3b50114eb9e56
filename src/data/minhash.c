#include "data/minhash.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/mem.h"
#include "core/rng.h"

/* 32 bands of 4: a pair of similarity 0.5 is proposed with a chance of 87 %, one of 0.7 with 99.98 %. */
#define BANDS 32
#define ROWS 4
#define N_HASHES (BANDS * ROWS)
#define SHINGLE 5

/* The length of a character that folds to a space although it is not ASCII, or 0: Latin-1 signs, the general
 * punctuation block, ideographic space and stops. */
static size_t wide_punctuation(const unsigned char *s)
{
    if (s[0] == 0xC2 && s[1] >= 0x80 && s[1] <= 0xBF && s[1] != 0xAA && s[1] != 0xB5 && s[1] != 0xBA)
        return 2;
    if (s[0] == 0xE2 && s[1] == 0x80 && s[2] >= 0x80)
        return 3;
    if (s[0] == 0xE3 && s[1] == 0x80 && s[2] >= 0x80 && s[2] <= 0x82)
        return 3;
    return 0;
}

static bool is_word_byte(unsigned char c)
{
    return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Lower case of the two-byte letters of Latin-1, Greek and Cyrillic; others stay. */
static void add_lower(struct ste_buf *out, const unsigned char **at)
{
    const unsigned char *s = *at;
    if (s[0] >= 'A' && s[0] <= 'Z') {
        ste_buf_addc(out, (char)(s[0] + 32));
        *at += 1;
        return;
    }
    if ((s[0] == 0xC3 || s[0] == 0xCE || s[0] == 0xD0) && s[1] >= 0x80) {
        unsigned u = (unsigned)(s[0] & 31) << 6 | (s[1] & 63);
        if ((u >= 0xC0 && u <= 0xDE && u != 0xD7) || (u >= 0x391 && u <= 0x3A9) || (u >= 0x410 && u <= 0x42F))
            u += 32;
        else if (u >= 0x400 && u <= 0x40F)
            u += 80;
        ste_buf_addc(out, (char)(0xC0 | u >> 6));
        ste_buf_addc(out, (char)(0x80 | (u & 63)));
        *at += 2;
        return;
    }
    ste_buf_addc(out, (char)s[0]);
    *at += 1;
}

void ste_text_fold(const char *text, struct ste_buf *out)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t from = out->len;
    bool gap = false;
    while (*s) {
        size_t wide = wide_punctuation(s);
        if (wide || !is_word_byte(*s)) {
            gap = true;
            s += wide ? wide : 1;
            continue;
        }
        if (gap && out->len > from)
            ste_buf_addc(out, ' ');
        gap = false;
        add_lower(out, &s);
    }
    if (out->len == from)
        for (s = (const unsigned char *)text; *s; s++)
            if (*s > ' ')
                ste_buf_addc(out, (char)*s);
    ste_buf_reserve(out, 0);
}

/* A text's shingles as sorted, distinct hashes. */
struct shingles {
    uint64_t *hash;
    size_t n;
};

static uint64_t mix(uint64_t x)
{
    /* the finisher of SplitMix64 */
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* SIZE: characters of one; WHOLE makes the text one shingle, as it stands. */
#define WHOLE SIZE_MAX
static struct shingles shingles_of(const char *text, size_t size)
{
    struct ste_buf b = STE_BUF_INIT;
    if (size == WHOLE)
        ste_buf_adds(&b, text);
    else
        ste_text_fold(text, &b);
    /* where each character starts; windows are over characters, not bytes */
    size_t *at = ste_xmalloc((b.len + 1) * sizeof *at), n = 0;
    for (size_t i = 0; i < b.len; i++)
        if (((unsigned char)b.s[i] & 0xC0) != 0x80)
            at[n++] = i;
    at[n] = b.len;
    struct shingles set = {0};
    size_t windows = n > size ? n - size + 1 : n ? 1 : 0;
    set.hash = ste_xmalloc(windows * sizeof *set.hash);
    for (size_t w = 0; w < windows; w++) {
        size_t end = n > size ? at[w + size] : b.len;
        uint64_t h = 0xCBF29CE484222325u; /* FNV-1a */
        for (size_t i = at[w]; i < end; i++)
            h = (h ^ (unsigned char)b.s[i]) * 0x100000001B3u;
        set.hash[w] = mix(h);
    }
    qsort(set.hash, windows, sizeof *set.hash, by_value);
    for (size_t w = 0; w < windows; w++)
        if (!w || set.hash[w] != set.hash[w - 1])
            set.hash[set.n++] = set.hash[w];
    ste_xfree(at);
    ste_buf_clear(&b);
    return set;
}

static double jaccard(const struct shingles *a, const struct shingles *b)
{
    size_t i = 0, j = 0, both = 0;
    if (!a->n && !b->n)
        return 1;
    while (i < a->n && j < b->n) {
        if (a->hash[i] == b->hash[j])
            both++, i++, j++;
        else if (a->hash[i] < b->hash[j])
            i++;
        else
            j++;
    }
    return (double)both / (double)(a->n + b->n - both);
}

double ste_text_similarity(const char *a, const char *b)
{
    struct shingles x = shingles_of(a, SHINGLE), y = shingles_of(b, SHINGLE);
    double s = jaccard(&x, &y);
    ste_xfree(x.hash);
    ste_xfree(y.hash);
    return s;
}

#define NONE ((size_t)-1)

struct ste_minhash_index {
    double threshold;
    size_t shingle; /* characters of one */
    uint64_t mul[N_HASHES], add[N_HASHES];
    struct shingles *sets;
    size_t n, cap;
    /* Per band an open table of key -> newest text; NEXT chains older texts of the same key: NEXT[band][text]. */
    size_t *next[BANDS];
    struct {
        uint64_t *key;
        size_t *text;
        size_t size, used;
    } table[BANDS];
};

struct ste_minhash_index *ste_minhash_index_new(double threshold)
{
    struct ste_minhash_index *x = ste_xcalloc(1, sizeof *x);
    struct ste_rng r;
    x->threshold = threshold > 0 ? threshold : 1;
    x->shingle = threshold > 0 ? SHINGLE : WHOLE;
    ste_rng_init(&r, ste_key_of("minhash", NULL), 0);
    for (int i = 0; i < N_HASHES; i++) {
        uint64_t hi = ste_rng_u32(&r), lo = ste_rng_u32(&r);
        x->mul[i] = (hi << 32 | lo) | 1;
        hi = ste_rng_u32(&r), lo = ste_rng_u32(&r);
        x->add[i] = hi << 32 | lo;
    }
    return x;
}

void ste_minhash_index_free(struct ste_minhash_index *x)
{
    if (!x)
        return;
    for (size_t i = 0; i < x->n; i++)
        ste_xfree(x->sets[i].hash);
    ste_xfree(x->sets);
    for (int b = 0; b < BANDS; b++) {
        ste_xfree(x->next[b]);
        ste_xfree(x->table[b].key);
        ste_xfree(x->table[b].text);
    }
    ste_xfree(x);
}

static void band_keys(const struct ste_minhash_index *x, const struct shingles *set, uint64_t keys[BANDS])
{
    uint64_t low[N_HASHES];
    memset(low, 0xFF, sizeof low);
    for (size_t i = 0; i < set->n; i++)
        for (int k = 0; k < N_HASHES; k++) {
            uint64_t h = set->hash[i] * x->mul[k] + x->add[k];
            h ^= h >> 32; /* the low bits of a product see only low bits */
            low[k] = h < low[k] ? h : low[k];
        }
    for (int b = 0; b < BANDS; b++) {
        uint64_t key = (uint64_t)b;
        for (int r = 0; r < ROWS; r++)
            key = mix(key ^ low[b * ROWS + r]) + 0x9E3779B97F4A7C15u;
        keys[b] = key ? key : 1;
    }
}

/* The place of KEY in band B, or the empty place where it would stand. */
static size_t place_of(const struct ste_minhash_index *x, int b, uint64_t key)
{
    size_t mask = x->table[b].size - 1, i = (size_t)key & mask;
    while (x->table[b].key[i] && x->table[b].key[i] != key)
        i = (i + 1) & mask;
    return i;
}

static void grow_band(struct ste_minhash_index *x, int b)
{
    size_t old_size = x->table[b].size, size = old_size ? old_size * 2 : 64;
    uint64_t *old_key = x->table[b].key;
    size_t *old_text = x->table[b].text;
    x->table[b].size = size;
    x->table[b].key = ste_xcalloc(size, sizeof *x->table[b].key);
    x->table[b].text = ste_xcalloc(size, sizeof *x->table[b].text);
    for (size_t i = 0; i < old_size; i++)
        if (old_key[i]) {
            size_t at = place_of(x, b, old_key[i]);
            x->table[b].key[at] = old_key[i];
            x->table[b].text[at] = old_text[i];
        }
    ste_xfree(old_key);
    ste_xfree(old_text);
}

static void insert(struct ste_minhash_index *x, struct shingles set, const uint64_t keys[BANDS])
{
    if (x->n == x->cap) {
        size_t cap = x->cap;
        STE_GROW(x->sets, cap, x->n + 1);
        for (int b = 0; b < BANDS; b++)
            x->next[b] = ste_xrealloc(x->next[b], cap * sizeof *x->next[b]);
        x->cap = cap;
    }
    size_t id = x->n++;
    x->sets[id] = set;
    for (int b = 0; b < BANDS; b++) {
        if (x->table[b].used * 2 >= x->table[b].size)
            grow_band(x, b);
        size_t at = place_of(x, b, keys[b]);
        bool fresh = !x->table[b].key[at];
        x->next[b][id] = fresh ? NONE : x->table[b].text[at];
        x->table[b].key[at] = keys[b];
        x->table[b].text[at] = id;
        x->table[b].used += fresh;
    }
}

void ste_minhash_index_add(struct ste_minhash_index *x, const char *text)
{
    uint64_t keys[BANDS];
    struct shingles set = shingles_of(text, x->shingle);
    band_keys(x, &set, keys);
    insert(x, set, keys);
}

/* Calls FN for each candidate of the keys, perhaps more than once. */
static void candidates(const struct ste_minhash_index *x, const uint64_t keys[BANDS], void (*fn)(void *, size_t),
                       void *arg)
{
    for (int b = 0; b < BANDS; b++) {
        if (!x->table[b].size)
            continue;
        size_t at = place_of(x, b, keys[b]);
        if (!x->table[b].key[at])
            continue;
        for (size_t t = x->table[b].text[at]; t != NONE; t = x->next[b][t])
            fn(arg, t);
    }
}

struct search {
    const struct ste_minhash_index *x;
    const struct shingles *set;
    double best;
    size_t which;
};

static void consider(void *arg, size_t text)
{
    struct search *s = arg;
    if (text == s->which)
        return;
    double j = jaccard(s->set, &s->x->sets[text]);
    if (j >= s->x->threshold && (j > s->best || (j == s->best && text < s->which))) {
        s->best = j;
        s->which = text;
    }
}

bool ste_minhash_index_find(const struct ste_minhash_index *x, const char *text, size_t *which, double *similarity)
{
    uint64_t keys[BANDS];
    struct shingles set = shingles_of(text, x->shingle);
    struct search s = {.x = x, .set = &set, .best = -1, .which = NONE};
    band_keys(x, &set, keys);
    candidates(x, keys, consider, &s);
    ste_xfree(set.hash);
    if (s.which == NONE)
        return false;
    if (which)
        *which = s.which;
    if (similarity)
        *similarity = s.best;
    return true;
}

struct join {
    const struct ste_minhash_index *x;
    const struct shingles *set;
    size_t self, *parent;
};

/* Roots are always the lowest index of their cluster. */
static size_t root_of(size_t *parent, size_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static void join_if_near(void *arg, size_t text)
{
    struct join *j = arg;
    size_t a = root_of(j->parent, j->self), b = root_of(j->parent, text);
    if (a == b || jaccard(j->set, &j->x->sets[text]) < j->x->threshold)
        return;
    if (a < b)
        j->parent[b] = a;
    else
        j->parent[a] = b;
}

void ste_minhash_cluster(const char *const *texts, size_t n, double threshold, size_t *cluster_of)
{
    struct ste_minhash_index *x = ste_minhash_index_new(threshold);
    for (size_t i = 0; i < n; i++) {
        uint64_t keys[BANDS];
        struct shingles set = shingles_of(texts[i], x->shingle);
        struct join j = {.x = x, .set = &set, .self = i, .parent = cluster_of};
        cluster_of[i] = i;
        band_keys(x, &set, keys);
        candidates(x, keys, join_if_near, &j);
        insert(x, set, keys);
    }
    for (size_t i = 0; i < n; i++)
        cluster_of[i] = root_of(cluster_of, i);
    ste_minhash_index_free(x);
}
