/* What a run's adapters were trained on. */
#ifndef STE_STORE_TRAINING_H
#define STE_STORE_TRAINING_H

#include "store/store.h"

/* Each instruction of the part that is trained on, as the dialogue's JSON, to FN; the first error ends it. */
int ste_store_each_training(struct ste_store *s, int (*fn)(void *arg, const char *dialogue, struct ste_err *err),
                            void *arg, struct ste_err *err);

#endif
