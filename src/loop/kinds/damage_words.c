/* Damage to a word, a number or a sign. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/buf.h"
#include "core/mem.h"
#include "loop/kinds/damage.h"

bool ste_damage_in_code(const char *text, size_t at)
{
    bool code = false;
    for (const char *p = text; (p = strstr(p, "```")) && p < text + at; p += 3)
        code = !code;
    return code;
}

void ste_spots_add(struct ste_spots *s, size_t at, size_t n, const char *put)
{
    STE_GROW(s->items, s->cap, s->n + 1);
    s->items[s->n++] = (struct ste_spot){at, n, ste_xstrdup(put)};
}

char *ste_spots_draw(struct ste_spots *s, const char *text, struct ste_rng *r)
{
    const struct ste_spot *x = s->n ? &s->items[ste_rng_below(r, (uint32_t)s->n)] : NULL;
    char *out = x ? ste_xasprintf("%.*s%s%s", (int)x->at, text, x->put, text + x->at + x->n) : NULL;
    for (size_t i = 0; i < s->n; i++)
        ste_xfree(s->items[i].put);
    ste_xfree(s->items);
    *s = (struct ste_spots){0};
    return out;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (c & 0x80);
}

static char before(const char *text, const char *p)
{
    return p > text ? p[-1] : '\n';
}

/* A whole word WORD at P, in lower case or with a capital letter. */
static bool word_at(const char *text, const char *p, const char *word)
{
    const size_t n = strlen(word);
    return strncasecmp(p, word, n) == 0 && (p[0] == word[0] || isupper((unsigned char)p[0])) &&
           strncmp(p + 1, word + 1, n - 1) == 0 && !is_word(before(text, p)) && !is_word(p[n]);
}

/* The word that ends right before the blank before P is one of LIST, which is words between blanks. */
static bool word_before(const char *text, const char *p, const char *list)
{
    const char *end = p, *start;
    while (end > text && end[-1] == ' ')
        end--;
    for (start = end; start > text && is_word(start[-1]);)
        start--;
    char word[24];
    if (start == end || (size_t)(end - start) > sizeof word - 3)
        return false;
    snprintf(word, sizeof word, " %.*s ", (int)(end - start), start);
    return strcasestr(list, word) != NULL;
}

static bool word_after(const char *p, const char *list)
{
    char word[24];
    size_t n = 0;
    p += strspn(p, " ");
    while (is_word(p[n]) || p[n] == '\'')
        n++;
    if (n == 0 || n > sizeof word - 3)
        return false;
    snprintf(word, sizeof word, " %.*s ", (int)n, p);
    return strcasestr(list, word) != NULL;
}

/* ---- numbers ---- */

/* The number that stands by itself at P: its bytes, or 0. Those that count a list, name a step or a version do not. */
static size_t number_at(const char *text, const char *p)
{
    static const char names[] = " step steps part example option chapter question section figure page line python ";
    if (!isdigit((unsigned char)*p) || is_word(before(text, p)) || strchr(".^#", before(text, p)))
        return 0;
    size_t n = 1;
    while (isdigit((unsigned char)p[n]) || (strchr(".,", p[n]) && p[n] && isdigit((unsigned char)p[n + 1])))
        n++;
    const char *line = p;
    while (line > text && strchr(" \t*#", line[-1]))
        line--;
    const bool starts = line == text || line[-1] == '\n';
    if (is_word(p[n]) || (starts && strchr(".):", p[n]) && p[n]) || word_before(text, p, names))
        return 0;
    return n;
}

/* Another digit in the place of one of the N at P, not of the noughts it ends with. */
static void other_digit(const char *p, size_t n, char *out, struct ste_rng *r)
{
    size_t places[32], k = 0, end = n;
    while (end > 1 && !memchr(p, '.', n) && (p[end - 1] == '0' || p[end - 1] == ','))
        end--;
    for (size_t i = n > 2 && end > 1; i < end && k < 32; i++) /* a long number stays as large as it was */
        if (isdigit((unsigned char)p[i]))
            places[k++] = i;
    const size_t at = places[ste_rng_below(r, (uint32_t)k)];
    memcpy(out, p, n);
    out[n] = 0;
    /* No new nought in front, and no new 1: what it counts stands in the plural. */
    const int least = n == 1 ? 2 : at == 0;
    do
        out[at] = (char)('0' + least + (int)ste_rng_below(r, (uint32_t)(10 - least)));
    while (out[at] == p[at]);
}

