/*
 * A suite: which files, how their rows become pairs, and how the figures of its subsets make up sections and an overall
 * score. One YAML file each (suites/NAME.yaml, built in; or a path):
 *   title     what the score may be called
 *   format    pairs (default), helpsteer2, mtbench-votes or verifiable: see data/pairs.h
 *   group_by  "file", or the field of a row that names its subset (default: subset)
 *   files     names below the folder given by --data; without them every file of --data is read
 *   sections  list of name, subsets {NAME: weight}, weight (1), optional (false); a section's score is the weighted
 *             mean of its subsets, the overall score the weighted mean of the sections. None: the mean of all subsets.
 */
#ifndef STE_EVAL_SUITE_H
#define STE_EVAL_SUITE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "core/options.h"
#include "data/pairs.h"

struct ste_suite_subset {
    char *name;
    double weight;
};

struct ste_suite_section {
    char *name;
    double weight;
    bool optional; /* may be missing as a whole */
    struct ste_suite_subset *subsets;
    size_t n;
};

struct ste_suite {
    char *name, *title, *group_by;
    enum ste_pairs_kind format;
    struct ste_strings files;
    struct ste_suite_section *sections;
    size_t n_sections;
};

int ste_suite_load(struct ste_suite **out, const char *name, struct ste_err *err);
void ste_suite_free(struct ste_suite *s);
/* The files of S (NULL: no suite) in the folders among GIVEN, those that are missing too unless PARTIAL; what is no
 * folder is taken as it is. The caller clears OUT, whatever this returns. */
int ste_suite_files(const struct ste_suite *s, const struct ste_strings *given, bool partial, struct ste_strings *out,
                    struct ste_err *err);

#endif
