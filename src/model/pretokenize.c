#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/pretokenize.h"

#include <pcre2.h>
#include <string.h>
#include <utf8proc.h>

#include "core/buf.h"
#include "core/domain.h"
#include "core/mem.h"

/* Unicode's White_Space, written out: PCRE2's \s also takes U+180E, which is none since Unicode 6.3. */
#define SPACES                                                                                                         \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
/* All others: within a class there is no other way to say it. */
#define NO_SPACES                                                                                                      \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}" \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"

#define SUFFIX "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LETTERS(letters) SUFFIX "|[^\\r\\n\\p{L}\\p{N}]?" letters "+|"
#define REST(symbols, ends) "| ?[^\\s" symbols "]+[\\r\\n" ends "]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(suffix)                                                                                                  \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" suffix "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" suffix "|"
#define PLAIN "\\p{L}\\p{N}"

static const struct {
    const char *name, *others; /* a space around each of the others */
    const char *stages[2];
    bool nfc, ignore_merges, add_bos;
} known[] = {
    {"llama-bpe", " llama3 llama-v3 pixtral falcon3 falcon-h1 lfm2 ",
     .stages = {LETTERS("\\p{L}") "\\p{N}{1,3}" REST(PLAIN, "")}, .ignore_merges = true, .add_bos = true},
    {"dbrx", " smaug-bpe ", .stages = {LETTERS("\\p{L}") "\\p{N}{1,3}" REST(PLAIN, "")}},
    {"qwen2", " deepseek-r1-qwen ", .stages = {LETTERS("\\p{L}") "\\p{N}" REST(PLAIN, "")}, .nfc = true},
    {"qwen35", "", .stages = {LETTERS("[\\p{L}\\p{M}]") "\\p{N}" REST("\\p{L}\\p{M}\\p{N}", "")}, .nfc = true},
    {"tekken", "", .stages = {CASED("") "\\p{N}" REST(PLAIN, "/")}, .ignore_merges = true, .add_bos = true},
    {"gpt-4o", " llama4 kanana2 ", .stages = {CASED(SUFFIX "?") "\\p{N}{1,3}" REST(PLAIN, "/")}},
    {"gpt-2", " phi-2 ", .stages = {STE_SPLIT_GPT2}},
    {"olmo", " mpt ", .stages = {STE_SPLIT_GPT2}, .nfc = true},
    {"smollm", " refact starcoder codeshell ", .stages = {STE_SPLIT_DIGIT, STE_SPLIT_GPT2}},
    {"command-r", "", .stages = {STE_SPLIT_DIGIT, STE_SPLIT_GPT2}, .nfc = true},
};
enum { N_KNOWN = sizeof known / sizeof *known };

static struct ste_split split_at(size_t i)
{
    struct ste_split s = {.nfc = known[i].nfc, .ignore_merges = known[i].ignore_merges, .add_bos = known[i].add_bos};
    for (; s.n < 2 && known[i].stages[s.n]; s.n++)
        s.stages[s.n] = (struct ste_str){known[i].stages[s.n], strlen(known[i].stages[s.n])};
    return s;
}

int ste_split_named(struct ste_split *out, struct ste_str name, struct ste_err *err)
{
    struct ste_buf list = STE_BUF_INIT;
    for (size_t i = 0; i < N_KNOWN; i++) {
        const char *others = known[i].others, *at = memmem(others, strlen(others), name.s, name.n);
        if ((strlen(known[i].name) == name.n && !memcmp(known[i].name, name.s, name.n)) ||
            (at > others && at[-1] == ' ' && at[name.n] == ' ')) {
            *out = split_at(i);
            ste_buf_clear(&list);
            return 0;
        }
        ste_buf_addc(&list, ' ');
        ste_buf_adds(&list, known[i].name);
        ste_buf_add(&list, others, others[0] ? strlen(others) - 1 : 0);
    }
    int rc = ste_err_set(err, STE_EINPUT, "the pre-tokenizer '%.*s' is not known (these are:%s)",
                         (int)(name.n < 40 ? name.n : 40), name.s, list.s);
    ste_buf_clear(&list);
    return rc;
}

static bool same_stages(const struct ste_split *a, const struct ste_split *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; i < a->n && same; i++)
        same = a->stages[i].n == b->stages[i].n && !memcmp(a->stages[i].s, b->stages[i].s, a->stages[i].n);
    return same;
}

