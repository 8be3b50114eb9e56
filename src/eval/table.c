#include <math.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "eval/eval.h"

/* The bytes of the character at S, whose width goes to *COLUMNS; a byte that is none is one column wide. */
static size_t character(const char *s, int *columns)
{
    utf8proc_int32_t c;
    const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s, -1, &c);
    *columns = n > 0 ? utf8proc_charwidth(c) : 1;
    return n > 0 ? (size_t)n : 1;
}

void ste_name_column(struct ste_buf *out, const char *name, int width)
{
    static const char mark[] = "...";
    const int room = width - (int)sizeof mark + 1;
    int used = 0, kept = 0, columns; /* columns of all, and of what stands before the mark */
    size_t whole = 0, fits = 0;      /* the same in bytes */
    for (; name[whole] && used <= width; used += columns) {
        whole += character(name + whole, &columns);
        if (used + columns <= room) {
            fits = whole;
            kept = used + columns;
        }
    }
    const bool cut = used > width;
    ste_buf_add(out, name, cut ? fits : whole);
    ste_buf_addf(out, "%s%*s", cut ? mark : "", cut ? room - kept : width - used, "");
}

struct text {
    char s[32];
};

/* Shares as ".731", "1.00" and "-": what counts is whether two of them differ, and 80 columns are few. */
static struct text share(double v, int digits)
{
    struct text t = {"-"};
    if (isnan(v))
        return t;
    snprintf(t.s, sizeof t.s, "%.*f", digits, v);
    if (t.s[0] == '0')
        memmove(t.s, t.s + 1, strlen(t.s));
    else
        snprintf(t.s, sizeof t.s, "%.*f", digits - 1, v);
    return t;
}

/* A difference: "+.075", "-1.00". */
static struct text difference(double v, int digits)
{
    struct text t = {"-"};
    if (!isnan(v))
        snprintf(t.s, sizeof t.s, "%c%.30s", signbit(v) ? '-' : '+', share(fabs(v), digits).s);
    return t;
}

static void rate(struct ste_buf *out, const struct ste_rate *r)
{
    ste_buf_addf(out, "  %4s [%s %s]", share(r->value, 3).s, share(r->lo, 3).s, share(r->hi, 3).s);
    if (isnan(r->lo))
        ste_buf_adds(out, "      ");
}

static void line(struct ste_buf *out, const struct ste_metrics *m)
{
    ste_name_column(out, m->name, 20);
    ste_buf_addf(out, " %5zu  %4s %3s %3s", m->pairs, share(m->accuracy.value, 3).s, share(m->accuracy_ab, 2).s,
                 share(m->accuracy_ba, 2).s);
    rate(out, &m->two_order);
    rate(out, &m->consistent);
    ste_buf_addf(out, " %3s\n", share(m->first_position, 2).s);
}

#define COIN "a coin has accuracy .500, two-order .500, right in both .250\n"

static void two_order_lines(struct ste_buf *out, const struct ste_metrics *m)
{
    ste_buf_adds(out, "two-order where the margin is largest:");
    for (int k = 0; k < STE_N_COVERAGE; k++) {
        ste_buf_addf(out, "%s%.0f %% %s", k == 0 ? " " : ", ", 100 * m->curve[k].coverage,
                     share(m->curve[k].accuracy, 2).s);
    }
    ste_buf_addf(out, "\nundecided (margin 0), which count as wrong: %zu\n" COIN, m->undecided);
}

void ste_metrics_table(const struct ste_metrics *suites, size_t n, const struct ste_metrics *overall,
                       struct ste_buf *out)
{
    ste_buf_adds(out, "                            accu better                    right in         says\n"
                      "                            racy stands   two-order        both orders       the\n"
                      "suite                pairs       1st 2nd  (95 %)           (95 %)            1st\n");
    for (size_t i = 0; i < n; i++)
        line(out, &suites[i]);
    if (overall && n > 1)
        line(out, overall);
    const struct ste_metrics *all = overall ? overall : n ? &suites[0] : NULL;
    if (!all)
        return;
    ste_buf_addf(out, "\n%zu pairs in both orders, %zu tied left out; verdicts: %zu valid, %zu invalid\n", all->pairs,
                 all->tied, 2 * all->pairs - all->invalid, all->invalid);
    const char *lead = "invalid ones count as wrong: ";
    for (int r = 0; r < STE_N_INVALID; r++) {
        if (all->reasons[r] == 0)
            continue;
        ste_buf_addf(out, "%s%zu %s", lead, all->reasons[r], ste_invalid_name((enum ste_invalid)r));
        lead = ", ";
    }
    if (all->invalid)
        ste_buf_addc(out, '\n');
    two_order_lines(out, all);
}

/* ---- two judges ---- */

static void difference_rate(struct ste_buf *out, const struct ste_rate *r)
{
    ste_buf_addf(out, "  %5s [%4s %4s]", difference(r->value, 3).s, difference(r->lo, 2).s, difference(r->hi, 2).s);
}

static void comparison_line(struct ste_buf *out, const char *name, const struct ste_comparison *c)
{
    ste_name_column(out, name, 20);
    ste_buf_addf(out, " %5zu %5s", c->pairs, difference(c->accuracy_difference.value, 3).s);
    difference_rate(out, &c->two_order_difference);
    ste_buf_addf(out, " %4s", share(c->two_order_p, 3).s);
    difference_rate(out, &c->consistent_difference);
    ste_buf_addf(out, " %4s\n", share(c->mcnemar_p, 3).s);
}

void ste_comparison_table(const char *const *names, const struct ste_comparison *suites, size_t n,
                          const struct ste_comparison *all, struct ste_buf *out)
{
    ste_buf_adds(out, "                            accu  two-order                right in both\n"
                      "second minus first   pairs  racy  (95 %)              p    (95 %)              p\n");
    for (size_t i = 0; i < n; i++)
        comparison_line(out, names[i], &suites[i]);
    if (n > 1)
        comparison_line(out, "all pairs", all);
    ste_buf_addf(out,
                 "p: exact McNemar test, two-sided\n" COIN "\n"
                 "pairs that one judge alone has right    1st   2nd  p\n"
                 "two-order                             %5zu %5zu  %.3f\n"
                 "right in both                         %5zu %5zu  %.3f\n\n"
                 "gain in right in both, of all pairs     %5s\n"
                 "  by telling the better answer        ",
                 all->only_first_two, all->only_second_two, all->two_order_p, all->only_first, all->only_second,
                 all->mcnemar_p, difference(all->consistent_difference.value, 3).s);
    difference_rate(out, &all->gain_telling);
    ste_buf_adds(out, "\n  by losing position bias             ");
    difference_rate(out, &all->gain_position);
    ste_buf_addc(out, '\n');
}
