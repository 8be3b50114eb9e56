/* Damage to the parts of an answer: its steps and its sentences. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/buf.h"
#include "core/mem.h"
#include "loop/kinds/damage.h"

#define SHORT 16 /* bytes: a shorter sentence says little */

struct part {
    const char *p;
    size_t n;
    const char *line; /* where its line begins */
};
struct parts {
    struct part *items;
    size_t n, cap;
};

static void add(struct parts *l, const char *p, const char *end, const char *line)
{
    while (end > p && isspace((unsigned char)end[-1]))
        end--;
    STE_GROW(l->items, l->cap, l->n + 1);
    l->items[l->n++] = (struct part){p, (size_t)(end - p), line};
}

/* The bytes of "12. " or "12) " at P, which numbers a step; 0: none. */
static size_t number_of_step(const char *p)
{
    const size_t n = strspn(p, "0123456789");
    return n && n < 3 && strchr(".)", p[n]) && p[n] && p[n + 1] == ' ' ? n + 2 : 0;
}

/* ---- steps ---- */

/* What stands behind each number of the text's first list that counts 1, 2, 3 ...: up to the next number, the last up
 * to the end of its line. */
static struct parts steps_of(const char *text)
{
    struct parts steps = {0};
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const size_t n = number_of_step(line);
        if (!n || ste_damage_in_code(text, (size_t)(line - text)) || strtoul(line, NULL, 10) != steps.n + 1)
            continue;
        if (steps.n) {
            struct part *last = &steps.items[steps.n - 1];
            last->n = (size_t)(line - last->p);
            while (last->n && isspace((unsigned char)last->p[last->n - 1]))
                last->n--;
        }
        add(&steps, line + n, line + strcspn(line, "\n"), line);
    }
    return steps;
}

