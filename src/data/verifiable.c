#include "data/verifiable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/rng.h"

static const char *const words[] = {"garden",  "window",   "letter",    "marble",   "orange",   "bottle",  "planet",
                                    "silver",  "butter",   "candle",    "mountain", "harvest",  "lantern", "message",
                                    "kitchen", "village",  "blanket",   "cabinet",  "diamond",  "feather", "history",
                                    "journey", "library",  "machine",   "necklace", "octopus",  "painter", "quarter",
                                    "railway", "sandwich", "teacher",   "umbrella", "volcano",  "whisper", "yellow",
                                    "zipper",  "elephant", "chocolate", "balloon",  "committee"};
enum { N_WORDS = sizeof words / sizeof *words };

struct made {
    const char *subset;
    struct ste_buf prompt, chosen, rejected;
};

static const char *a_word(struct ste_rng *r)
{
    return words[ste_rng_below(r, N_WORDS)];
}

/* 1 .. MOST, either sign. */
static long slip(struct ste_rng *r, uint32_t most)
{
    const long by = 1 + (long)ste_rng_below(r, most);
    return ste_rng_below(r, 2) ? by : -by;
}

static void arithmetic(struct ste_rng *r, struct made *m)
{
    const long a = 12 + (long)ste_rng_below(r, 88), b = 12 + (long)ste_rng_below(r, 88),
               c = 2 + (long)ste_rng_below(r, 8);
    const uint32_t kind = ste_rng_below(r, 4);
    const long right = kind == 0 ? a + b : kind == 1 ? a * c : kind == 2 ? a * c - b : a * b;
    char sum[64];
    snprintf(sum, sizeof sum,
             kind == 0   ? "%ld + %ld"
             : kind == 1 ? "%ld * %ld"
             : kind == 2 ? "%ld * %ld - %ld"
                         : "%ld * %ld",
             a, kind == 0 || kind == 3 ? b : c, b);
    ste_buf_addf(&m->prompt, "What is %s?", sum);
    ste_buf_addf(&m->chosen, "%s = %ld", sum, right);
    /* A slip of the last digits, or of the tens, as people make them. */
    ste_buf_addf(&m->rejected, "%s = %ld", sum, right + (ste_rng_below(r, 2) ? slip(r, 3) : 10 * slip(r, 2)));
}

static void list(struct ste_buf *out, const long *n, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ste_buf_addf(out, "%s%ld", i ? ", " : "", n[i]);
}