const char *ste_split_name(const struct ste_split *s, const char **splits)
{
    *splits = NULL;
    for (size_t i = 0; i < N_KNOWN; i++) {
        struct ste_split k = split_at(i);
        if (!same_stages(s, &k))
            continue;
        if (s->nfc == k.nfc && s->ignore_merges == k.ignore_merges)
            return *splits = known[i].name;
        if (!*splits)
            *splits = known[i].name;
    }
    return NULL;
}

/* ---- expressions ---- */

/* PCRE2's way to write an expression of Oniguruma's. What the two read differently is refused. */
static int translate(struct ste_str from, struct ste_buf *out, struct ste_err *err)
{
    bool class = false, interval = false;
    for (uint64_t i = 0; i < from.n; i++) {
        const char c = from.s[i], next = i + 1 < from.n ? from.s[i + 1] : 0;
        const char *odd = NULL;
        if (c == '\\' && (next == 'h' || next == 'H'))
            odd = "\\h";
        else if (class && c == '[' && next != ':')
            odd = "a class within a class";
        else if (class && c == '&' && next == '&')
            odd = "&& in a class";
        else if (interval && c == '}' && next == '+')
            odd = "}+ behind an interval";
        if (c == '{' || c == '}')
            interval = c == '{' && next >= '0' && next <= '9';
        if (odd)
            return ste_err_set(err, STE_EINPUT, "the expression '%.*s' has %s, which ste does not read",
                               (int)(from.n < 200 ? from.n : 200), from.s, odd);
        if (c == '\\' && (next == 's' || next == 'S')) {
            ste_buf_adds(out, class ? "" : next == 's' ? "[" : "[^");
            ste_buf_adds(out, class && next == 'S' ? NO_SPACES : SPACES);
            ste_buf_adds(out, class ? "" : "]");
            i++;
            continue;
        }
        ste_buf_addc(out, c);
        if (c == '\\' || (class && c == '[')) {
            ste_buf_addc(out, next);
            i++;
        } else if (c == '[') {
            class = true;
            for (; i + 1 < from.n && (from.s[i + 1] == '^' || from.s[i + 1] == ']'); i++) {
                ste_buf_addc(out, from.s[i + 1]);
                if (from.s[i + 1] == ']') {
                    i++;
                    break;
                }
            }
        } else if (class && c == ']')
            class = false;
    }
    return 0;
}

struct ste_pretokenizer {
    bool nfc;
    pcre2_code *code[STE_SPLIT_MAX];
    size_t n;
    pcre2_match_context *context;
};

static void end_patterns(void *of, size_t n)
{
    const struct ste_pretokenizer *p = of;
    for (size_t i = 0; i < p->n; i++)
        pcre2_code_free(p->code[i]);
    pcre2_match_context_free(p->context);
}

static void end_match(void *of, size_t n)
{
    pcre2_match_data_free(of);
}

static int compile(struct ste_pretokenizer *p, struct ste_str expression, struct ste_err *err)
{
    struct ste_buf pattern = STE_BUF_INIT;
    int code = 0, jit = 0, rc = translate(expression, &pattern, err);
    PCRE2_SIZE at = 0;
    if (!rc)
        p->code[p->n] = pcre2_compile((PCRE2_SPTR)pattern.s, pattern.len, PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE,
                                      &code, &at, NULL);
    ste_buf_clear(&pattern);
    if (rc)
        return rc;
    if (!p->code[p->n] && code == PCRE2_ERROR_HEAP_FAILED)
        ste_no_memory(0);
    if (!p->code[p->n])
        return ste_err_set(err, STE_EINPUT, "PCRE2 cannot compile the splitting expression '%.*s' (error %d)",
                           (int)(expression.n < 200 ? expression.n : 200), expression.s, code);
    pcre2_config(PCRE2_CONFIG_JIT, &jit);
    if (jit)
        pcre2_jit_compile(p->code[p->n], PCRE2_JIT_COMPLETE); /* where it fails, matching is slower but the same */
    p->n++;
    return 0;
}

/* Digits apart and then gpt2's expression, as one, which is faster: so white space before a digit stands at an end. */
static const char digits_gpt2[] = "\\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?[^\\s\\p{L}\\p{N}]+"
                                  "|\\s+(?![^" SPACES "\\p{N}])|\\s+";

