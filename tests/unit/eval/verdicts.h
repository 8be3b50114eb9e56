/* Judgments of the evaluation's tests. */
#ifndef STE_TEST_VERDICTS_H
#define STE_TEST_VERDICTS_H

#include <math.h>

#include "eval/eval.h"

/* Of free mode: 'A', 'B', or 'I' for one that was cut off. */
static struct ste_judgment verdict(char c)
{
    return (struct ste_judgment){.verdict = c == 'A'   ? STE_VERDICT_A
                                            : c == 'B' ? STE_VERDICT_B
                                                       : STE_VERDICT_INVALID,
                                 .reason = c == 'I' ? STE_INVALID_CUT : STE_INVALID_NONE,
                                 .logprob_a = NAN,
                                 .logprob_b = NAN};
}

#endif