static int by_size(const void *a, const void *b)
{
    const long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

static void sorting(struct ste_rng *r, struct made *m)
{
    long n[8];
    const size_t count = 5 + ste_rng_below(r, 4);
    for (size_t i = 0; i < count;) {
        n[i] = 10 + (long)ste_rng_below(r, 90);
        size_t k = 0;
        while (n[k] != n[i])
            k++;
        i += k == i; /* each number once */
    }
    ste_buf_adds(&m->prompt, "Sort these numbers from the smallest to the largest: ");
    list(&m->prompt, n, count);
    qsort(n, count, sizeof *n, by_size);
    list(&m->chosen, n, count);
    const size_t at = ste_rng_below(r, (uint32_t)count - 1);
    const long swap = n[at];
    n[at] = n[at + 1];
    n[at + 1] = swap;
    list(&m->rejected, n, count);
}

static void strings(struct ste_rng *r, struct made *m)
{
    const char *word = a_word(r);
    const size_t n = strlen(word);
    if (ste_rng_below(r, 2)) {
        const char letter = word[ste_rng_below(r, (uint32_t)n)];
        long count = 0;
        for (size_t i = 0; i < n; i++)
            count += word[i] == letter;
        ste_buf_addf(&m->prompt, "How many times does the letter %c occur in the word \"%s\"?", letter, word);
        ste_buf_addf(&m->chosen, "The letter %c occurs %ld time(s) in \"%s\".", letter, count, word);
        ste_buf_addf(&m->rejected, "The letter %c occurs %ld time(s) in \"%s\".", letter,
                     count + (count > 1 && ste_rng_below(r, 2) ? -1 : 1), word);
        return;
    }
    char turned[32], wrong[32];
    for (size_t i = 0; i < n; i++)
        turned[i] = word[n - 1 - i];
    turned[n] = 0;
    memcpy(wrong, turned, n + 1);
    size_t at = ste_rng_below(r, (uint32_t)n - 1);
    while (wrong[at] == wrong[at + 1]) /* no word here is all one letter */
        at = (at + 1) % (n - 1);
    wrong[at] = turned[at + 1];
    wrong[at + 1] = turned[at];
    ste_buf_addf(&m->prompt, "Write the word \"%s\" backwards.", word);
    ste_buf_adds(&m->chosen, turned);
    ste_buf_adds(&m->rejected, wrong);
}

static void format(struct ste_rng *r, struct made *m)
{
    const char *a = a_word(r), *b = a_word(r), *c = a_word(r);
    while (b == a)
        b = a_word(r);
    while (c == a || c == b)
        c = a_word(r);
    switch (ste_rng_below(r, 4)) {
    case 0:
        ste_buf_addf(&m->prompt, "Repeat the words %s, %s, %s in this order, in capital letters only.", a, b, c);
        for (int k = 0; k < 2; k++) {
            struct ste_buf *out = k ? &m->rejected : &m->chosen;
            const uint32_t small = k ? ste_rng_below(r, 3) : 3;
            for (uint32_t w = 0; w < 3; w++) {
                ste_buf_adds(out, w ? ", " : "");
                for (const char *p = w == 0 ? a : w == 1 ? b : c; *p; p++)
                    ste_buf_addc(out, w == small ? *p : (char)(*p - 'a' + 'A'));
            }
        }
        break;
    case 1:
        ste_buf_addf(&m->prompt, "Write a sentence about a %s that ends with the word \"%s\".", a, b);
        ste_buf_addf(&m->chosen, "There is a %s beside the %s.", a, b);
        ste_buf_addf(&m->rejected, "There is a %s beside the %s.", b, a);
        break;
    case 2:
        ste_buf_addf(&m->prompt, "Answer with a JSON object whose only key is \"%s\" and whose value is the number %u.",
                     a, 2 + ste_rng_below(r, 90));
        {
            const char *number = strrchr(m->prompt.s, ' ') + 1;
            const int digits = (int)strcspn(number, ".");
            ste_buf_addf(&m->chosen, "{\"%s\": %.*s}", a, digits, number);
            ste_buf_addf(&m->rejected, ste_rng_below(r, 2) ? "{\"%s\": \"%.*s\"}" : "{%s: %.*s}", a, digits, number);
        }
        break;
    default:
        ste_buf_addf(&m->prompt,
                     "Give a list of exactly three items: %s, %s and %s, one a line, each line beginning with a dash.",
                     a, b, c);
        ste_buf_addf(&m->chosen, "- %s\n- %s\n- %s", a, b, c);
        if (ste_rng_below(r, 2))
            ste_buf_addf(&m->rejected, "- %s\n- %s\n%s", a, b, c);
        else
            ste_buf_addf(&m->rejected, "- %s\n- %s, %s", a, b, c);
    }
}

void ste_verifiable_pairs(struct ste_answer_pairs *out, size_t n, uint64_t seed)
{
    static const struct {
        const char *name;
        void (*make)(struct ste_rng *, struct made *);
    } subsets[] = {{"arithmetic", arithmetic}, {"sorting", sorting}, {"strings", strings}, {"format", format}};
    *out = (struct ste_answer_pairs){.path = ste_xstrdup("verifiable"), .name = ste_xstrdup("verifiable"), .n = n};
    out->items = ste_xcalloc(n ? n : 1, sizeof *out->items);
    for (size_t i = 0; i < n; i++) {
        struct made m = {subsets[i % 4].name, STE_BUF_INIT, STE_BUF_INIT, STE_BUF_INIT};
        struct ste_rng r;
        ste_rng_init(&r, seed, (uint32_t)i);
        subsets[i % 4].make(&r, &m);
        struct ste_answer_pair *p = &out->items[i];
        p->id = ste_xasprintf("%s-%zu", m.subset, i / 4 + 1);
        p->line = (long)i + 1;
        p->first = ste_xstrdup(m.chosen.s);
        p->second = ste_xstrdup(m.rejected.s);
        ste_dialogue_add(&p->prompt, STE_ROLE_USER, m.prompt.s, m.prompt.len);
        p->row = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", p->id, "subset", m.subset, "prompt", m.prompt.s, "chosen",
                           m.chosen.s, "rejected", m.rejected.s);
        ste_buf_clear(&m.prompt);
        ste_buf_clear(&m.chosen);
        ste_buf_clear(&m.rejected);
    }
}
