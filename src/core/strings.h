/* Lists of strings, and names that users write. */
#ifndef STE_CORE_STRINGS_H
#define STE_CORE_STRINGS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

/* The list owns its strings. */
struct ste_strings {
    char **items;
    size_t n;
};
void ste_strings_add(struct ste_strings *l, const char *s);
/* The place of S in the list, where it is added when it is not there. */
size_t ste_strings_place(struct ste_strings *l, const char *s);
void ste_strings_clear(struct ste_strings *l);

bool ste_ends_in(const char *s, const char *end);
/* The place of S among NAMES (NULL-ended), which is the value of an enum that they name; -1: it is none of them. */
int ste_name_find(const char *const *names, const char *s);
/* The nearest of NAMES (NULL-ended) to S within a small edit distance, or NULL. For "did you mean". */
const char *ste_nearest(const char *s, const char *const *names);

/* Adds "a,b", or the same in brackets, as it stands in YAML; an item in quotes may hold commas. */
void ste_strings_parse(struct ste_strings *l, const char *text);
/* FRESH in the place of L, or gone when RC says that it is not whole. Gives RC. */
int ste_strings_replace(struct ste_strings *l, struct ste_strings *fresh, int rc);

/* Shares are strings "name=share". Adds one (ITEM), in one form for one number. STE_EUSAGE, in the name of the option
 * KEY: no name, no number of 0 or more, or a name that is there already. */
int ste_shares_add(struct ste_strings *shares, const char *key, const char *item, struct ste_err *err);
/* All of "name=share,name=share", or the same in braces with colons, as it stands in YAML, in the place of SHARES. */
int ste_shares_parse(struct ste_strings *shares, const char *key, const char *text, struct ste_err *err);
/* The share of NAME; 0 where it is not named. */
double ste_share(const struct ste_strings *shares, const char *name);

#endif
