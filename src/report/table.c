#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "llm/meter.h"
#include "report/fields.h"
#include "report/report.h"

/* ".512", "1.00", "-.05"; "-" when there is none. */
static void rate(struct ste_buf *out, double v, int width)
{
    char text[32], *p = text;
    if (isnan(v)) {
        strcpy(text, "-");
    } else {
        snprintf(text, sizeof text, "%.3f", v);
        if (strncmp(text, "0.", 2) == 0) {
            p = text + 1;
        } else if (strncmp(text, "-0.", 3) == 0) {
            p = text + 1;
            *p = '-';
        }
    }
    ste_buf_addf(out, "%*s", width, p);
}

/* NAME's bound: "lo" or "hi". */
static double bound(const json_t *row, const char *name, const char *which)
{
    char key[64];
    snprintf(key, sizeof key, "%s_%s", name, which);
    return ste_field_real(row, key);
}

static void interval(struct ste_buf *out, const json_t *row, const char *name)
{
    rate(out, ste_field_real(row, name), 6);
    ste_buf_adds(out, " [");
    rate(out, bound(row, name, "lo"), 5);
    ste_buf_adds(out, ",");
    rate(out, bound(row, name, "hi"), 6);
    ste_buf_adds(out, "]");
}

static void judge_name(struct ste_buf *out, long long iteration)
{
    if (iteration == 0)
        ste_buf_addf(out, "  %-13s", "seed");
    else
        ste_buf_addf(out, "  iteration %-3lld", iteration);
}

/* "  kept 120, too short 3, near duplicate 4" over as many lines as it needs. */
static void states(struct ste_buf *out, const json_t *g)
{
    size_t column = 0;
    const char *name;
    json_t *n, *all = json_object_get(g, "states");
    json_object_foreach(all, name, n)
    {
        char text[160];
        int len = snprintf(text, sizeof text, "%s %lld", name, (long long)json_integer_value(n));
        if (column == 0 || column + (size_t)len + 2 > 78) {
            ste_buf_addf(out, "%s    ", column ? ",\n" : "");
            column = 4;
        } else {
            ste_buf_adds(out, ", ");
            column += 2;
        }
        ste_buf_adds(out, text);
        column += (size_t)len;
    }
    if (column)
        ste_buf_addc(out, '\n');
}

/* "  WHAT 120" and its parts. */
static void group(struct ste_buf *out, const char *what, const json_t *g)
{
    ste_buf_addf(out, "  %s %lld\n", what, ste_field_whole(g, "total"));
    states(out, g);
}

/* The same; nothing where there are none. */
static void some(struct ste_buf *out, const char *what, const json_t *g)
{
    if (ste_field_whole(g, "total") > 0)
        group(out, what, g);
}

static void funnel(struct ste_buf *out, const json_t *f)
{
    ste_buf_adds(out, "Where everything went (each line's parts add up to its total)\n");
    group(out, "instructions", json_object_get(f, "instructions"));
    group(out, "pairs, from the kept ones", json_object_get(f, "pairs"));
    group(out, "split of the kept pairs", json_object_get(f, "pairs_split"));
    some(out, "disputed, made again as `other`", json_object_get(f, "made_again"));
    some(out, "of them damaged by a rule", json_object_get(f, "rules"));
    some(out, "runs of code in the sandbox", json_object_get(f, "tests"));
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(f, "iterations"), i, t)
    {
        char what[64];
        snprintf(what, sizeof what, "iteration %lld: judgments", ste_field_whole(t, "iteration"));
        group(out, what, json_object_get(t, "judgments"));
        snprintf(what, sizeof what, "iteration %lld: training pairs", ste_field_whole(t, "iteration"));
        some(out, what, json_object_get(t, "outcomes"));
    }
    ste_buf_addc(out, '\n');
}