/* Results, if there are some; and the same number where it comes again, as a slip goes on to the end. */
char *ste_damage_number(const struct ste_damage *d, struct ste_rng *r)
{
    enum { MOST = 64 };
    struct place {
        const char *p;
        size_t n;
        bool result;
    } places[MOST];
    size_t k = 0, results = 0, n;
    for (const char *p = d->text; *p && k < MOST; p++) {
        if (!(n = number_at(d->text, p)) || n > 24)
            continue;
        const char *sign = p;
        while (sign > d->text && strchr(" $", sign[-1]))
            sign--;
        const bool result = before(d->text, sign) == '=';
        if (n > 1 || *p != '1' || result)
            places[k++] = (struct place){p, n, result};
        results += result;
        p += n - 1;
    }
    if (!k)
        return NULL;
    uint32_t draw = ste_rng_below(r, (uint32_t)(results ? results : k));
    size_t i = 0;
    while ((results && !places[i].result) || draw-- > 0)
        i++;
    char put[32];
    other_digit(places[i].p, places[i].n, put, r);
    struct ste_buf out = STE_BUF_INIT;
    const char *from = d->text;
    for (size_t m = i; m < k; m++) {
        if (places[m].n != places[i].n || strncmp(places[m].p, places[i].p, places[i].n) != 0)
            continue;
        ste_buf_add(&out, from, (size_t)(places[m].p - from));
        ste_buf_adds(&out, put);
        from = places[m].p + places[m].n;
    }
    ste_buf_adds(&out, from);
    return ste_buf_detach(&out);
}

/* ---- signs and words of code ---- */

/* P stands in a block of code, and in no comment and no string there. */
static bool in_statement(const char *text, const char *p)
{
    if (!ste_damage_in_code(text, (size_t)(p - text)))
        return false;
    char quote = 0;
    const char *line = p;
    while (line > text && line[-1] != '\n')
        line--;
    if (strncmp(line, "```", 3) == 0)
        return false;
    for (; line < p; line++) {
        if (quote ? *line == quote : *line == '"' || *line == '\'')
            quote = quote ? 0 : *line;
        else if (!quote && (*line == '#' || strncmp(line, "//", 2) == 0))
            return false;
    }
    return !quote;
}

struct swap {
    const char *from, *to;
};

static void add_swaps(const struct ste_damage *d, const struct swap *swaps, size_t n, struct ste_spots *s)
{
    for (const char *p = d->text; *p; p++)
        for (size_t i = 0; i < n; i++) {
            const size_t len = strlen(swaps[i].from);
            if (strncmp(p, swaps[i].from, len) == 0 && !(is_word(*p) && is_word(before(d->text, p))) &&
                !(is_word(p[len - 1]) && is_word(p[len])) && in_statement(d->text, p))
                ste_spots_add(s, (size_t)(p - d->text), len, swaps[i].to);
        }
}

/* A sign between two numbers or names that are reckoned with: "3 + 4", "(a + b) - c". */
static bool reckons(const char *text, const char *p, size_t n)
{
    if (p < text + 2 || p[-1] != ' ' || p[n] != ' ')
        return false;
    const char left = p[-2], right = p[n + 1];
    const bool name = (p < text + 3 || !is_word(p[-3])) && isalpha((unsigned char)left);
    return (isdigit((unsigned char)left) || strchr(")%$", left) || name) &&
           (isalnum((unsigned char)right) || strchr("($\\", right)) && right;
}

char *ste_damage_operator(const struct ste_damage *d, struct ste_rng *r)
{
    static const struct swap signs[] = {{"+", "-"}, {"-", "+"},           {"*", "/"},
                                        {"/", "*"}, {"\u00d7", "\u00f7"}, {"\u00f7", "\u00d7"}},
                             code[] = {{" and ", " or "}, {" or ", " and "}, {" == ", " != "},    {" != ", " == "},
                                       {"True", "False"}, {"False", "True"}, {"true", "false"},   {"false", "true"},
                                       {" += ", " -= "},  {" -= ", " += "},  {"min(", "max("},    {"max(", "min("},
                                       {" && ", " || "},  {" || ", " && "},  {" not in ", " in "}};
    struct ste_spots s = {0};
    for (const char *p = d->text; *p; p++)
        for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
            const size_t n = strlen(signs[i].from);
            if (strncmp(p, signs[i].from, n) == 0 && reckons(d->text, p, n))
                ste_spots_add(&s, (size_t)(p - d->text), n, signs[i].to);
        }
    add_swaps(d, code, sizeof code / sizeof *code, &s);
    return ste_spots_draw(&s, d->text, r);
}

