/* Two answers to one instruction, of one model at one temperature. Which is the better one is not known when they are
 * made: the check's likelihoods say so, or the pair is dropped. */
#include "loop/kinds/kind.h"

enum { ANSWER, SECOND };

static const struct ste_piece_kind pieces[] = {
    [ANSWER] = STE_PIECE_ANSWER,
    [SECOND] = {.name = "second answer",
                .role = STE_LOOP_ANSWER,
                .after = 1u << ANSWER,
                .sample = 1,
                .answers = true,
                .ask = ste_ask_answer,
                .fault = ste_fault_other_answer},
};

const struct ste_pair_kind ste_kind_sampled = {
    .name = "sampled",
    .label_source = "likelihood",
    .evidence = STE_EVIDENCE_LABELS,
    .pieces = pieces,
    .n = 2,
    .chosen = ANSWER,
    .modified = -1,
    .rejected = SECOND,
    .takes = ste_takes_ordinary,
};
