/*
 * How a model tells positions apart: RoPE (Su et al., arXiv 2104.09864) with what stretches it to longer contexts,
 * layers that do without, sliding windows, and queries that grow with their position. All of it is read from the file
 * once, into struct ste_hparams (arch.h) and the layers.
 */
#ifndef STE_MODEL_POSITIONS_H
#define STE_MODEL_POSITIONS_H

#include "model/model.h"

/* Reads what the file of M, whose layers and other hyperparameters are there, says of positions. STE_EINPUT for what
 * ste does not do. */
int ste_positions_read(struct ste_model *m, struct ste_err *err);

/* RoPE as it was first: the first DIMS of a head turn, pair I by BASE^(-2 I / DIMS) at each position. */
void ste_rotary_plain(struct ste_rotary *r, double base, int dims);
/* The one of KIND where a sequence may have N_CTX positions: it is chosen by that and not by a sequence's length, so
 * that what the cache holds fits what comes. NULL: no layer of M is of that kind. */
const struct ste_rotary *ste_rotary_of(const struct ste_model *m, enum ste_rotary_kind kind, int n_ctx);
/* What the query at POS is multiplied by, beside attn_scale. */
double ste_query_scale(const struct ste_hparams *hp, int pos);
/* The positions that a sequence may have where a user asks for ASKED (0: nothing is asked for). */
int ste_n_ctx(const struct ste_hparams *hp, long long asked);

#endif
