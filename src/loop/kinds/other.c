/* The rejected answer is the answer to another instruction of the same part of the run: a good text that does not do
 * what was asked. Every answer is chosen in one pair and may be rejected in another, so that it tells nothing by
 * itself. How near the other instruction is (pair.other_nearest) is how hard the pair is. */
#include "loop/kinds/kind.h"

static const struct ste_piece_kind pieces[] = {STE_PIECE_ANSWER};

const struct ste_pair_kind ste_kind_other = {
    .name = "other",
    .label_source = "constructed",
    .evidence = STE_EVIDENCE_INSTRUCTIONS,
    .pieces = pieces,
    .n = 1,
    .chosen = 0,
    .modified = -1,
    .rejected = -1,
    .takes = ste_takes_ordinary,
};
