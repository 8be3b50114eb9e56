/*
 * JSON as text: read where it stands and written into a buffer, without a value for each number. For the requests and
 * replies of servers, whose lists of a thousand token ids would cost more as values than all else about them. Reading
 * is raw.c's, writing raw_write.c's.
 */
#ifndef STE_CORE_RAW_H
#define STE_CORE_RAW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

/* The text of one value, within a text that is somebody else's. S is NULL where there is none: what is asked of that,
 * or of a value of another kind, is not there either. */
struct ste_raw {
    const char *s;
    size_t n;
};
/* S is one JSON value in UTF-8 and nothing else. */
bool ste_raw_read(struct ste_raw *out, const char *s, size_t n);

struct ste_raw ste_raw_get(struct ste_raw object, const char *key); /* KEY: without anything to escape */
/* The values of N keys, in one pass. */
void ste_raw_pick(struct ste_raw object, const char *const *keys, size_t n, struct ste_raw *out);
struct ste_raw ste_raw_first(struct ste_raw list);
struct ste_raw ste_raw_after(struct ste_raw list, struct ste_raw item);
bool ste_raw_is_list(struct ste_raw v);
bool ste_raw_is_object(struct ste_raw v);
bool ste_raw_is_text(struct ste_raw v);
/* V is written exactly so, such as true, or "stop" with its quotes. */
bool ste_raw_is(struct ste_raw v, const char *written);
bool ste_raw_int(struct ste_raw v, int64_t *out); /* a whole number of 64 bits */
bool ste_raw_real(struct ste_raw v, double *out); /* any number */
char *ste_raw_text(struct ste_raw v);             /* a string's text; NULL: it is none. Caller frees. */
/* A list of token ids, 0 to INT32_MAX. False: it is none, or not of those alone. Caller frees *IDS, whatever this is.
 */
bool ste_raw_ids(struct ste_raw list, int32_t **ids, size_t *n);
/* V as jansson has it; NULL: it has something rare (an escape of four digits, a number of more than 64 bits, a long
 * key), so that jansson is to read it. */
json_t *ste_raw_value(struct ste_raw v);

/* An object on its way into text. Keys are given in any order, and stand sorted, as in ste_json_canonical. */
#define STE_RAW_FIELDS 24
struct ste_raw_object {
    struct ste_buf text; /* the values that were made here, one behind the other */
    size_t given;        /* bytes of the others */
    int n;
    struct {
        const char *key, *json; /* JSON: a value that was given; NULL: it was made */
        size_t at, n;
    } fields[STE_RAW_FIELDS];
};
#define STE_RAW_OBJECT                                                                                                 \
    {                                                                                                                  \
        .text = STE_BUF_INIT                                                                                           \
    }
/* JSON: a value as text. It is not copied, nor is any KEY: both live until ste_raw_done. */
void ste_raw_set(struct ste_raw_object *o, const char *key, const char *json);
void ste_raw_set_text(struct ste_raw_object *o, const char *key, const char *text);
void ste_raw_set_int(struct ste_raw_object *o, const char *key, int64_t v);
void ste_raw_set_real(struct ste_raw_object *o, const char *key, double v);
/* A list of the numbers of LISTS, N of them, one behind the other. */
struct ste_raw_list {
    const int32_t *ids;
    size_t n;
};
void ste_raw_set_ids(struct ste_raw_object *o, const char *key, const struct ste_raw_list *lists, size_t n);
/* The whole as text, which the caller frees; O is cleared. */
char *ste_raw_done(struct ste_raw_object *o);
/* Adds TEXT, which is UTF-8, as a JSON string. */
void ste_raw_add_text(struct ste_buf *b, const char *text);
/* Adds V as jansson writes it, without spaces, reals with 17 digits. */
void ste_raw_add_value(struct ste_buf *b, const json_t *v);

#endif
