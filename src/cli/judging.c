#include "cli/judging.h"

int ste_judging_flags_check(const struct ste_judging_flags *f, struct ste_err *err)
{
    if (f->limit < 0)
        return ste_err_set(err, STE_EUSAGE, "--limit must not be negative");
    if (f->sample < 0 || (f->sample && f->limit))
        return ste_err_set(err, STE_EUSAGE, "--sample must not be negative, and goes without --limit");
    return ste_judge_options_check(&f->judge, err);
}

struct ste_pairs_params ste_judging_pairs(const struct ste_judging_flags *f)
{
    return (struct ste_pairs_params){.limit = (size_t)f->limit,
                                     .sample = (size_t)f->sample,
                                     .seed = (uint64_t)f->judge.seed,
                                     .references = f->judge.reference};
}
