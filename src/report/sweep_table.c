#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "report/fields.h"
#include "report/sweep.h"

static double real(const json_t *row, const char *name, const char *end)
{
    char *key = ste_xasprintf("%s%s", name, end);
    const double v = ste_field_real(row, key);
    ste_xfree(key);
    return v;
}

/* In how many seeds the interval of NAME alone is above 0. */
static size_t clear_seeds(const json_t *row, const char *name)
{
    char *key = ste_xasprintf("%s_difference", name);
    const json_t *seeds = json_object_get(row, "gain_by_seed");
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(seeds); i++)
        n += real(json_array_get(seeds, i), key, "_lo") > 0;
    ste_xfree(key);
    return n;
}

/* ".563", "+.051" with a SIGN, "-" for none. */
static void number(struct ste_buf *out, double v, bool sign)
{
    char digits[32];
    snprintf(digits, sizeof digits, sign ? "%+.3f" : "%.3f", v);
    char *zero = strstr(digits, "0.");
    if (zero == digits || zero == digits + 1)
        memmove(zero, zero + 1, strlen(zero));
    ste_buf_adds(out, isnan(v) ? "-" : digits);
}

static void interval(struct ste_buf *out, const json_t *row, const char *key, bool sign)
{
    number(out, real(row, key, ""), sign);
    ste_buf_adds(out, " [");
    number(out, real(row, key, "_lo"), sign);
    ste_buf_addc(out, ' ');
    number(out, real(row, key, "_hi"), sign);
    ste_buf_addc(out, ']');
}

/* The difference NAME_OF in 19 columns. */
static void difference(struct ste_buf *out, const json_t *row, const char *name, const char *of)
{
    char *key = ste_xasprintf("%s_%s", name, of);
    ste_buf_adds(out, "  ");
    if (isnan(real(row, key, "")))
        ste_buf_addf(out, "%-19s", "-");
    else
        interval(out, row, key, true);
    ste_xfree(key);
}

/* Takes blanks off the line's end. */
static void end_line(struct ste_buf *out)
{
    while (out->len && out->s[out->len - 1] == ' ')
        out->s[--out->len] = '\0';
    ste_buf_addc(out, '\n');
}

static bool is_file(const json_t *row)
{
    const char *name = ste_field_text(row, "suite");
    return *name && strncmp(name, "eval:", strlen("eval:")) == 0;
}

static bool is_of(const json_t *row, const json_t *other)
{
    return strcmp(ste_field_text(row, "suite"), ste_field_text(other, "suite")) == 0 &&
           strcmp(ste_field_text(row, "kind"), ste_field_text(other, "kind")) == 0;
}

static void figure(struct ste_buf *out, const json_t *figures, const json_t *of, const char *name, const char *title)
{
    size_t i;
    json_t *row;
    ste_buf_addf(out, "  %-25s gain                       against point 1      p\n", title);
    json_array_foreach(figures, i, row) {
        if (!is_of(row, of))
            continue;
        ste_buf_addf(out, "  %-2lld ", ste_field_whole(row, "point"));
        number(out, real(row, name, "_seed_model"), false);
        ste_buf_addc(out, ' ');
        interval(out, row, name, false);
        difference(out, row, name, "gain");
        ste_buf_addf(out, "%3zu/%-2lld", clear_seeds(row, name), ste_field_whole(row, "seeds"));
        difference(out, row, name, "against_first");
        ste_buf_addc(out, ' ');
        if (!isnan(real(row, name, "_against_first_p")))
            number(out, real(row, name, "_against_first_p"), false);
        end_line(out);
    }
}

/* Both figures with their gains over the untrained seed. */
static void gains(struct ste_buf *out, const json_t *row, const char *of)
{
    static const char *const names[] = {"two_order", "consistent"};
    for (int f = 0; f < 2; f++) {
        ste_buf_addc(out, ' ');
        number(out, real(row, names[f], ""), false);
        difference(out, row, names[f], of);
    }
    end_line(out);
}

/* Each run alone, as the rows of seeds in a suite's row have it. */
static void by_seed(struct ste_buf *out, const json_t *figures, const json_t *of)
{
    size_t i, k;
    json_t *row, *seed;
    ste_buf_adds(out, "  runs: point, seed, two-order accuracy with its gain, right in both with its gain\n");
    json_array_foreach(figures, i, row) if (is_of(row, of))
        json_array_foreach(json_object_get(row, "gain_by_seed"), k, seed) {
        ste_buf_addf(out, "  %-2lld %12lld", ste_field_whole(row, "point"), ste_field_whole(seed, "seed"));
        gains(out, seed, "difference");
    }
}

/* In full: held-out pairs, all files, or the only file. */
static void suite(struct ste_buf *out, const json_t *figures, const json_t *of)
{
    const char *name = ste_field_text(of, "suite");
    const char *title = strcmp(name, "test") == 0    ? "Held-out synthetic pairs"
                        : strcmp(name, "files") == 0 ? "All files"
                                                     : name + strlen("eval:");
    ste_buf_addf(out, "%s: %lld pairs in the mean over %lld seed%s\n", title,
                 ste_field_whole(of, "pairs") / ste_field_whole(of, "seeds"), ste_field_whole(of, "seeds"),
                 ste_field_whole(of, "seeds") == 1 ? "" : "s");
    figure(out, figures, of, "two_order", "two-order accuracy");
    figure(out, figures, of, "consistent", "right in both orders");
    if (ste_field_whole(of, "seeds") > 1)
        by_seed(out, figures, of);
    ste_buf_addc(out, '\n');
}

