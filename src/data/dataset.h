/*
 * Rows of a data set on the Hugging Face Hub as JSONL, by its rows API (GET /splits, GET /rows: pages of 100), without
 * Python and without its parquet files. HF_ENDPOINT names the Hub, STE_DATASETS_URL the rows API, HF_TOKEN a login.
 */
#ifndef STE_DATA_DATASET_H
#define STE_DATA_DATASET_H

#include <stddef.h>

#include "core/err.h"

struct ste_dataset_pull {
    const char *name;           /* OWNER/NAME */
    const char *config, *split; /* NULL: the only one there is */
    size_t limit;               /* 0: all rows */
    const char *out;            /* the file to write */
};
/* Rows go to OUT.part, page by page; a pull that was cut off goes on behind its last row, unless the data set's
 * revision has changed since. The whole is then renamed to OUT, with OUT.source.json beside it: dataset, config, split,
 * revision, rows, sha256. An OUT of the same revision is left as it is; any other is an error. */
int ste_dataset_pull(const struct ste_dataset_pull *p, struct ste_err *err);

#endif
