/*
 * Ways to make an answer worse by rule. Each leaves the rest as it is, and the sentence's grammar too, so that what
 * tells the two apart is what they say. Places are drawn; none of these is a fault of style.
 */
#ifndef STE_LOOP_DAMAGE_H
#define STE_LOOP_DAMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/rng.h"

struct ste_damage {
    const char *text;    /* the answer */
    const char *request; /* what it answers */
    const char *other;   /* an answer to another request; may be NULL */
};

struct ste_damage_rule {
    const char *name;
    uint32_t weight; /* those that fit few answers are drawn more often */
    /* The damaged text, which the caller frees; NULL: there is no place for it. */
    char *(*apply)(const struct ste_damage *d, struct ste_rng *r);
};
extern const struct ste_damage_rule ste_damage_rules[]; /* NULL-ended by name */

/* Damages by the first rule that fits, in an order drawn by KEY; NULL: none does. The text is the caller's. */
char *ste_damage(const struct ste_damage *d, uint64_t key, const struct ste_damage_rule **rule);

/* ---- shared by the rules: damage_words.c has those that change a word, damage_parts.c those that move parts ---- */

/* Whether the byte at AT stands in a fenced block of code. */
bool ste_damage_in_code(const char *text, size_t at);

/* Places, and what may stand there instead. */
struct ste_spots {
    struct ste_spot {
        size_t at, n;
        char *put;
    } * items;
    size_t n, cap;
};
void ste_spots_add(struct ste_spots *s, size_t at, size_t n, const char *put);
/* TEXT with one of them, drawn, put in; NULL where there is none. Clears S. */
char *ste_spots_draw(struct ste_spots *s, const char *text, struct ste_rng *r);

char *ste_damage_number(const struct ste_damage *d, struct ste_rng *r);
char *ste_damage_operator(const struct ste_damage *d, struct ste_rng *r);
char *ste_damage_unit(const struct ste_damage *d, struct ste_rng *r);
char *ste_damage_negation(const struct ste_damage *d, struct ste_rng *r);
char *ste_damage_opposite(const struct ste_damage *d, struct ste_rng *r);
char *ste_damage_off_by_one(const struct ste_damage *d, struct ste_rng *r);
char *ste_damage_order(const struct ste_damage *d, struct ste_rng *r);
char *ste_damage_omission(const struct ste_damage *d, struct ste_rng *r);
char *ste_damage_cut(const struct ste_damage *d, struct ste_rng *r);
char *ste_damage_repeat(const struct ste_damage *d, struct ste_rng *r);
char *ste_damage_foreign(const struct ste_damage *d, struct ste_rng *r);

#endif
