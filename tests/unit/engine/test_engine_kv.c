/* The prefix tree by itself: numbers of blocks, without a device that has any. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/kv.h"

enum { N = 150, BLOCKS = 6 };

/* A whole sequence: started, computed and, unless CHAIN is wanted, ended. Returns what was there of it. */
static long sequence(struct ste_kv *kv, uint64_t adapter, const int32_t *ids, size_t n, struct ste_kv_copy *copy,
                     struct ste_chain *chain)
{
    struct ste_chain own, *c = chain ? chain : &own;
    long have = ste_kv_start(kv, c, adapter, ids, n - 1, n, copy);
    if (have < 0)
        return have;
    ste_kv_extend(kv, c, n);
    ste_kv_commit(kv, c, ids, (size_t)have, n);
    if (!chain)
        ste_kv_stop(kv, c, n);
    return have;
}

static void make_ids(int32_t *ids, size_t from)
{
    for (size_t i = 0; i < N; i++)
        ids[i] = (int32_t)(i < from ? i : 1000 + i);
}

static void prefixes_are_found(void **state)
{
    struct ste_kv *kv = ste_kv_new(BLOCKS);
    struct ste_kv_copy copy;
    struct ste_chain a, b;
    int32_t ids[N], other[N];
    make_ids(ids, N);
    make_ids(other, 100);
    assert_int_equal(sequence(kv, 0, ids, N, &copy, &a), 0);
    assert_int_equal(copy.n, 0);
    assert_int_equal(ste_kv_find(kv, 0, ids, N), N);
    assert_int_equal(ste_kv_find(kv, 0, other, N), 100);
    assert_int_equal(ste_kv_find(kv, 1, ids, N), 0); /* another adapter's tokens are others */
    /* The first block is shared, what both have of the second is copied. */
    assert_int_equal(sequence(kv, 0, other, N, &copy, &b), 100);
    assert_int_equal(b.blocks[0], a.blocks[0]);
    assert_int_equal(copy.from, a.blocks[1]);
    assert_int_equal(copy.to, b.blocks[1]);
    assert_int_equal(copy.n, 100 - STE_KV_BLOCK);
    ste_kv_stop(kv, &a, N);
    ste_kv_stop(kv, &b, 10); /* what was made behind its prompt is forgotten */
    assert_int_equal(ste_kv_find(kv, 0, ids, N), N);
    assert_int_equal(ste_kv_find(kv, 0, other, N), 100);
    ste_kv_free(kv);
}

static void room_is_promised(void **state)
{
    struct ste_kv *kv = ste_kv_new(BLOCKS);
    struct ste_kv_copy copy;
    struct ste_chain a, b;
    int32_t ids[N], other[N];
    make_ids(ids, N);
    make_ids(other, 0);
    assert_int_equal(ste_kv_start(kv, &a, 0, ids, 0, BLOCKS * STE_KV_BLOCK + 1, &copy), -1);
    assert_int_equal(ste_kv_start(kv, &a, 0, ids, 0, 4 * STE_KV_BLOCK, &copy), 0);
    assert_int_equal(ste_kv_start(kv, &b, 0, other, 0, 3 * STE_KV_BLOCK, &copy), -1); /* four are A's, taken or not */
    assert_int_equal(ste_kv_start(kv, &b, 0, other, 0, 2 * STE_KV_BLOCK, &copy), 0);
    ste_kv_stop(kv, &a, 0);
    ste_kv_stop(kv, &b, 0);
    assert_int_equal(kv->reserved, 0);
    assert_int_equal(kv->n_free, BLOCKS);
    ste_kv_free(kv);
}

/* Six blocks, three sequences of three: the least recently used gives way, from its end. */
static void old_blocks_give_way(void **state)
{
    struct ste_kv *kv = ste_kv_new(BLOCKS);
    struct ste_kv_copy copy;
    int32_t ids[N];
    make_ids(ids, N);
    for (uint64_t adapter = 1; adapter <= 2; adapter++)
        assert_int_equal(sequence(kv, adapter, ids, N, &copy, NULL), 0);
    assert_int_equal(kv->n_idle, BLOCKS);
    assert_int_equal(sequence(kv, 3, ids, 2 * STE_KV_BLOCK, &copy, NULL), 0);
    assert_int_equal(ste_kv_find(kv, 1, ids, N), STE_KV_BLOCK);
    assert_int_equal(ste_kv_find(kv, 2, ids, N), N);
    assert_int_equal(ste_kv_find(kv, 3, ids, N), 2 * STE_KV_BLOCK);
    ste_kv_free(kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(prefixes_are_found), cmocka_unit_test(room_is_promised),
                                       cmocka_unit_test(old_blocks_give_way)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
