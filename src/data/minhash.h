/*
 * Duplicates and near-duplicates of short texts. A text is folded (case, punctuation and spacing dropped), cut into
 * shingles of five characters, and two texts are as similar as the Jaccard index of their shingle sets. MinHash with
 * 128 keyed permutations in bands (Broder 1997; Leskovec et al., "Mining of massive datasets", ch. 3) proposes
 * candidates; the index itself is then counted exactly, so that no pair below the threshold is ever joined. All is a
 * function of the texts alone.
 */
#ifndef STE_DATA_MINHASH_H
#define STE_DATA_MINHASH_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

/* Lower case, runs of anything that is no letter or digit as one space, none at the ends. ASCII punctuation and the
 * usual Unicode quotes, dashes and spaces fold; other scripts stay as they are. A text of nothing but punctuation folds
 * to itself without its spaces. */
void ste_text_fold(const char *text, struct ste_buf *out);

/* The exact Jaccard index of the shingle sets of two texts, 0..1. */
double ste_text_similarity(const char *a, const char *b);

/* CLUSTER_OF[i] becomes the lowest index of the texts that i is joined to, directly or over others, by a similarity of
 * at least THRESHOLD (0.7 is usual); its own index if there is none. */
void ste_minhash_cluster(const char *const *texts, size_t n, double threshold, size_t *cluster_of);

/* An index to hold texts against: the prompts of evaluation files, for the contamination check. THRESHOLD 0: only
 * copies to the letter are found. */
struct ste_minhash_index;
struct ste_minhash_index *ste_minhash_index_new(double threshold);
void ste_minhash_index_add(struct ste_minhash_index *x, const char *text); /* numbered 0, 1, ... */
/* Says whether a text of the index is a near-duplicate of TEXT; the most similar one's number and similarity (NULL: not
 * asked). Of equally similar ones the lowest number. */
bool ste_minhash_index_find(const struct ste_minhash_index *x, const char *text, size_t *which, double *similarity);
void ste_minhash_index_free(struct ste_minhash_index *x);

#endif
