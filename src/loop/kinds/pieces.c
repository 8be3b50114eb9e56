#include <ctype.h>
#include <string.h>

#include "core/mem.h"
#include "data/minhash.h"
#include "loop/kinds/kind.h"

#define REPEATED 40 /* characters: a shorter text may well stand in the question */

void ste_piece_ask_clear(struct ste_piece_ask *a)
{
    ste_xfree(a->messages);
    ste_xfree(a->owned);
    *a = (struct ste_piece_ask){0};
}

struct ste_message *ste_loop_messages(const struct ste_dialogue *x, const char *system, const char *last, size_t *n)
{
    struct ste_message *m = ste_xcalloc(x->n + 1, sizeof *m);
    *n = 0;
    if (*system && x->turns[0].role != STE_ROLE_SYSTEM)
        m[(*n)++] = (struct ste_message){"system", system};
    for (size_t i = 0; i < x->n; i++)
        m[(*n)++] = (struct ste_message){ste_role_name(x->turns[i].role), x->turns[i].text};
    if (last)
        m[*n - 1].content = last;
    return m;
}

void ste_ask_dialogue(const struct ste_pair_job *j, const char *system, const char *last, struct ste_piece_ask *out)
{
    out->messages = ste_loop_messages(&j->x, system, last, &out->n);
}

void ste_ask_template(const struct ste_pair_job *j, const char *template, struct ste_piece_ask *out)
{
    struct ste_buf text = STE_BUF_INIT;
    ste_dialogue_text(&j->x, &text);
    const struct ste_slot slots[] = {{"instruction", text.s}, {"prompt", text.s}};
    out->owned = ste_pack_fill(template, slots, 2);
    ste_buf_clear(&text);
    out->messages = ste_xcalloc(1, sizeof *out->messages);
    out->messages[0] = (struct ste_message){"user", out->owned};
    out->n = 1;
}

void ste_ask_answer(const struct ste_loop *l, const struct ste_pair_job *j, int attempt, struct ste_piece_ask *out)
{
    ste_ask_dialogue(j, l->recipe.pair_system, NULL, out);
}

/* Small models copy what they were asked instead of doing it. */
bool ste_text_repeats(const char *text, const char *question)
{
    struct ste_buf a = STE_BUF_INIT, b = STE_BUF_INIT;
    ste_text_fold(text, &a);
    ste_text_fold(question, &b);
    bool yes = a.len > REPEATED && strstr(b.s, a.s) != NULL;
    ste_buf_clear(&a);
    ste_buf_clear(&b);
    return yes;
}

const char *ste_fault_answer(const struct ste_loop *l, const struct ste_pair_job *j, const char *text)
{
    return ste_text_refuses(text)                                ? "refusal"
           : ste_text_repeats(text, j->x.turns[j->x.n - 1].text) ? "repeats the instruction"
                                                                 : NULL;
}

const char *ste_fault_other_answer(const struct ste_loop *l, const struct ste_pair_job *j, const char *text)
{
    const char *fault = ste_fault_answer(l, j, text);
    return fault ? fault : ste_text_same(text, j->pieces[0].text) ? "same answers" : NULL;
}

static bool listed(const struct ste_strings *categories, const char *category)
{
    for (size_t i = 0; category && i < categories->n; i++)
        if (strcmp(categories->items[i], category) == 0)
            return true;
    return false;
}

bool ste_is_harmful(const struct ste_recipe *r, const char *category)
{
    return listed(&r->harmful, category);
}

bool ste_is_harmless(const struct ste_recipe *r, const char *category)
{
    return listed(&r->harmless, category);
}

bool ste_text_refuses(const char *text)
{
    /* clang-format off */
    static const char *const starts[] = {
        "i'm sorry, but", "i am sorry, but", "i'm sorry, i can", "sorry, but i", "sorry, i can", "i cannot ",
        "i can't ", "i can not ", "i'm unable to", "i am unable to", "i'm not able to", "i am not able", "as an ai ",
        "as a language model", "unfortunately, i can", "i apologize, but", "i won't ", "i'm afraid i can",
        "i must decline", "i'm sorry for", "i will not ", "i'm sorry. i can", "i'm sorry. but", "no, i can't",
        "no, i cannot", "no, i won't", "no, i will not", "i refuse", "i decline", "i'm sorry, that", "sorry, that",
        "i'm sorry to hear that, but i", "i do not have the ability", "as an artificial"
    };
    /* clang-format on */
    static const char *const others[] = {"i can't believe", "i can't wait", "i cannot believe", "i cannot wait"};
    struct ste_buf low = STE_BUF_INIT;
    for (const char *p = text + strspn(text, " \"'*_"); *p && low.len < 64; p++) {
        if ((unsigned char)p[0] == 0xe2 && (unsigned char)p[1] == 0x80 && (unsigned char)p[2] == 0x99) {
            ste_buf_addc(&low, '\''); /* the typographic apostrophe */
            p += 2;
        } else {
            ste_buf_addc(&low, (char)tolower((unsigned char)*p));
        }
    }
    bool yes = false;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        yes |= strncmp(low.s, starts[i], strlen(starts[i])) == 0;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        yes &= strncmp(low.s, others[i], strlen(others[i])) != 0;
    ste_buf_clear(&low);
    return yes;
}

bool ste_text_same(const char *a, const char *b)
{
    struct ste_buf fa = STE_BUF_INIT, fb = STE_BUF_INIT;
    ste_text_fold(a, &fa);
    ste_text_fold(b, &fb);
    bool same = strcmp(fa.s, fb.s) == 0;
    ste_buf_clear(&fa);
    ste_buf_clear(&fb);
    return same;
}

char *ste_text_trimmed(const char *s, size_t n)
{
    while (n && isspace((unsigned char)*s)) {
        s++;
        n--;
    }
    while (n && isspace((unsigned char)s[n - 1]))
        n--;
    return ste_xstrndup(s, n);
}

/* Ends of sentences are marks before white space, with a quote or a bracket between them perhaps; a line ends at its
 * newline. "1." at the start of a line ends nothing. */
char *ste_text_whole_sentences(const char *text)
{
    size_t n = strlen(text), end = 0, line = 0;
    bool code = false;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(text + i, "```", 3) == 0) {
            code = !code;
            i += 2;
            continue;
        }
        if (code)
            continue;
        if (text[i] == '\n') {
            end = i;
            line = i + 1;
        } else if (strchr(".!?", text[i]) && i > line + 2) {
            size_t k = i + 1;
            while (k < n && strchr("\"')]*", text[k]))
                k++;
            if (k < n && isspace((unsigned char)text[k]))
                end = k;
        }
    }
    char *whole = ste_text_trimmed(text, end);
    if (*whole && 2 * strlen(whole) >= n)
        return whole;
    ste_xfree(whole);
    return NULL;
}