/* A line for each of a kind or a file and a point. */
static void brief(struct ste_buf *out, const json_t *figures, bool kinds)
{
    size_t i;
    json_t *row;
    bool head = false;
    const char *last = "";
    json_array_foreach(figures, i, row) {
        if (kinds ? !*ste_field_text(row, "kind") : !is_file(row))
            continue;
        if (!head)
            ste_buf_addf(out, "By %s: point, two-order accuracy with its gain, right in both with its gain\n",
                         kinds ? "kind of pair" : "file");
        head = true;
        const char *name = kinds ? ste_field_text(row, "kind") : ste_field_text(row, "suite") + strlen("eval:");
        ste_buf_addf(out, "  %-17.17s %-2lld", strcmp(name, last) == 0 ? "" : name, ste_field_whole(row, "point"));
        last = name;
        gains(out, row, "gain");
    }
    if (head)
        ste_buf_addc(out, '\n');
}

static void times(struct ste_buf *out, const json_t *report)
{
    static const char *const steps[] = {"select", "pair", "check", "judge", "train", "evaluate"};
    size_t i;
    json_t *p;
    ste_buf_adds(out, "Seconds a run would take alone, by step\n     ");
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++)
        ste_buf_addf(out, " %9s", steps[k]);
    ste_buf_addc(out, '\n');
    json_array_foreach(json_object_get(report, "points"), i, p) {
        ste_buf_addf(out, "  %-3zu", i + 1);
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            const double seconds = real(json_object_get(p, "seconds"), steps[k], "");
            ste_buf_addf(out, " %9.0f", isnan(seconds) ? 0 : seconds);
        }
        ste_buf_addc(out, '\n');
    }
    ste_buf_addf(out, "All runs together took %.0f s, with what they share done once\n", real(report, "seconds", ""));
}

void ste_sweep_text(const json_t *report, struct ste_buf *out)
{
    const json_t *points = json_object_get(report, "points"), *figures = json_object_get(report, "figures");
    const size_t n_seeds = json_array_size(json_object_get(report, "seeds"));
    size_t i, k, n_files = 0;
    json_t *p, *run, *row;
    ste_buf_addf(out, "Sweep of %s: %zu point%s, %zu seed%s\n", ste_field_text(report, "recipe"),
                 json_array_size(points), json_array_size(points) == 1 ? "" : "s", n_seeds, n_seeds == 1 ? "" : "s");
    json_array_foreach(points, i, p) {
        ste_buf_addf(out, "  %-2zu %s\n", i + 1, ste_field_text(p, "name"));
        json_array_foreach(json_object_get(p, "runs"), k, run) if (*ste_field_text(run, "failed")) ste_buf_addf(
            out, "     seed %lld has no judge: %s\n", ste_field_whole(run, "seed"), ste_field_text(run, "failed"));
    }
    ste_buf_adds(out, "A line: the untrained model; the mean over the runs with its 95 % interval; the\n"
                      "gain, and in how many runs its own interval is above 0; the difference from\n"
                      "point 1. Intervals count runs (seeds) and prompts; p is two-sided.\n\n");
    json_array_foreach(figures, i, row) n_files += ste_field_whole(row, "point") == 1 && is_file(row);
    const json_t *last = NULL;
    json_array_foreach(figures, i, row) {
        if (!*ste_field_text(row, "kind") && (!is_file(row) || n_files == 1) && !(last && is_of(row, last)))
            suite(out, figures, row);
        last = row;
    }
    brief(out, figures, true);
    if (n_files > 1)
        brief(out, figures, false);
    times(out, report);
}

void ste_sweep_plan_text(struct ste_sweep *s, struct ste_buf *out)
{
    static const char *const steps[] = {"", "select", "pair", "check", "evaluating the seed", "judge", "filter"};
    ste_buf_addf(out, "%zu runs: %zu point%s, %zu seed%s\n", s->n_points * s->n_seeds, s->n_points,
                 s->n_points == 1 ? "" : "s", s->n_seeds, s->n_seeds == 1 ? "" : "s");
    for (size_t p = 0; p < s->n_points; p++) {
        char *dir = ste_sweep_dir(s, p, 0), *shared;
        const int step = ste_sweep_shares(s, p, 0, INT_MAX, &shared);
        ste_buf_addf(out, "  %-2zu %s\n     in %s%s\n", p + 1, s->points[p].name, dir, s->n_seeds > 1 ? ", ..." : "");
        if (step > STE_STEP_TRAIN)
            ste_buf_addf(out, "     shared with others up to iteration %d\n", step - STE_STEP_TRAIN);
        else if (step > 0)
            ste_buf_addf(out, "     shared with others up to %s\n", steps[step]);
        ste_xfree(dir);
        ste_xfree(shared);
    }
}
