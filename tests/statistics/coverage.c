/*
 * How often the 95 % intervals of `ste eval` hold what they should: ste-test-coverage [SETS [FIRST [PAIRS]]].
 * A set is PAIRS (300) pairs or a few more on prompts of one to four pairs each. Every prompt has its own chance p of a
 * right verdict, drawn from a Beta distribution of the set's mean; both orders of all its pairs are right with p, so
 * pairs of a prompt are correlated. The true values are then known: accuracy E p, right in both E p^2. Exit code 0 when
 * both intervals hold them in 94 to 96 % of the sets.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/rng.h"
#include "eval/eval.h"

/* Gamma(k, 1) (Marsaglia and Tsang, 2000), k >= 1. */
static double gamma_of(struct ste_rng *r, double k)
{
    const double d = k - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        const double x = ste_rng_normal(r), v = pow(1 + c * x, 3), u = ste_rng_uniform(r);
        if (v > 0 && u > 0 && log(u) < 0.5 * x * x + d - d * v + d * log(v))
            return d * v;
    }
}

static void judge(struct ste_rng *r, double p, uint64_t prompt, struct ste_outcome *o)
{
    *o = (struct ste_outcome){.judged = true, .prompt_key = prompt, .drawn = -1};
    o->order[0].verdict = ste_rng_uniform(r) < p ? STE_VERDICT_A : STE_VERDICT_B;
    o->order[1].verdict = ste_rng_uniform(r) < p ? STE_VERDICT_B : STE_VERDICT_A;
}

int main(int argc, char **argv)
{
    const long sets = argc > 1 ? atol(argv[1]) : 20000, first = argc > 2 ? atol(argv[2]) : 0,
               least = argc > 3 ? atol(argv[3]) : 300;
    struct ste_outcome *o = ste_xcalloc((size_t)least + 4, sizeof *o);
    long accuracy = 0, consistent = 0;
    for (long s = first; s < first + sets; s++) {
        struct ste_rng r;
        ste_rng_init(&r, (uint64_t)s, 77);
        const double mean = 0.5 + 0.4 * ste_rng_uniform(&r), total = 4 + 16 * ste_rng_uniform(&r);
        const double a = 1 + mean * total, b = 1 + (1 - mean) * total, p1 = a / (a + b),
                     p2 = a * (a + 1) / ((a + b) * (a + b + 1));
        size_t n = 0;
        for (uint64_t prompt = 1; n < (size_t)least; prompt++) {
            const double x = gamma_of(&r, a), p = x / (x + gamma_of(&r, b));
            for (uint32_t left = 1 + ste_rng_below(&r, 4); left > 0; left--)
                judge(&r, p, prompt, &o[n++]);
        }
        struct ste_metrics m;
        ste_metrics_of(o, n, "simulated", (uint64_t)s, &m);
        accuracy += m.accuracy.lo <= p1 && p1 <= m.accuracy.hi;
        consistent += m.consistent.lo <= p2 && p2 <= m.consistent.hi;
    }
    free(o);
    const double x = 100.0 * (double)accuracy / (double)sets, y = 100.0 * (double)consistent / (double)sets;
    printf(
        "%ld sets of %ld or more correlated pairs: the interval holds accuracy in %.2f %%, right in both in %.2f %%\n",
        sets, least, x, y);
    return x >= 94 && x <= 96 && y >= 94 && y <= 96 ? 0 : 1;
}
