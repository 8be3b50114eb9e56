/* Reading a report's JSON, for those who turn it into text. */
#ifndef STE_REPORT_FIELDS_H
#define STE_REPORT_FIELDS_H

#include <jansson.h>
#include <stdbool.h>

double ste_field_real(const json_t *row, const char *key);      /* NAN: no number */
long long ste_field_whole(const json_t *row, const char *key);  /* 0: no whole number */
const char *ste_field_text(const json_t *row, const char *key); /* "": no text */
/* Whether ROW, of "evaluation" or "comparison", is of SUITE and the pairs of KIND; "": of all kinds together. */
bool ste_field_is_of(const json_t *row, const char *suite, const char *kind);
/* The one of LIST that is, of ITERATION (0: the seed); NULL: there is none. */
const json_t *ste_field_find(const json_t *list, const char *suite, const char *kind, long long iteration);

#endif