/* "range(n)", "a <= b", "x[0]", "n - 1": each one off. */
char *ste_damage_off_by_one(const struct ste_damage *d, struct ste_rng *r)
{
    static const struct swap swaps[] = {{" <= ", " < "},    {" >= ", " > "},  {" < ", " <= "},  {" > ", " >= "},
                                        {"[0]", "[1]"},     {"[1]", "[0]"},   {"[-1]", "[-2]"}, {"[1:]", "[2:]"},
                                        {"[:-1]", "[:-2]"}, {"+ 1]", "+ 2]"}, {"- 1]", "- 2]"}, {"[i]", "[i - 1]"},
                                        {"== 0", "== 1"},   {"+ 1)", "+ 2)"}, {"- 1)", "- 2)"}};
    struct ste_spots s = {0};
    add_swaps(d, swaps, sizeof swaps / sizeof *swaps, &s);
    for (const char *p = d->text; (p = strstr(p, "range(")); p += 6) {
        const char *close = p + 6;
        for (int depth = 1; *close && *close != '\n'; close++)
            if ((depth += (*close == '(') - (*close == ')')) == 0)
                break;
        if (*close == ')' && close > p + 6 && in_statement(d->text, p))
            ste_spots_add(&s, (size_t)(close - d->text), 0,
                          strncmp(close - 4, " + 1", 4) == 0 || ste_rng_below(r, 2) ? " - 1" : " + 1");
    }
    return ste_spots_draw(&s, d->text, r);
}

/* ---- words ---- */

char *ste_damage_unit(const struct ste_damage *d, struct ste_rng *r)
{
    static const char *const groups[][8] = {
        {"seconds", "minutes", "hours", "days", "weeks", "months", "years"},
        {"second", "minute", "hour", "day", "week", "month", "year"},
        {"milligrams", "grams", "kilograms"},
        {"mg", "g", "kg"},
        {"millimeters", "centimeters", "meters", "kilometers"},
        {"mm", "cm", "m", "km"},
        {"inches", "feet", "yards", "miles"},
        {"milliliters", "liters"},
        {"ml", "cl"},
        {"teaspoons", "tablespoons", "cups"},
        {"teaspoon", "tablespoon", "cup"},
        {"ounces", "pounds"},
        {"cents", "dollars"},
        {"thousand", "million", "billion"},
        {"KB", "MB", "GB", "TB"},
        {"watts", "kilowatts"},
        {"Celsius", "Fahrenheit"},
        {"\u00b0C", "\u00b0F"},
    };
    static const char numbers[] = " two three four five six seven eight nine ten twelve twenty thirty sixty hundred "
                                  "thousand few several many degrees ";
    struct ste_spots s = {0};
    for (const char *p = d->text; *p; p++)
        for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
            for (size_t i = 0; i < 8 && groups[g][i]; i++) {
                const size_t n = strlen(groups[g][i]);
                const char *left = p;
                while (left > d->text && strchr(" -", left[-1]))
                    left--;
                const bool counted = isdigit((unsigned char)before(d->text, left)) || word_before(d->text, p, numbers);
                if (!counted || strncmp(p, groups[g][i], n) != 0 || is_word(p[n]) ||
                    isalpha((unsigned char)before(d->text, p)))
                    continue;
                for (size_t k = 0; k < 8 && groups[g][k]; k++)
                    if (k != i)
                        ste_spots_add(&s, (size_t)(p - d->text), n, groups[g][k]);
            }
    return ste_spots_draw(&s, d->text, r);
}

/* Whether the sentence that P stands in asks something. */
static bool is_question(const char *p)
{
    return p[strcspn(p, ".?!\n")] == '?';
}

