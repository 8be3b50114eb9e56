/* The page of a run: how its judges came about. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "report/fields.h"
#include "report/html.h"
#include "report/page_run.h"

/* ---- the funnel ---- */

/* Bars whose parts and names they own. */
struct bars {
    struct ste_chart_bar *items;
    size_t n, cap;
    struct ste_strings labels;
};

static int falling(const void *a, const void *b)
{
    const struct ste_chart_part *x = a, *y = b;
    return x->size < y->size ? 1 : x->size > y->size ? -1 : strcmp(x->name, y->name);
}

/* Adds the states of G: FIRST, which goes on (NULL: none does), before the others, the largest first. */
static void add_bar(struct bars *b, const char *label, const json_t *g, const char *first)
{
    json_t *states = json_object_get(g, "states"), *v;
    const char *name;
    struct ste_chart_part *parts = ste_xcalloc(json_object_size(states) + 1, sizeof *parts);
    const size_t sorted = first ? 1 : 0;
    size_t n = 0;
    if (first)
        parts[n++] = (struct ste_chart_part){first, (double)ste_field_whole(states, first)};
    json_object_foreach(states, name, v) if (!first || strcmp(name, first) != 0) parts[n++] =
        (struct ste_chart_part){name, (double)json_integer_value(v)};
    for (size_t i = sorted + 1; i < n; i++) /* few of them */
        for (size_t k = i; k > sorted && falling(&parts[k - 1], &parts[k]) > 0; k--) {
            const struct ste_chart_part swap = parts[k];
            parts[k] = parts[k - 1];
            parts[k - 1] = swap;
        }
    STE_GROW(b->items, b->cap, b->n + 1);
    ste_strings_add(&b->labels, label);
    b->items[b->n++] = (struct ste_chart_bar){NULL, parts, n};
}

static void draw(struct ste_buf *out, const struct ste_chart *c, struct bars *b, enum ste_chart_scale scale,
                 const char *unit)
{
    for (size_t i = 0; i < b->n; i++)
        b->items[i].label = b->labels.items[i];
    if (b->n)
        ste_chart_bars(out, c, b->items, b->n, scale, unit);
    for (size_t i = 0; i < b->n; i++)
        ste_xfree((void *)(uintptr_t)b->items[i].parts);
    ste_xfree(b->items);
    ste_strings_clear(&b->labels);
    *b = (struct bars){0};
}

static bool some(const json_t *g)
{
    return ste_field_whole(g, "total") > 0;
}

/* What does not flow on, but is counted beside. */
static void aside(struct ste_buf *out, const json_t *f)
{
    static const struct {
        const char *key, *label;
    } groups[] = {{"split", "kept instructions by part"},
                  {"made_again", "disputed pairs made again as other"},
                  {"rules", "pairs damaged by a rule, by rule"},
                  {"tests", "runs of code in the sandbox"}};
    struct bars b = {0};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        const json_t *g = json_object_get(f, groups[i].key);
        if (some(g))
            add_bar(&b, groups[i].label, g, NULL);
    }
    const struct ste_chart c = {
        .id = "funnel-aside", .title = "Counted beside.", .about = "Each bar by itself.", .x = "number", .y = "what"};
    draw(out, &c, &b, STE_CHART_OWN, "");
}

static void judged(struct ste_buf *out, const json_t *f)
{
    struct bars b = {0};
    const json_t *t;
    size_t i;
    json_array_foreach(json_object_get(f, "iterations"), i, t)
    {
        char label[64];
        snprintf(label, sizeof label, "iteration %lld: judgments", ste_field_whole(t, "iteration"));
        add_bar(&b, label, json_object_get(t, "judgments"), "right");
        snprintf(label, sizeof label, "iteration %lld: pairs", ste_field_whole(t, "iteration"));
        if (some(json_object_get(t, "outcomes")))
            add_bar(&b, label, json_object_get(t, "outcomes"), "kept");
        snprintf(label, sizeof label, "iteration %lld: examples by label", ste_field_whole(t, "iteration"));
        if (some(json_object_get(t, "examples")))
            add_bar(&b, label, json_object_get(t, "examples"), "A");
    }
    const struct ste_chart c = {
        .id = "funnel-iterations",
        .title = "In each iteration.",
        .about = "The judgments of the training pairs, what became of these pairs, and the examples that were made of "
                 "them. Each bar by itself: a pair has several judgments.",
        .x = "number",
        .y = "what"};
    draw(out, &c, &b, STE_CHART_OWN, "");
}