/* A list of steps, and not of things in any order. */
static bool is_sequence(const struct ste_damage *d)
{
    static const char *const signs[] = {"step", "how to", "how do", "how can", "recipe", "procedure", "in order"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (strcasestr(d->request, signs[i]))
            return true;
    return strcasestr(d->text, "step") != NULL;
}

/* A and B, B behind A, in each other's place. */
static char *swapped(const char *text, struct part a, struct part b)
{
    return ste_xasprintf("%.*s%.*s%.*s%.*s%s", (int)(a.p - text), text, (int)b.n, b.p, (int)(b.p - a.p - a.n),
                         a.p + a.n, (int)a.n, a.p, b.p + b.n);
}

/* ---- sentences ---- */

/* The sentences outside of code, and the items of lists, without their marks. */
static struct parts sentences_of(const char *text)
{
    struct parts all = {0};
    for (const char *line = text, *end; *line; line = *end ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        if (ste_damage_in_code(text, (size_t)(line - text)) || strncmp(line, "```", 3) == 0)
            continue;
        const char *p = line + strspn(line, " \t");
        const size_t number = number_of_step(p);
        const bool item = number || strncmp(p, "- ", 2) == 0 || strncmp(p, "* ", 2) == 0;
        p += number ? number : item ? 2 : 0;
        for (const char *q = p; q < end; q++) {
            const char *next = q + 1;
            while (next < end && strchr("\"')*", *next))
                next++;
            if (!strchr(".!?", *q) || (next < end && (*next != ' ' || islower((unsigned char)next[1]))) ||
                q < p + SHORT)
                continue;
            add(&all, p, next, line);
            p = q = next + (next < end);
        }
        if (item && end > p + SHORT && end[-1] != ':')
            add(&all, p, end, line);
    }
    return all;
}

/* TEXT with NEW of N bytes in the place of A. */
static char *replaced(const char *text, struct part a, const char *new, size_t n)
{
    return ste_xasprintf("%.*s%.*s%s", (int)(a.p - text), text, (int)n, new, a.p + a.n);
}

static bool begins_with(const char *p, const char *const *words)
{
    for (; *words; words++)
        if (strncmp(p, *words, strlen(*words)) == 0 && strchr(" ,", p[strlen(*words)]))
            return true;
    return false;
}

/* ---- the rules ---- */

static char *steps_swapped(const struct ste_damage *d, struct ste_rng *r)
{
    struct parts s = steps_of(d->text);
    char *out = NULL;
    if (s.n >= 3 && is_sequence(d)) {
        const size_t i = ste_rng_below(r, (uint32_t)s.n - 1);
        out = swapped(d->text, s.items[i], s.items[i + 1]);
    }
    ste_xfree(s.items);
    return out;
}

/* Steps, or a sentence that goes back to the one before it. */
char *ste_damage_order(const struct ste_damage *d, struct ste_rng *r)
{
    static const char *const back[] = {
        "This",        "These",        "Those",    "It",        "They",  "He",         "She",
        "Then",        "Next",         "Finally",  "Therefore", "Thus",  "So",         "Hence",
        "However",     "Additionally", "Also",     "Such",      "After", "Afterwards", "As a result",
        "For example", "In addition",  "Moreover", "Instead",   "Once",  NULL};
    char *out = steps_swapped(d, r);
    if (out)
        return out;
    struct parts s = sentences_of(d->text);
    size_t places[32], k = 0;
    for (size_t i = 1; i < s.n && k < 32; i++)
        if (s.items[i].line == s.items[i - 1].line && begins_with(s.items[i].p, back) &&
            !begins_with(s.items[i - 1].p, back))
            places[k++] = i;
    if (k) {
        const size_t i = places[ste_rng_below(r, (uint32_t)k)];
        out = swapped(d->text, s.items[i - 1], s.items[i]);
    }
    ste_xfree(s.items);
    return out;
}

/* Without step I, the later ones counted anew. */
static char *without_step(const char *text, const struct parts *s, size_t i)
{
    struct ste_buf out = STE_BUF_INIT;
    ste_buf_add(&out, text, (size_t)(s->items[i].line - text));
    for (size_t k = i + 1; k < s->n; k++) {
        const struct part *a = &s->items[k];
        const char *end = k + 1 < s->n ? s->items[k + 1].line : a->p + strlen(a->p);
        ste_buf_addf(&out, "%zu", k);
        ste_buf_add(&out, a->line + strspn(a->line, "0123456789"),
                    (size_t)(end - a->line) - strspn(a->line, "0123456789"));
    }
    return ste_buf_detach(&out);
}

/* A step that is not the last; else the sentence that says most: the last one where it reckons, the first where it does
 * not. */
char *ste_damage_omission(const struct ste_damage *d, struct ste_rng *r)
{
    static const char *const polite[] = {"Sure", "Certainly", "Of", "Here", "Yes", "I", "Great", "Absolutely", NULL};
    struct parts steps = steps_of(d->text), s = {0};
    char *out = NULL;
    if (steps.n >= 3 && is_sequence(d)) {
        out = without_step(d->text, &steps, ste_rng_below(r, (uint32_t)steps.n - 1));
    } else if ((s = sentences_of(d->text)).n >= 3) {
        const struct part first = s.items[0], last = s.items[s.n - 1];
        const bool reckons = memchr(last.p, '=', last.n) || strpbrk(last.p, "0123456789");
        if (reckons && last.line != first.line && number_of_step(last.line) == 0)
            out = ste_xasprintf("%.*s", (int)(last.p - d->text), d->text);
        else if (!begins_with(first.p, polite) && first.p == d->text && first.p[first.n] == ' ')
            out = ste_xstrdup(first.p + first.n + 1);
    }
    for (size_t n = out ? strlen(out) : 0; n && isspace((unsigned char)out[n - 1]);)
        out[--n] = 0;
    ste_xfree(steps.items);
    ste_xfree(s.items);
    return out;
}

/* Ends between two words in its second half, and not where a sentence does. */
char *ste_damage_cut(const struct ste_damage *d, struct ste_rng *r)
{
    const size_t n = strlen(d->text);
    if (n < 80)
        return NULL;
    size_t at = n / 2 + ste_rng_below(r, (uint32_t)(n / 3));
    while (at < n && !(d->text[at] == ' ' && isalnum((unsigned char)d->text[at - 1])))
        at++;
    return at + 8 < n ? ste_xstrndup(d->text, at) : NULL;
}

/* A sentence in the place of a later one: what that said is gone. */
char *ste_damage_repeat(const struct ste_damage *d, struct ste_rng *r)
{
    struct parts s = sentences_of(d->text);
    char *out = NULL;
    if (s.n >= 3) {
        const size_t k = 1 + ste_rng_below(r, (uint32_t)s.n - 1), i = ste_rng_below(r, (uint32_t)k);
        out = replaced(d->text, s.items[k], s.items[i].p, s.items[i].n);
    }
    ste_xfree(s.items);
    return out;
}

/* A sentence of another answer, as nearly as long. */
char *ste_damage_foreign(const struct ste_damage *d, struct ste_rng *r)
{
    if (!d->other)
        return NULL;
    struct parts s = sentences_of(d->text), o = sentences_of(d->other);
    char *out = NULL;
    if (s.n >= 2 && o.n) {
        const struct part *a = &s.items[ste_rng_below(r, (uint32_t)s.n)], *best = &o.items[0];
        for (size_t i = 1; i < o.n; i++)
            if (labs((long)o.items[i].n - (long)a->n) < labs((long)best->n - (long)a->n))
                best = &o.items[i];
        out = replaced(d->text, *a, best->p, best->n);
    }
    ste_xfree(s.items);
    ste_xfree(o.items);
    return out;
}