char *ste_damage_negation(const struct ste_damage *d, struct ste_rng *r)
{
    static const struct swap out[] = {
        {" is not ", " is "},     {" are not ", " are "},       {" was not ", " was "},     {" were not ", " were "},
        {" will not ", " will "}, {" should not ", " should "}, {" must not ", " must "},   {" cannot ", " can "},
        {" can not ", " can "},   {" could not ", " could "},   {" would not ", " would "}, {" does not ", " does "},
        {" do not ", " do "},     {" did not ", " did "},       {" isn't ", " is "},        {" aren't ", " are "},
        {" wasn't ", " was "},    {" weren't ", " were "},      {" won't ", " will "},      {" shouldn't ", " should "},
        {" can't ", " can "},     {" couldn't ", " could "},    {" wouldn't ", " would "},  {" doesn't ", " does "},
        {" don't ", " do "},      {" didn't ", " did "},        {"Do not ", "Always "},     {"Don't ", "Always "},
        {"Never ", "Always "},    {" never ", " always "}};
    static const struct swap in[] = {{" is ", " is not "},
                                     {" are ", " are not "},
                                     {" was ", " was not "},
                                     {" were ", " were not "},
                                     {" will ", " will not "},
                                     {" should ", " should not "},
                                     {" must ", " must not "},
                                     {" can ", " cannot "},
                                     {" could ", " could not "},
                                     {" would ", " would not "},
                                     {"Always ", "Never "},
                                     {" always ", " never "},
                                     {" has been ", " has not been "},
                                     {" have been ", " have not been "}};
    static const char ask[] =
        " what which who how why where when there here whether if as nobody none nothing no neither ";
    static const char next[] = " not also only just still even all both always never no some often usually either "
                               "likely mostly typically generally many several as because when where nothing none "
                               "necessarily neither you we they i he she it each n't ";
    struct ste_spots fewer = {0}, more = {0};
    for (const char *p = d->text; *p; p++) {
        if (ste_damage_in_code(d->text, (size_t)(p - d->text)) || is_question(p))
            continue;
        for (size_t i = 0; i < sizeof out / sizeof *out; i++) {
            const size_t n = strlen(out[i].from);
            if (strncmp(p, out[i].from, n) == 0 && !(*p != ' ' && is_word(before(d->text, p))) &&
                !word_after(p + n, " only just necessarily always "))
                ste_spots_add(&fewer, (size_t)(p - d->text), n, out[i].to);
        }
        for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
            const size_t n = strlen(in[i].from);
            if (strncmp(p, in[i].from, n) == 0 && !(*p != ' ' && is_word(before(d->text, p))) &&
                !word_after(p + n, next) && !word_before(d->text, p, ask))
                ste_spots_add(&more, (size_t)(p - d->text), n, in[i].to);
        }
    }
    /* As often taken out as put in, where both can be: so that "not" by itself says nothing. */
    const bool take = fewer.n && (!more.n || ste_rng_below(r, 2));
    char *with = ste_spots_draw(&more, d->text, r), *without = ste_spots_draw(&fewer, d->text, r);
    ste_xfree(take ? with : without);
    return take ? without : with;
}

static bool vowel(char c)
{
    return c && strchr("aeiouAEIOU", c) != NULL;
}

char *ste_damage_opposite(const struct ste_damage *d, struct ste_rng *r)
{
    /* clang-format off */
    static const char *const words[][2] = {
        {"increase", "decrease"}, {"increases", "decreases"}, {"increased", "decreased"},
        {"increasing", "decreasing"}, {"higher", "lower"}, {"highest", "lowest"}, {"larger", "smaller"},
        {"largest", "smallest"}, {"before", "after"}, {"above", "below"}, {"maximum", "minimum"},
        {"positive", "negative"}, {"north", "south"}, {"northern", "southern"}, {"east", "west"},
        {"eastern", "western"}, {"true", "false"}, {"inside", "outside"}, {"older", "younger"}, {"faster", "slower"},
        {"longer", "shorter"}, {"easy", "difficult"}, {"cheap", "expensive"}, {"the most", "the least"},
        {"internal", "external"}, {"horizontal", "vertical"}, {"ascending", "descending"}, {"input", "output"},
        {"uppercase", "lowercase"}, {"plus", "minus"}, {"better", "worse"}, {"best", "worst"}, {"improve", "worsen"},
        {"improves", "worsens"}, {"strengthen", "weaken"}, {"add", "subtract"}, {"multiply", "divide"},
        {"multiplied", "divided"}, {"hot", "cold"}, {"early", "late"}, {"earlier", "later"}, {"healthy", "unhealthy"},
        {"important", "unimportant"}, {"safe", "unsafe"}, {"similar", "different"}, {"advantages", "disadvantages"},
        {"strong", "weak"}, {"wet", "dry"}, {"full", "empty"}, {"greater than", "less than"},
        {"more than", "less than"}, {"known", "unknown"}, {"direct", "indirect"}, {"active", "passive"},
        {"public", "private"}, {"rich", "poor"}, {"clear", "unclear"}, {"reduce", "increase"},
        {"reduces", "increases"}, {"reducing", "increasing"}, {"encourage", "discourage"}, {"success", "failure"}
    };
    /* clang-format on */
    struct ste_spots s = {0};
    for (const char *p = d->text; *p; p++)
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            for (int k = 0; k < 2; k++) {
                const char *from = words[i][k], *to = words[i][!k];
                if (!word_at(d->text, p, from) || ste_damage_in_code(d->text, (size_t)(p - d->text)))
                    continue;
                if (word_before(d->text, p, " a an ") && vowel(*from) != vowel(*to))
                    continue; /* its article would give it away */
                char put[24];
                snprintf(put, sizeof put, "%s", to);
                if (isupper((unsigned char)*p))
                    put[0] = (char)toupper((unsigned char)put[0]);
                ste_spots_add(&s, (size_t)(p - d->text), strlen(from), put);
            }
    return ste_spots_draw(&s, d->text, r);
}