void ste_page_funnel(struct ste_buf *out, const json_t *f)
{
    struct bars b = {0};
    add_bar(&b, "instructions read", json_object_get(f, "instructions"), "kept");
    add_bar(&b, "pairs of the kept ones", json_object_get(f, "pairs"), "kept");
    add_bar(&b, "usable pairs by part", json_object_get(f, "pairs_split"), "train");
    const struct ste_chart c = {
        .id = "funnel-flow",
        .title = "From instructions to training pairs.",
        .about = "The first part of each bar goes on as the next bar; what stands beside it was "
                 "dropped. The parts stand in the order of the table, which names them, and add up to their bar.",
        .x = "number",
        .y = "stage"};
    ste_buf_adds(out, "<div class=\"charts\">\n");
    draw(out, &c, &b, STE_CHART_FLOW, "");
    judged(out, f);
    aside(out, f);
    ste_buf_adds(out, "</div>\n");
}

/* ---- kinds ---- */

void ste_page_kinds(struct ste_buf *out, const json_t *report)
{
    const json_t *k;
    struct bars b = {0};
    size_t i;
    json_array_foreach(json_object_get(report, "kinds"), i, k)
    {
        const long long pairs = ste_field_whole(k, "pairs"), kept = ste_field_whole(k, "kept"),
                        disputed = ste_field_whole(k, "checked_out");
        struct ste_chart_part *parts = ste_xcalloc(3, sizeof *parts);
        parts[0] = (struct ste_chart_part){"usable", (double)kept};
        parts[1] = (struct ste_chart_part){"dropped by the check", (double)disputed};
        parts[2] = (struct ste_chart_part){"dropped before", (double)(pairs - kept - disputed)};
        STE_GROW(b.items, b.cap, b.n + 1);
        ste_strings_add(&b.labels, ste_field_text(k, "kind"));
        b.items[b.n++] = (struct ste_chart_bar){NULL, parts, 3};
    }
    const struct ste_chart c = {.id = "kinds-yield",
                                .title = "Yield by kind of pair.",
                                .about = "How many of the pairs that were made are usable.",
                                .x = "pairs",
                                .y = "kind"};
    if (b.n == 0)
        ste_buf_adds(out, "<p>No pair has been made yet.</p>\n");
    draw(out, &c, &b, STE_CHART_COMMON, "");
    if (json_array_size(json_object_get(report, "kinds"))) {
        static const struct ste_page_column columns[] = {{"kind", "kind", 0},
                                                         {"kept", "usable", 0},
                                                         {"chosen_chars", "characters, chosen", 1},
                                                         {"rejected_chars", "rejected", 1},
                                                         {"chosen_longer", "chosen is longer", 3},
                                                         {"chosen_marked", "Markdown, chosen", 3},
                                                         {"rejected_marked", "rejected", 3},
                                                         {"margin", "margin, nats", 2},
                                                         {0}};
        ste_buf_adds(
            out, "<h3>What could give a label away</h3>\n<p>Means over the usable pairs: length of either answer in "
                 "characters, how "
                 "often the chosen one is the longer, the shares with Markdown, and the margin of the check.</p>\n");
        ste_page_table(out, "Kinds of pairs", json_object_get(report, "kinds"), columns);
    }
    const double tokens = ste_field_real(report, "tokens_a_pair");
    if (isfinite(tokens))
        ste_html_printf(out, "<p>%.0f tokens were written for each usable pair.</p>\n", tokens);
}

/* ---- training ---- */

/* The rows of LIST of an iteration as points (NAME over "step"), the last STE_CHART_SERIES iterations; points and names
 * are the caller's to free. */