static void turns(struct ste_buf *out, const json_t *list)
{
    if (json_array_size(list) == 0)
        return;
    ste_buf_adds(out, "The loop, on training pairs (first sample of each; yield: pairs trained on)\n"
                      "                 agree  invalid  first pos.  yield  examples  steps  loss\n");
    size_t i;
    json_t *t;
    json_array_foreach(list, i, t)
    {
        judge_name(out, ste_field_whole(t, "iteration"));
        rate(out, ste_field_real(t, "agreement"), 7);
        rate(out, ste_field_real(t, "invalid_share"), 9);
        rate(out, ste_field_real(t, "first_position"), 12);
        rate(out, ste_field_real(t, "yield"), 7);
        ste_buf_addf(out, "%10lld", ste_field_whole(t, "examples"));
        if (ste_field_whole(t, "steps")) {
            ste_buf_addf(out, "%7lld ",
                         ste_field_whole(t, "chosen_step") ? ste_field_whole(t, "chosen_step")
                                                           : ste_field_whole(t, "steps"));
            rate(out, ste_field_real(t, "first_loss"), 5);
            ste_buf_adds(out, "->");
            rate(out, ste_field_real(t, "last_loss"), 4);
        }
        ste_buf_addc(out, '\n');
        if (json_is_number(json_object_get(t, "chosen_sure")))
            ste_buf_addf(out, "    checkpoint at step %lld: the least log-loss in %.0f %% of draws of the dev pairs\n",
                         ste_field_whole(t, "chosen_step"), 100 * ste_field_real(t, "chosen_sure"));
        if (json_is_string(json_object_get(t, "stop")))
            ste_buf_addf(out, "    stopped here: %s\n", json_string_value(json_object_get(t, "stop")));
    }
    ste_buf_addc(out, '\n');
}

static void comparison(struct ste_buf *out, const json_t *c)
{
    ste_buf_addf(out, "  iteration %lld against the seed:\n", ste_field_whole(c, "iteration"));
    static const char *const names[][4] = {
        {"two-order accuracy", "two_order_difference", "only_second_two_order", "only_first_two_order"},
        {"right in both orders", "consistent_difference", "only_second", "only_first"}};
    static const char *const p[] = {"two_order_p", "mcnemar_p"};
    for (int i = 0; i < 2; i++) {
        ste_buf_addf(out, "    %-20s %+.3f [%+.3f, %+.3f], %lld gained, %lld lost, p = %.2g\n", names[i][0],
                     ste_field_real(c, names[i][1]), bound(c, names[i][1], "lo"), bound(c, names[i][1], "hi"),
                     ste_field_whole(c, names[i][2]), ste_field_whole(c, names[i][3]), ste_field_real(c, p[i]));
    }
    ste_buf_addf(out, "    of that %+.3f by telling better answers, %+.3f by losing position bias\n",
                 ste_field_real(c, "gain_telling"), ste_field_real(c, "gain_position"));
}

static void suite(struct ste_buf *out, const json_t *report, const char *name)
{
    size_t i;
    json_t *row;
    bool head = false;
    json_array_foreach(json_object_get(report, "evaluation"), i, row)
    {
        if (!ste_field_is_of(row, name, ""))
            continue;
        if (!head)
            ste_buf_addf(out,
                         "%s: %lld pairs, each in both orders, 95 %% intervals\n"
                         "                 two-order accuracy    right in both         single first inv.\n"
                         "  a coin           .500                  .250                .500   .500\n",
                         strcmp(name, "test") == 0 ? "Held-out synthetic pairs" : name + 5,
                         ste_field_whole(row, "pairs"));
        head = true;
        judge_name(out, ste_field_whole(row, "iteration"));
        interval(out, row, "two_order");
        ste_buf_adds(out, " ");
        interval(out, row, "consistent");
        rate(out, ste_field_real(row, "accuracy"), 7);
        rate(out, ste_field_real(row, "first_position"), 6);
        ste_buf_addf(out, "%5lld\n", ste_field_whole(row, "invalid"));
    }
    json_array_foreach(json_object_get(report, "comparison"), i, row) if (ste_field_is_of(row, name, ""))
        comparison(out, row);
    if (head)
        ste_buf_addc(out, '\n');
}

static void gain(struct ste_buf *out, const json_t *seed, const json_t *last, const json_t *c, const char *rate_name,
                 const char *difference)
{
    rate(out, ste_field_real(seed, rate_name), 5);
    rate(out, ste_field_real(last, rate_name), 6);
    if (c)
        ste_buf_addf(out, " %+.2f [%+.2f %+.2f]", ste_field_real(c, difference), bound(c, difference, "lo"),
                     bound(c, difference, "hi"));
}

