/* What each model takes of this machine's memory. */
#ifndef STE_CLI_FITS_H
#define STE_CLI_FITS_H

#include <stdbool.h>

#include "data/catalogue.h"

/* Prints for each model of C and of the models' folder with which context it fits, to judge with and to train. */
void ste_fits(const struct ste_catalogue *c, bool json);

#endif