static size_t series_of(const json_t *list, const char *name, struct ste_chart_series *series,
                        struct ste_chart_point **points, char (*names)[32])
{
    const size_t most = json_array_size(list);
    size_t i, n = 0;
    long long of[STE_CHART_SERIES] = {0};
    const json_t *row;
    *points = ste_xcalloc(most + 1, sizeof **points);
    json_array_foreach(list, i, row)
    {
        const long long iteration = ste_field_whole(row, "iteration");
        if (n == 0 || of[n - 1] != iteration) {
            if (n == STE_CHART_SERIES) {
                memmove(of, of + 1, sizeof of - sizeof *of);
                memmove(series, series + 1, (STE_CHART_SERIES - 1) * sizeof *series);
                n--;
            }
            of[n] = iteration;
            series[n++] = (struct ste_chart_series){NULL, *points + i, 0};
        }
        (*points)[i] = (struct ste_chart_point){ste_field_real(row, "step"), ste_field_real(row, name), NAN, NAN};
        series[n - 1].n++;
    }
    for (i = 0; i < n; i++)
        series[i].name = ste_page_judge(names[i], sizeof names[i], of[i]);
    return n;
}

static void over_steps(struct ste_buf *out, const struct ste_chart *c, const json_t *list, const char *name)
{
    struct ste_chart_series series[STE_CHART_SERIES];
    struct ste_chart_point *points;
    char names[STE_CHART_SERIES][32];
    const size_t n = series_of(list, name, series, &points, names);
    if (n)
        ste_chart_lines(out, c, series, n);
    ste_xfree(points);
}

void ste_page_training(struct ste_buf *out, const json_t *report, const json_t *steps)
{
    const json_t *iterations = json_object_get(report, "iterations"),
                 *checkpoints = json_object_get(report, "checkpoints");
    if (json_array_size(iterations) == 0) {
        ste_buf_adds(out, "<p>Nothing has been trained yet.</p>\n");
        return;
    }
    static const struct ste_page_column columns[] = {{"iteration", "iteration", 0},
                                                     {"pairs", "pairs", 0},
                                                     {"agreement", "agreement", 3},
                                                     {"invalid_share", "invalid", 3},
                                                     {"first_position", "first position", 3},
                                                     {"yield", "yield", 3},
                                                     {"examples", "examples", 0},
                                                     {"steps", "steps", 0},
                                                     {"first_loss", "loss, first", 3},
                                                     {"last_loss", "last", 3},
                                                     {"chosen_step", "checkpoint", 0},
                                                     {"chosen_sure", "chosen in", 3},
                                                     {"stop", "stopped, for", 0},
                                                     {0}};
    ste_buf_adds(out,
                 "<p>Agreement is how often the first sample of a training pair's judgments is right; yield, the "
                 "share of the training pairs that are trained on. The checkpoint is the one with the least log-loss "
                 "on the dev pairs; chosen in: the share of draws of these pairs that choose it.</p>\n");
    ste_page_table(out, "Iterations", iterations, columns);
    ste_buf_adds(out, "<div class=\"charts\">\n");
    const struct ste_chart loss = {.id = "loss",
                                   .title = "Training loss by step.",
                                   .about = "Mean log-loss of a batch; of more than five iterations the last ones.",
                                   .x = "step",
                                   .y = "loss",
                                   .digits = 4},
                           dev = {.id = "dev-loss",
                                  .title = "Log-loss on the dev pairs by step.",
                                  .about = "Of the checkpoints, over both orders; a coin has 0.693.",
                                  .x = "step",
                                  .y = "log-loss",
                                  .digits = 4,
                                  .levels = {{"a coin", 0.6931}}};
    over_steps(out, &loss, steps, "loss");
    over_steps(out, &dev, checkpoints, "log_loss");
    ste_buf_adds(out, "</div>\n");
}

/* ---- time and tokens ---- */

static void seconds(struct ste_buf *out, const json_t *list)
{
    static const char *const steps[] = {"select", "pair", "check", "judge", "filter", "train", "evaluate"};
    struct bars b = {0};
    const json_t *w;
    struct ste_strings names = {0};
    size_t i;
    json_array_foreach(list, i, w)
    {
        char name[32];
        ste_strings_add(&names, ste_page_judge(name, sizeof name, ste_field_whole(w, "iteration")));
    }
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        struct ste_chart_part *parts = ste_xcalloc(json_array_size(list) + 1, sizeof *parts);
        size_t n = 0;
        json_array_foreach(list, i, w) if (strcmp(ste_field_text(w, "step"), steps[k]) == 0) parts[n++] =
            (struct ste_chart_part){names.items[i], ste_field_real(w, "seconds")};
        if (n == 0) {
            ste_xfree(parts);
            continue;
        }
        STE_GROW(b.items, b.cap, b.n + 1);
        ste_strings_add(&b.labels, steps[k]);
        b.items[b.n++] = (struct ste_chart_bar){NULL, parts, n};
    }
    const struct ste_chart c = {.id = "seconds",
                                .title = "Time by step.",
                                .about = "Seconds of wall clock, by iteration within each step; what comes before the "
                                         "first iteration is the seed's.",
                                .x = "time",
                                .y = "step"};
    if (b.n == 0)
        ste_buf_adds(out, "<p>No step has been timed yet.</p>\n");
    draw(out, &c, &b, STE_CHART_COMMON, "s");
    ste_strings_clear(&names);
}

