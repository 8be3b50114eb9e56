#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/pretokenize.h"

#include <pcre2.h>
#include <string.h>
#include <utf8proc.h>

#include "core/domain.h"
#include "core/mem.h"

/* Unicode's White_Space, written out: PCRE2's \s also takes U+180E, which is none since Unicode 6.3. */
#define SPACES                                                                                                         \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

static const struct {
    const char *name;
    bool nfc;
    const char *pattern;
} known[] = {
    /* Each digit apart, then gpt2's pattern on what lies between: so white space before a digit stands at an end. */
    {"smollm", false,
     "\\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}++| ?[^" SPACES "\\p{L}\\p{N}]++"
     "|[" SPACES "]+(?![^" SPACES "\\p{N}])|[" SPACES "]+"},
    {"qwen2", true,
     "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}++|\\p{N}| ?[^" SPACES "\\p{L}\\p{N}]++[\\r\\n]*+"
     "|[" SPACES "]*[\\r\\n]+|[" SPACES "]+(?![^" SPACES "])|[" SPACES "]+"},
};

struct ste_pretokenizer {
    bool nfc;
    pcre2_code *code;
    pcre2_match_context *context;
};

static void end_patterns(void *of, size_t n)
{
    const struct ste_pretokenizer *p = of;
    pcre2_code_free(p->code);
    pcre2_match_context_free(p->context);
}

static void end_match(void *of, size_t n)
{
    pcre2_match_data_free(of);
}

int ste_pretokenizer_new(struct ste_pretokenizer **out, struct ste_str name, struct ste_err *err)
{
    *out = NULL;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i].name) != name.n || memcmp(known[i].name, name.s, name.n))
            continue;
        int code, jit = 0;
        PCRE2_SIZE at;
        struct ste_pretokenizer *p = ste_xcalloc(1, sizeof *p);
        p->nfc = known[i].nfc;
        p->code =
            pcre2_compile((PCRE2_SPTR)known[i].pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
        p->context = pcre2_match_context_create(NULL);
        ste_own(p, 0, end_patterns);
        if (!p->context || (!p->code && code == PCRE2_ERROR_HEAP_FAILED))
            ste_no_memory(0);
        if (p->code) {
            pcre2_config(PCRE2_CONFIG_JIT, &jit);
            if (jit)
                pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* where it fails, matching is slower but the same */
        }
        if (!p->code) {
            ste_pretokenizer_free(p);
            return ste_err_set(err, STE_EFAIL,
                               "this PCRE2 library cannot compile the pattern of the pre-tokenizer %s (error %d)",
                               known[i].name, code);
        }
        /* A long run of spaces is given back one by one; the limit is there for patterns that explode, which ours do
         * not. */
        pcre2_set_match_limit(p->context, UINT32_MAX);
        *out = p;
        return 0;
    }
    return ste_err_set(err, STE_EINPUT, "the pre-tokenizer '%.*s' is not known (smollm and qwen2 are)",
                       (int)(name.n < 40 ? name.n : 40), name.s);
}

void ste_pretokenizer_free(struct ste_pretokenizer *p)
{
    if (!p)
        return;
    ste_disown(p, end_patterns);
    end_patterns(p, 0);
    ste_xfree(p);
}

/* Below U+0300 (first byte 0xCC) nothing composes with anything, so most text needs no look at all. */
static bool is_nfc_for_sure(const char *s, size_t n)
{
    unsigned char high = 0;
    for (size_t i = 0; i < n; i++)
        high = (unsigned char)s[i] > high ? (unsigned char)s[i] : high;
    return high < 0xCC;
}

static int split(const struct ste_pretokenizer *p, pcre2_match_data *match, const char *text, size_t n,
                 int (*word)(void *arg, const char *s, size_t n), void *arg, struct ste_err *err)
{
    int rc = 0;
    for (size_t at = 0; at < n && !rc;) {
        int found = pcre2_match(p->code, (PCRE2_SPTR)text, n, at, PCRE2_NO_UTF_CHECK, match, p->context);
        if (found == PCRE2_ERROR_NOMEMORY)
            ste_no_memory(0);
        if (found < 0 && found != PCRE2_ERROR_NOMATCH)
            return ste_err_set(err, STE_EFAIL, "cannot split a text of %zu bytes into words (PCRE2 error %d)", n,
                               found);
        size_t begin = n, end = n;
        if (found > 0) {
            const PCRE2_SIZE *o = pcre2_get_ovector_pointer(match);
            begin = o[0], end = o[1];
        }
        if (begin > at) /* what no alternative takes is a word too */
            rc = word(arg, text + at, begin - at);
        if (!rc && end > begin)
            rc = word(arg, text + begin, end - begin);
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
    int rc = split(p, match, text, n, word, arg, err);
    ste_disown(match, end_match);
    pcre2_match_data_free(match);
    ste_xfree(composed);
    return rc;
}
