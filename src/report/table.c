#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "report/report.h"

static double real(const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

static long long whole(const json_t *row, const char *key)
{
    return (long long)json_integer_value(json_object_get(row, key));
}

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

static void interval(struct ste_buf *out, const json_t *row, const char *name)
{
    char key[64];
    rate(out, real(row, name), 6);
    ste_buf_adds(out, " [");
    snprintf(key, sizeof key, "%s_lo", name);
    rate(out, real(row, key), 5);
    ste_buf_adds(out, ",");
    snprintf(key, sizeof key, "%s_hi", name);
    rate(out, real(row, key), 6);
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
static void states(struct ste_buf *out, const json_t *group)
{
    size_t column = 0;
    const char *name;
    json_t *n, *all = json_object_get(group, "states");
    json_object_foreach(all, name, n) {
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

static void funnel(struct ste_buf *out, const json_t *f)
{
    const json_t *g = json_object_get(f, "instructions");
    ste_buf_addf(out, "Where everything went (each line's parts add up to its total)\n  instructions %lld\n",
                 whole(g, "total"));
    states(out, g);
    g = json_object_get(f, "pairs");
    ste_buf_addf(out, "  pairs, from the kept ones %lld\n", whole(g, "total"));
    states(out, g);
    g = json_object_get(f, "pairs_split");
    ste_buf_addf(out, "  split of the kept pairs %lld\n", whole(g, "total"));
    states(out, g);
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(f, "iterations"), i, t) {
        g = json_object_get(t, "judgments");
        ste_buf_addf(out, "  iteration %lld: judgments %lld\n", whole(t, "iteration"), whole(g, "total"));
        states(out, g);
        g = json_object_get(t, "outcomes");
        if (whole(g, "total") == 0)
            continue;
        ste_buf_addf(out, "  iteration %lld: training pairs %lld\n", whole(t, "iteration"), whole(g, "total"));
        states(out, g);
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
    json_array_foreach(list, i, t) {
        judge_name(out, whole(t, "iteration"));
        rate(out, real(t, "agreement"), 7);
        rate(out, real(t, "invalid_share"), 9);
        rate(out, real(t, "first_position"), 12);
        rate(out, real(t, "yield"), 7);
        ste_buf_addf(out, "%10lld", whole(t, "examples"));
        if (whole(t, "steps")) {
            ste_buf_addf(out, "%7lld ", whole(t, "chosen_step") ? whole(t, "chosen_step") : whole(t, "steps"));
            rate(out, real(t, "first_loss"), 5);
            ste_buf_adds(out, "->");
            rate(out, real(t, "last_loss"), 4);
        }
        ste_buf_addc(out, '\n');
        if (json_is_string(json_object_get(t, "stop")))
            ste_buf_addf(out, "    stopped here: %s\n", json_string_value(json_object_get(t, "stop")));
    }
    ste_buf_addc(out, '\n');
}

static void comparison(struct ste_buf *out, const json_t *c)
{
    double value = real(c, "consistent_difference"), lo = real(c, "consistent_difference_lo"),
           hi = real(c, "consistent_difference_hi");
    ste_buf_addf(out, "  iteration %lld against the seed: right in both orders %+.3f [%+.3f, %+.3f],\n"
                      "    %lld pairs gained, %lld lost (McNemar p = %.2g)\n",
                 whole(c, "iteration"), value, lo, hi, whole(c, "only_second"), whole(c, "only_first"),
                 real(c, "mcnemar_p"));
}

static void suite(struct ste_buf *out, const json_t *report, const char *name)
{
    size_t i;
    json_t *row;
    bool head = false;
    json_array_foreach(json_object_get(report, "evaluation"), i, row) {
        if (strcmp(json_string_value(json_object_get(row, "suite")), name) != 0)
            continue;
        if (!head)
            ste_buf_addf(out, "%s: %lld pairs, each in both orders, 95 %% intervals\n"
                              "                 accuracy              right in both orders  first pos.  invalid\n",
                         strcmp(name, "test") == 0 ? "Held-out synthetic pairs" : name + 5, whole(row, "pairs"));
        head = true;
        judge_name(out, whole(row, "iteration"));
        interval(out, row, "accuracy");
        ste_buf_adds(out, "  ");
        interval(out, row, "consistent");
        rate(out, real(row, "first_position"), 10);
        ste_buf_addf(out, "%9lld\n", whole(row, "invalid"));
    }
    json_array_foreach(json_object_get(report, "comparison"), i, row)
        if (strcmp(json_string_value(json_object_get(row, "suite")), name) == 0)
            comparison(out, row);
    if (head)
        ste_buf_addc(out, '\n');
}

static void work(struct ste_buf *out, const json_t *list)
{
    static const char *const steps[] = {"select", "pair", "judge", "train", "evaluate"};
    double all = 0;
    size_t i;
    json_t *w;
    json_array_foreach(list, i, w)
        all += real(w, "seconds");
    if (all <= 0)
        return;
    ste_buf_addf(out, "Time %.0f s:", all);
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        double sum = 0;
        json_array_foreach(list, i, w)
            if (strcmp(json_string_value(json_object_get(w, "step")), steps[k]) == 0)
                sum += real(w, "seconds");
        ste_buf_addf(out, "%s %s %.0f", k ? "," : "", steps[k], sum);
    }
    ste_buf_adds(out, "\n");
}

void ste_report_text(const json_t *report, struct ste_buf *out)
{
    funnel(out, json_object_get(report, "funnel"));
    turns(out, json_object_get(report, "iterations"));
    size_t i;
    json_t *row;
    const char *last = "";
    json_array_foreach(json_object_get(report, "evaluation"), i, row) {
        const char *name = json_string_value(json_object_get(row, "suite"));
        if (strcmp(name, last) != 0)
            suite(out, report, name);
        last = name;
    }
    work(out, json_object_get(report, "work"));
}