void ste_page_work(struct ste_buf *out, const json_t *report, const json_t *tokens)
{
    ste_buf_adds(out, "<div class=\"charts\"><div>\n");
    seconds(out, json_object_get(report, "work"));
    ste_buf_adds(out, "</div><div>\n");
    if (json_array_size(tokens)) {
        ste_buf_adds(out,
                     "<h3>Tokens by step</h3>\n<p>Tokens of prompts that were read and of texts that were written; of "
                     "training, those read and those of them that were learnt. What evaluations read is not "
                     "kept.</p>\n");
        static const struct ste_page_column columns[] = {
            {"step", "step", 0}, {"iteration", "iteration", 0}, {"what", "what", 0},     {"n", "number", 0},
            {"read", "read", 0}, {"written", "written", 0},     {"learnt", "learnt", 0}, {0}};
        ste_page_table(out, "Tokens by step", tokens, columns);
    }
    if (json_array_size(json_object_get(report, "servers"))) {
        ste_buf_adds(out, "<h3>Models on servers</h3>\n");
        ste_page_json(out, "Models on servers", json_object_get(report, "servers"));
    }
    ste_buf_adds(out, "</div></div>\n");
}

/* ---- how it was made ---- */

/* Options by the names that --set takes. */
static void options(struct ste_buf *out, const char *before, const json_t *recipe)
{
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)recipe, name, v)
    {
        char key[128];
        snprintf(key, sizeof key, "%s%s%s", before, *before ? "." : "", name);
        if (json_is_object(v) && json_object_size(v) && !*before) {
            options(out, key, v);
            continue;
        }
        char *text = json_is_string(v) ? ste_xstrdup(json_string_value(v))
                                       : json_dumps(v, JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_REAL_PRECISION(6));
        ste_html_printf(out, "<tr><th scope=\"row\">%s</th><td class=\"text\">%s</td></tr>\n", key, text ? text : "");
        ste_xfree(text);
    }
}

void ste_page_made(struct ste_buf *out, const json_t *report, const json_t *beside)
{
    const json_t *facts = json_object_get(beside, "facts"), *row, *iterations = json_object_get(report, "iterations");
    size_t i;
    ste_buf_adds(out, "<h3>Models and hashes</h3>\n<dl class=\"facts\">");
    json_array_foreach(facts, i, row)
    {
        if (strcmp(ste_field_text(row, "value"), "done") == 0) /* how far a step is */
            continue;
        ste_html_printf(out, "<dt>%s</dt><dd class=\"mono\">%s</dd>\n", ste_field_text(row, "key"),
                        ste_field_text(row, "value"));
    }
    json_array_foreach(iterations, i, row)
    {
        if (*ste_field_text(row, "adapter_hash"))
            ste_html_printf(out, "<dt>adapter of iteration %lld</dt><dd class=\"mono\">%s</dd>\n",
                            ste_field_whole(row, "iteration"), ste_field_text(row, "adapter_hash"));
    }
    ste_buf_adds(out, "</dl>\n<h3>Environment</h3>\n<p>Who made the rows, in which arithmetic, and how it was "
                      "drawn.</p>\n<details><summary>Roles, models and numerics</summary>\n");
    ste_page_json(out, "Who made the rows", json_object_get(beside, "made"));
    ste_buf_adds(out, "</details>\n<h3>Recipe</h3>\n<details><summary>Every option, as --set names it</summary>\n");
    ste_html_table_begin(out, "The recipe's options");
    ste_buf_adds(out, "<thead><tr><th scope=\"col\">option</th><th scope=\"col\" class=\"left\">value</th></tr></thead>"
                      "<tbody>\n");
    options(out, "", json_object_get(report, "recipe"));
    ste_buf_adds(out, "</tbody>");
    ste_html_table_end(out);
    ste_buf_adds(out, "</details>\n");
}
