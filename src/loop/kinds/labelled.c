/* Pairs that people have labelled, with their answers: `select` has put both into the store. The file is the judge: one
 * may be a refusal, and the better one for it. */
#include "loop/kinds/kind.h"

enum { CHOSEN, REJECTED };

static const char *fault_rejected(const struct ste_loop *l, const struct ste_pair_job *j, const char *text)
{
    return ste_text_same(text, j->pieces[CHOSEN].text) ? "same answers" : NULL;
}

static bool takes_all(const struct ste_loop *l, const struct ste_pair_job *j)
{
    return true;
}

static const struct ste_piece_kind pieces[] = {
    [CHOSEN] = {.name = "answer"},
    [REJECTED] = {.name = "rejected", .after = 1u << CHOSEN, .fault = fault_rejected},
};

const struct ste_pair_kind ste_kind_labelled = {
    .name = "labelled",
    .label_source = "labelled",
    .pieces = pieces,
    .n = 2,
    .chosen = CHOSEN,
    .modified = -1,
    .rejected = REJECTED,
    .takes = takes_all,
};
