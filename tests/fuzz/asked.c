/*
 * What the judging routes read: the first byte says which reader, the rest is the body (of the last two a
 * rendered chat, and a prompt and what goes on from it, which a NUL parts).
 */
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "data/rendered.h"
#include "serve/asked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void rendered(const char *text)
{
    struct ste_dialogue d = {0};
    const char *answer;
    ste_rendered_read(&d, text, &answer);
    if (!d.n || (answer && (answer < text || ste_rendered_answer_length(answer) > strlen(answer))))
        abort();
    ste_dialogue_clear(&d);
}

static void behind(const char *text, size_t n)
{
    const char *prompt = text, *query = memchr(text, 0, n);
    query = query ? query + 1 : text + n;
    const char *answer = ste_rendered_behind(query, prompt);
    if (answer && (answer < query || answer > query + strlen(query)))
        abort();
}

/* What a reader lets through must be whole. */
static void check(const struct ste_asked *a)
{
    for (size_t i = 0; i < a->pairs.n; i++)
        if (!a->pairs.items[i].id || !a->pairs.items[i].first || !a->pairs.items[i].second ||
            !a->pairs.items[i].prompt.n)
            abort();
    for (size_t i = 0; i < a->rows.n; i++)
        if (!a->rows.items[i].id || !a->rows.items[i].text || !a->rows.items[i].prompt.n)
            abort();
    for (size_t i = 0; i < a->n_groups; i++) {
        const struct ste_group *g = &a->groups[i];
        if (!g->id || !g->prompt.n || !g->answers.n || (g->names.n && g->names.n != g->answers.n) ||
            (a->flat && !g->places))
            abort();
    }
    if (!a->pairs.n && !a->rows.n && !a->n_groups)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static ste_asked_reader *const readers[] = {ste_asked_judge,    ste_asked_score, ste_asked_rank,    ste_asked_group,
                                                ste_asked_openrlhf, ste_asked_slime, ste_asked_classify};
    const size_t count = sizeof readers / sizeof *readers;
    if (!n)
        return 0;
    char *text = ste_xstrndup((const char *)data + 1, n - 1);
    memcpy(text, data + 1, n - 1);
    const size_t which = data[0] % (count + 2);
    struct ste_err err = {0};
    if (which == count) {
        rendered(text);
    } else if (which == count + 1) {
        behind(text, n - 1);
    } else {
        const struct ste_trainer_asks how = {.label = (enum ste_label_use)(data[0] / 16 % 3), .by = STE_REWARD_SCORE};
        json_t *body = ste_json_parse(text, n - 1, "the body", &err), *bad = json_array();
        struct ste_asked asked = {0};
        int rc = body ? readers[which](&asked, body, &how, bad, &err) : STE_EINPUT;
        if (rc == 0)
            check(&asked);
        else if (rc != STE_EINPUT || !*err.msg)
            abort();
        ste_asked_clear(&asked);
        json_decref(body);
        json_decref(bad);
    }
    ste_xfree(text);
    return 0;
}
