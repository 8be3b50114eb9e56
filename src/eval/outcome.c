#include <string.h>

#include "core/hash.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "eval/eval.h"

/* Markdown that a reader would see as form: a heading, a list, bold, a table or code. */
static bool formatted(const char *text)
{
    static const char *const starts[] = {"# ", "## ", "### ", "- ", "* ", "1. ", "| ", "```"};
    if (strstr(text, "**") || strstr(text, "```"))
        return true;
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
            if (strncmp(line + strspn(line, " "), starts[i], strlen(starts[i])) == 0)
                return true;
    return false;
}

void ste_outcome_sides(struct ste_outcome *o, const char *chosen, const char *rejected)
{
    size_t x = ste_utf8_length(chosen), y = ste_utf8_length(rejected);
    o->side[STE_BIAS_LENGTH] = (signed char)((x > y) - (x < y));
    o->side[STE_BIAS_FORMAT] = (signed char)(formatted(chosen) - formatted(rejected));
}

static void set_sides(struct ste_outcome *o, const struct ste_answer_pair *p)
{
    ste_outcome_sides(o, p->first, p->second);
    const json_t *drawn = json_object_get(p->row, "is_shuffled");
    o->drawn = (signed char)(json_is_boolean(drawn) ? json_is_true(drawn) : -1);
}

static uint64_t prompt_key(const struct ste_dialogue *d)
{
    struct ste_buf b = STE_BUF_INIT;
    ste_dialogue_canonical(d, &b);
    const uint64_t key = ste_key_of(b.s, NULL);
    ste_buf_clear(&b);
    return key;
}

void ste_outcome_begin(struct ste_outcome *o, const struct ste_answer_pair *p, bool judged)
{
    *o = (struct ste_outcome){.judged = judged, .prompt_key = prompt_key(&p->prompt), .tie = p->tied};
    set_sides(o, p);
    for (int order = 0; order < 2; order++)
        ste_judgment_clear(&o->order[order]);
}

void ste_outcome_too_long(struct ste_outcome *o)
{
    o->skipped = true;
    for (int order = 0; order < 2; order++) {
        ste_judgment_clear(&o->order[order]);
        o->order[order].reason = STE_INVALID_TOO_LONG;
    }
}

void ste_outcomes_clear(struct ste_outcome *o, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (int order = 0; order < 2; order++)
            ste_judgment_clear(&o[i].order[order]);
}