int ste_pretokenizer_new(struct ste_pretokenizer **out, const struct ste_split *s, struct ste_err *err)
{
    struct ste_pretokenizer *p = ste_xcalloc(1, sizeof *p);
    const struct ste_split two = {
        .stages = {{STE_SPLIT_DIGIT, sizeof STE_SPLIT_DIGIT - 1}, {STE_SPLIT_GPT2, sizeof STE_SPLIT_GPT2 - 1}}, .n = 2};
    const struct ste_split one = {.stages = {{digits_gpt2, sizeof digits_gpt2 - 1}}, .n = 1};
    const char *any;
    int rc = 0;
    *out = NULL;
    p->nfc = s->nfc;
    p->context = pcre2_match_context_create(NULL);
    ste_own(p, 0, end_patterns);
    if (!p->context)
        ste_no_memory(0);
    /* A long run of spaces is given back one by one, so our expressions have no limit; one that a file brings may
     * explode and has. */
    if (ste_split_name(s, &any), any)
        pcre2_set_match_limit(p->context, UINT32_MAX);
    if (same_stages(s, &two))
        s = &one;
    for (size_t i = 0; i < s->n && !rc; i++)
        rc = compile(p, s->stages[i], err);
    *out = p;
    if (rc) {
        ste_pretokenizer_free(p);
        *out = NULL;
    }
    return rc;
}

void ste_pretokenizer_free(struct ste_pretokenizer *p)
{
    if (!p)
        return;
    ste_disown(p, end_patterns);
    end_patterns(p, 0);
    ste_xfree(p);
}

/* ---- splitting ---- */

/* Below U+0300 (first byte 0xCC) nothing composes with anything, so most text needs no look at all. */
static bool is_nfc_for_sure(const char *s, size_t n)
{
    unsigned char high = 0;
    for (size_t i = 0; i < n; i++)
        high = (unsigned char)s[i] > high ? (unsigned char)s[i] : high;
    return high < 0xCC;
}

struct splitting {
    const struct ste_pretokenizer *p;
    pcre2_match_data *match;
    int (*word)(void *arg, const char *s, size_t n);
    void *arg;
    struct ste_err *err;
};

static int split(const struct splitting *w, size_t stage, const char *text, size_t n);

static int piece(const struct splitting *w, size_t stage, const char *s, size_t n)
{
    if (!n)
        return 0;
    return stage + 1 < w->p->n ? split(w, stage + 1, s, n) : w->word(w->arg, s, n);
}

static int split(const struct splitting *w, size_t stage, const char *text, size_t n)
{
    int rc = 0;
    for (size_t at = 0; at < n && !rc;) {
        int found = pcre2_match(w->p->code[stage], (PCRE2_SPTR)text, n, at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY,
                                w->match, w->p->context);
        if (found == PCRE2_ERROR_NOMEMORY)
            ste_no_memory(0);
        if (found < 0 && found != PCRE2_ERROR_NOMATCH)
            return ste_err_set(w->err, STE_EFAIL, "cannot split a text of %zu bytes into words (PCRE2 error %d)", n,
                               found);
        size_t begin = n, end = n;
        if (found >= 0) {
            const PCRE2_SIZE *o = pcre2_get_ovector_pointer(w->match);
            begin = o[0], end = o[1];
        }
        rc = piece(w, stage, text + at, begin - at); /* what no alternative takes is a word too */
        if (!rc)
            rc = piece(w, stage, text + begin, end - begin);
        at = end;
    }
    return rc;
}

int ste_pretokenize(const struct ste_pretokenizer *p, const char *text, size_t n,
                    int (*word)(void *arg, const char *s, size_t n), void *arg, struct ste_err *err)
{
    utf8proc_uint8_t *composed = NULL;
    if (p->nfc && !is_nfc_for_sure(text, n)) {
        utf8proc_ssize_t len = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &composed,
                                            UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        if (len == UTF8PROC_ERROR_NOMEM)
            ste_no_memory(0);
        if (len < 0)
            return ste_err_set(err, STE_EINPUT, "cannot bring a text into Unicode's form NFC: %s",
                               utf8proc_errmsg(len));
        text = ste_xtake(composed, (size_t)len);
        n = (size_t)len;
    }
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    if (!match)
        ste_no_memory(0);
    ste_own(match, 0, end_match);
    const struct splitting w = {p, match, word, arg, err};
    int rc = p->n ? split(&w, 0, text, n) : n ? word(arg, text, n) : 0;
    ste_disown(match, end_match);
    pcre2_match_data_free(match);
    ste_xfree(composed);
    return rc;
}
