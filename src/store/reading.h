/* What a run has read from files: its instructions. */
#ifndef STE_STORE_READING_H
#define STE_STORE_READING_H

#include <stdbool.h>

#include "store/store.h"

/* A model was opened for the run. Before that it has nothing but what it read, which another recipe may read anew. */
int ste_store_has_begun(struct ste_store *s, bool *begun, struct ste_err *err);
/* Takes every row out. */
int ste_store_empty(struct ste_store *s, struct ste_err *err);
/* Each instruction of the part that is trained on, as the dialogue's JSON, to FN; the first error ends it. */
int ste_store_each_training(struct ste_store *s, int (*fn)(void *arg, const char *dialogue, struct ste_err *err),
                            void *arg, struct ste_err *err);

#endif