/* The seed and the last iteration on each kind of pair. */
static void by_kind(struct ste_buf *out, const json_t *report)
{
    const json_t *kinds = json_object_get(report, "kinds"), *figures = json_object_get(report, "evaluation");
    long long last = 0;
    for (size_t i = 0; i < json_array_size(figures); i++) {
        const json_t *row = json_array_get(figures, i);
        if (ste_field_is_of(row, "test", "") && ste_field_whole(row, "iteration") > last)
            last = ste_field_whole(row, "iteration");
    }
    if (last == 0 || json_array_size(kinds) < 2)
        return;
    ste_buf_addf(out,
                 "The same by kind of pair: seed, iteration %lld, gain\n"
                 "                   two-order accuracy               right in both\n",
                 last);
    for (size_t i = 0; i < json_array_size(kinds); i++) {
        const char *kind = ste_field_text(json_array_get(kinds, i), "kind");
        const json_t *seed = ste_field_find(figures, "test", kind, 0),
                     *now = ste_field_find(figures, "test", kind, last),
                     *c = ste_field_find(json_object_get(report, "comparison"), "test", kind, last);
        if (!seed || !now)
            continue;
        ste_buf_addf(out, "  %-8.8s%4lld ", kind, ste_field_whole(now, "pairs"));
        gain(out, seed, now, c, "two_order", "two_order_difference");
        ste_buf_adds(out, " ");
        gain(out, seed, now, c, "consistent", "consistent_difference");
        ste_buf_addc(out, '\n');
    }
    ste_buf_addc(out, '\n');
}

static void pair_kinds(struct ste_buf *out, const json_t *report)
{
    const json_t *kinds = json_object_get(report, "kinds");
    if (json_array_size(kinds) == 0)
        return;
    ste_buf_adds(out, "Kinds of pairs (disputed: dropped by the check; characters and Markdown: means\n"
                      "of the chosen and of the rejected answers; longer: how often the chosen one is)\n"
                      "              pairs  usable  disputed   characters  longer   Markdown\n");
    for (size_t i = 0; i < json_array_size(kinds); i++) {
        const json_t *k = json_array_get(kinds, i);
        ste_buf_addf(out, "  %-10.10s %6lld %7lld %9lld  ", ste_field_text(k, "kind"), ste_field_whole(k, "pairs"),
                     ste_field_whole(k, "kept"), ste_field_whole(k, "checked_out"));
        if (ste_field_whole(k, "kept")) {
            ste_buf_addf(out, "%5.0f %5.0f", ste_field_real(k, "chosen_chars"), ste_field_real(k, "rejected_chars"));
            rate(out, ste_field_real(k, "chosen_longer"), 8);
            rate(out, ste_field_real(k, "chosen_marked"), 6);
            rate(out, ste_field_real(k, "rejected_marked"), 5);
        }
        ste_buf_addc(out, '\n');
    }
    const double tokens = ste_field_real(report, "tokens_a_pair");
    if (!isnan(tokens) && tokens > 0)
        ste_buf_addf(out, "  %.0f tokens written a usable pair\n", tokens);
    ste_buf_addc(out, '\n');
}

static void work(struct ste_buf *out, const json_t *list)
{
    static const char *const steps[] = {"select", "pair", "check", "judge", "train", "evaluate"};
    double all = 0;
    size_t i;
    json_t *w;
    json_array_foreach(list, i, w) all += ste_field_real(w, "seconds");
    if (all <= 0)
        return;
    ste_buf_addf(out, "Time %.0f s:", all);
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        double sum = 0;
        json_array_foreach(list, i, w) if (strcmp(json_string_value(json_object_get(w, "step")), steps[k]) == 0) sum +=
            ste_field_real(w, "seconds");
        ste_buf_addf(out, "%s %s %.0f", k ? "," : "", steps[k], sum);
    }
    ste_buf_adds(out, "\n");
}

static void servers(struct ste_buf *out, const json_t *list)
{
    size_t i;
    json_t *s;
    json_array_foreach(list, i, s)
    {
        const double cost = ste_field_real(s, "cost");
        ste_buf_addf(out, "%s: %lld requests, %lld tokens read (%lld cached), %lld written", ste_field_text(s, "model"),
                     ste_field_whole(s, "requests"), ste_field_whole(s, "prompt_tokens"),
                     ste_field_whole(s, "cached_tokens"), ste_field_whole(s, "completion_tokens"));
        if (!isnan(cost))
            ste_buf_addf(out, "; cost %s", ste_money(cost).s);
        ste_buf_addc(out, '\n');
    }
}

void ste_report_text(const json_t *report, struct ste_buf *out)
{
    funnel(out, json_object_get(report, "funnel"));
    pair_kinds(out, report);
    turns(out, json_object_get(report, "iterations"));
    size_t i;
    json_t *row;
    const char *last = "";
    json_array_foreach(json_object_get(report, "evaluation"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "suite"));
        if (strcmp(name, last) != 0 && !json_is_string(json_object_get(row, "kind")))
            suite(out, report, name);
        last = name;
    }
    by_kind(out, report);
    work(out, json_object_get(report, "work"));
    servers(out, json_object_get(report, "servers"));
}
