/* What each model takes of this machine's memory. */
#ifndef STE_LOOP_FITS_H
#define STE_LOOP_FITS_H

#include "data/catalogue.h"

/* Bytes that a use takes with a context of TOKENS. TOKENS 0: there is no room, whatever the context; BYTES is then what
 * the least takes, or what was asked for; 0: the engine cannot run it. */
struct ste_fit {
    int tokens;
    size_t bytes;
};
struct ste_model_fit {
    char *name, *weights;        /* WEIGHTS: the type of most of them, as they would be loaded */
    char *problem;               /* why it cannot be opened; NULL: it can, or is not here */
    struct ste_fit judge, train; /* train: by a trainer alone */
};
struct ste_fits {
    size_t whole, free; /* bytes of this machine */
    struct ste_model_fit *models;
    size_t n;
};
/* Of each model of C that is here or whose shape is known, which is reckoned as a Q4_K_M file, and of the other files
 * and folders among the pulled models: with TOKENS of context, or by 0 with the longest for which there is room; loaded
 * as LOAD_AS (model.h), NULL: as they are. STE_EUSAGE: no such type. */
int ste_fits_find(struct ste_fits *out, const struct ste_catalogue *c, int tokens, const char *load_as,
                  struct ste_err *err);
void ste_fits_clear(struct ste_fits *f);

#endif
