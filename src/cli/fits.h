/* What each model takes of this machine's memory. */
#ifndef STE_CLI_FITS_H
#define STE_CLI_FITS_H

#include <stdbool.h>

#include "data/catalogue.h"

/* Prints for each model of C and of the models' folder with which context it fits, to judge with and to train: TOKENS,
 * or by 0 the longest. */
void ste_fits(const struct ste_catalogue *c, int tokens, bool json);

#endif
