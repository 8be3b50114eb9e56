/*
 * One table of options makes a recipe's keys, --set, a command's flags, help, the checks and the comparison of two
 * recipes. A key is dotted ("pair.temperature"); in YAML the part before the dot is a mapping; as a flag "top_p" is
 * --top-p. Options are fields of a plain struct; strings and lists in it belong to the struct. A table may hold another
 * one, of a struct within: so the options of the engine are the same in a recipe and in each command.
 */
#ifndef STE_CORE_OPTIONS_H
#define STE_CORE_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/strings.h"

enum ste_option_kind {
    STE_OPT_STRING, /* char * */
    STE_OPT_INT,    /* long long */
    STE_OPT_REAL,   /* double */
    STE_OPT_BOOL,   /* bool */
    STE_OPT_CHOICE, /* an enum (or int): the place of the word among CHOICES */
    STE_OPT_LIST,   /* struct ste_strings: a,b or [a, b]; as a flag also every following word */
    STE_OPT_SHARES, /* struct ste_strings: "name=share" each; a mapping in YAML; else name=share,name=share */
    STE_OPT_WORDS,  /* struct ste_strings: as a flag every following word, as it is */
    STE_OPT_TABLE,  /* a struct with the options of TABLE, whose keys stand behind KEY and a dot; KEY "": as they are */
    STE_OPT_STEP,   /* no option: those behind it, up to the next such row, change nothing before the step STEP */
};

struct ste_option {
    const char *key;
    enum ste_option_kind kind;
    size_t offset;                  /* of the field in the struct */
    const char *initial;            /* the value when nothing is said, as --set would take it; NULL: nothing, 0 */
    double min, max;                /* of numbers; both 0: no bound */
    const char *const *choices;     /* NULL-ended */
    const struct ste_option *table; /* of STE_OPT_TABLE */
    int step;                       /* of STE_OPT_STEP */
    bool speed_only;   /* true: changes how fast, not what comes out; a run may be continued with another value */
    const char *value; /* for help: what stands for the value, "FILE" */
    const char *help;
};

/*
 * Rows of a table, for files that #define OPTIONS_OF as the struct whose fields they are. The type of a field is
 * checked when it is compiled.
 */
#define STE_FIELD(field, type) _Generic(((OPTIONS_OF *)0)->field, type : offsetof(OPTIONS_OF, field))
/* clang-format off */
#define STE_ROW(k, t, f, type, init, text, ...)                                                                        \
    {.key = k, .kind = STE_OPT_##t, .offset = STE_FIELD(f, type), .initial = init, .help = text, __VA_ARGS__}
#define STE_STRING(k, f, init, val, text) STE_ROW(k, STRING, f, char *, init, text, .value = val)
#define STE_INT(k, f, init, lo, hi, text) STE_ROW(k, INT, f, long long, init, text, .min = lo, .max = hi)
#define STE_REAL(k, f, init, lo, hi, text) STE_ROW(k, REAL, f, double, init, text, .min = lo, .max = hi)
#define STE_BOOL(k, f, init, text) STE_ROW(k, BOOL, f, bool, init, text, .value = NULL)
#define STE_CHOICE(k, f, init, names, text)                                                                            \
    {.key = k, .kind = STE_OPT_CHOICE, .initial = init, .choices = names, .help = text,                                \
     .offset = _Generic(((OPTIONS_OF *)0)->f, int: offsetof(OPTIONS_OF, f), unsigned: offsetof(OPTIONS_OF, f))}
#define STE_LIST(k, f, init, val, text) STE_ROW(k, LIST, f, struct ste_strings, init, text, .value = val)
#define STE_SHARES(k, f, init, text) STE_ROW(k, SHARES, f, struct ste_strings, init, text, .value = NULL)
#define STE_WORDS(k, f, val, text) STE_ROW(k, WORDS, f, struct ste_strings, NULL, text, .value = val)
#define STE_TABLE(k, f, rows) {.key = k, .kind = STE_OPT_TABLE, .offset = offsetof(OPTIONS_OF, f), .table = rows}
#define STE_STEP(s) {.key = "", .kind = STE_OPT_STEP, .step = s}
#define STE_SPEED_INT(k, f, init, lo, hi, text)                                                                        \
    STE_ROW(k, INT, f, long long, init, text, .min = lo, .max = hi, .speed_only = true)
#define STE_SPEED_STRING(k, f, init, val, text)                                                                        \
    STE_ROW(k, STRING, f, char *, init, text, .value = val, .speed_only = true)
/* clang-format on */
#define STE_NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define STE_LARGE 1e9

/* The table ends with a NULL key. */
void ste_options_init(const struct ste_option *table, void *opts);
void ste_options_clear(const struct ste_option *table, void *opts);
/* "key=value". An unknown key is STE_EUSAGE and names the nearest known one. */
int ste_options_set(const struct ste_option *table, void *opts, const char *assignment, struct ste_err *err);
/* TEXT as the value of KEY, which errors call NAME; ADD: one more item of a list (LIST, WORDS). */
int ste_options_put(const struct ste_option *table, void *opts, const char *key, const char *name, const char *text,
                    bool add, struct ste_err *err);
const struct ste_option *ste_options_find(const struct ste_option *table, const char *key); /* NULL: there is none */
/* Adds all in full, as keys or as FLAGS without their dashes. */
void ste_options_keys(const struct ste_option *table, bool flags, struct ste_strings *out);
/* A parsed YAML mapping. WHAT names the file. */
int ste_options_load(const struct ste_option *table, void *opts, const json_t *yaml, const char *what,
                     struct ste_err *err);
/* Every option, or only those that change the result, with its value, nested as in YAML. */
json_t *ste_options_dump(const struct ste_option *table, const void *opts, bool result_only);
/* Adds a line "key: old -> new" for each option that changes the result and differs; returns how many. */
int ste_options_diff(const struct ste_option *table, const void *old_opts, const void *new_opts, struct ste_buf *lines);
/* The first step that an option changes which changes the result and has another value in B than in A; INT_MAX: there is
 * none. */
int ste_options_first_step(const struct ste_option *table, const void *a, const void *b);
/* Sets in TO, as FROM has them, the options that change something before STEP, and those of speed. */
void ste_options_take(const struct ste_option *table, void *to, const void *from, int step);
/* Adds what stands for the value of O: "FILE", its choices, "N". */
void ste_option_value(const struct ste_option *o, struct ste_buf *out);
/* Adds its help, its default and whether it is of speed only. */
void ste_option_text(const struct ste_option *o, bool flags, struct ste_buf *out);
/* The table as text for a terminal of WIDTH columns, as keys of a recipe or as FLAGS. */
void ste_options_help(const struct ste_option *table, bool flags, int width, struct ste_buf *out);
/* Words of TEXT from column AT on, broken before WIDTH, following lines at column INDENT. */
void ste_wrap(struct ste_buf *out, const char *text, int at, int indent, int width);

#endif
