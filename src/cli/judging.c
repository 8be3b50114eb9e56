#include "cli/judging.h"

#include <stdio.h>

#include "core/mem.h"

/* clang-format off */
#define OPTIONS_OF struct ste_judging_flags
const struct ste_option ste_judging_options[] = {
    STE_INT("limit", limit, "0", 0, STE_LARGE, "the first N rows of each file; 0: all"),
    STE_INT("sample", sample, "0", 0, STE_LARGE, "N pairs of each file, drawn by the seed; 0: all"),
    STE_TABLE("", judge, ste_judge_options),
    {0},
};
/* clang-format on */

int ste_judging_check(const struct ste_judging_flags *o, struct ste_err *err)
{
    if (o->sample && o->limit)
        return ste_err_set(err, STE_EUSAGE, "--sample goes without --limit");
    return ste_judge_options_check(&o->judge, err);
}

void ste_judging_say_dry(const struct ste_session *j)
{
    struct ste_buf text = STE_BUF_INIT;
    char *title = ste_session_title(j);
    ste_batch_estimate(j->batch, title, &text);
    fputs(text.s, stdout);
    ste_xfree(title);
    ste_buf_clear(&text);
}

struct ste_pairs_params ste_judging_pairs(const struct ste_judging_flags *o)
{
    return (struct ste_pairs_params){.limit = (size_t)o->limit,
                                     .sample = (size_t)o->sample,
                                     .seed = (uint64_t)o->judge.seed,
                                     .references = o->judge.reference};
}
