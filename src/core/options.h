/*
 * One table of options makes a recipe's keys, --set, --help, the man page, the checks and the
 * comparison of two recipes. A key is dotted ("pair.temperature"); in YAML the part before the dot is
 * a mapping. Options are fields of a plain struct; strings and lists in it belong to the struct.
 */
#ifndef STE_CORE_OPTIONS_H
#define STE_CORE_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"

enum ste_option_kind {
    STE_OPT_STRING, /* char * */
    STE_OPT_INT,    /* long long */
    STE_OPT_REAL,   /* double */
    STE_OPT_BOOL,   /* bool */
    STE_OPT_CHOICE, /* char *, one of CHOICES ("a|b|c") */
    STE_OPT_LIST,   /* struct ste_strings: strings; --set takes a,b or [a, b] */
    STE_OPT_SHARES, /* struct ste_strings: "name=share" each; a mapping in YAML; --set takes name=share,name=share */
};

struct ste_strings {
    char **items;
    size_t n;
};

struct ste_option {
    const char *key;
    enum ste_option_kind kind;
    size_t offset;       /* of the field in the struct */
    const char *initial; /* the value when nothing is said, as --set would take it */
    double min, max;     /* of numbers; both 0: no bound */
    const char *choices;
    bool speed_only; /* true: changes how fast, not what comes out; a run may be continued with another value */
    const char *help;
};

/* The table ends with a NULL key. */
void ste_options_init(const struct ste_option *table, void *opts);
void ste_options_clear(const struct ste_option *table, void *opts);
/* "key=value". An unknown key is STE_EUSAGE and names the nearest known one. */
int ste_options_set(const struct ste_option *table, void *opts, const char *assignment, struct ste_err *err);
/* A parsed YAML mapping. WHAT names the file. */
int ste_options_load(const struct ste_option *table, void *opts, const json_t *yaml, const char *what,
                     struct ste_err *err);
/* Every option with its value, nested as in YAML. */
json_t *ste_options_dump(const struct ste_option *table, const void *opts);
/* Adds a line "key: old -> new" for each option that changes the result and differs; returns how many. */
int ste_options_diff(const struct ste_option *table, const void *old_opts, const void *new_opts, struct ste_buf *lines);
/* The table as text for a terminal of WIDTH columns, one option a paragraph. */
void ste_options_help(const struct ste_option *table, int width, struct ste_buf *out);

/* Adds "name=share" (ITEM) to SHARES, in one form for one number. STE_EUSAGE, in the name of the option KEY: no name,
 * no number of 0 or more, or a name that is there already. */
int ste_shares_add(struct ste_strings *shares, const char *key, const char *item, struct ste_err *err);
/* The share of NAME; 0 where it is not named. */
double ste_share(const struct ste_strings *shares, const char *name);

void ste_strings_add(struct ste_strings *l, const char *s);
/* The place of S in the list, where it is added when it is not there. */
size_t ste_strings_place(struct ste_strings *l, const char *s);
void ste_strings_clear(struct ste_strings *l);
/* The nearest of NAMES (NULL-ended) to S within a small edit distance, or NULL. For "did you mean". */
const char *ste_nearest(const char *s, const char *const *names);

#endif
