/* An answer to one instruction as the rejected answer to another. */
#include "loop/internal.h"

#include <string.h>

#include "core/hash.h"
#include "data/minhash.h"
#include "loop/kinds/kind.h"

#define NEAREST_OF 200 /* instructions that are looked at for the nearest */
#define STRIDE 7919    /* a prime: how far apart these stand in the list */

static bool lends(const struct ste_lent *from, const struct ste_lent *to)
{
    return from != to && from->lends && strcmp(from->split, to->split) == 0 && !ste_text_same(from->answer, to->answer);
}

const struct ste_lent *ste_loop_lender(const struct ste_loop *l, const struct ste_lent *all, size_t n, size_t to)
{
    const struct ste_lent *mine = &all[to], *best = NULL;
    const struct ste_digits seed = ste_digits(l->recipe.seed);
    struct ste_buf own = STE_BUF_INIT, theirs = STE_BUF_INIT;
    ste_dialogue_text(mine->x, &own);
    const uint64_t key = ste_key_of("other answer", seed.s, mine->instruction, NULL);
    const bool nearest = ste_key_share(key) < l->recipe.other_nearest;
    double most = -1;
    size_t start = ste_key_of("which other", seed.s, mine->instruction, NULL) % n, seen = 0;
    /* From a place of its own around the list: so the first ones in it are any, and not the same for all. */
    const size_t stride = n % STRIDE ? STRIDE : 1;
    for (size_t i = 0; i < n && seen < (nearest ? NEAREST_OF : 1); i++) {
        const struct ste_lent *from = &all[(start + i * stride) % n];
        if (!lends(from, mine))
            continue;
        ste_buf_reset(&theirs);
        ste_dialogue_text(from->x, &theirs);
        double similarity = ste_text_similarity(own.s, theirs.s);
        if (similarity >= l->recipe.near)
            continue; /* the same question in other words */
        seen++;
        if (similarity > most) {
            most = similarity;
            best = from;
        }
    }
    ste_buf_clear(&own);
    ste_buf_clear(&theirs);
    return best;
}
