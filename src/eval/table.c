#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/eval.h"

/* Shares as ".731", "1.00" and "-": what counts is whether two of them differ, and 80 columns are few. */
static const char *share(char *s, size_t size, double v, int digits)
{
    char full[32];
    if (isnan(v))
        snprintf(s, size, "-");
    else {
        snprintf(full, sizeof full, "%.*f", digits, v);
        if (full[0] == '0')
            snprintf(s, size, "%s", full + 1);
        else
            snprintf(s, size, "%.*f", digits - 1, v);
    }
    return s;
}

static void rate(struct ste_buf *out, const struct ste_rate *r)
{
    char v[32], lo[32], hi[32];
    ste_buf_addf(out, "  %4s [%s %s]", share(v, sizeof v, r->value, 3), share(lo, sizeof lo, r->lo, 3),
                 share(hi, sizeof hi, r->hi, 3));
    if (isnan(r->lo))
        ste_buf_adds(out, "      ");
}

static void line(struct ste_buf *out, const struct ste_metrics *m)
{
    char ab[32], ba[32], first[32];
    ste_buf_addf(out, "%-20.20s %5zu", m->name, m->pairs);
    rate(out, &m->accuracy);
    ste_buf_addf(out, "  %4s %4s", share(ab, sizeof ab, m->accuracy_ab, 2), share(ba, sizeof ba, m->accuracy_ba, 2));
    rate(out, &m->consistent);
    ste_buf_addf(out, "  %4s\n", share(first, sizeof first, m->first_position, 2));
}

void ste_metrics_table(const struct ste_metrics *suites, size_t n, const struct ste_metrics *overall,
                       struct ste_buf *out)
{
    ste_buf_adds(out, "                                              better one right in          says\n"
                      "                            accuracy          stands     both orders       the\n"
                      "suite                pairs  (95 %)            1st  2nd   (95 %)            1st\n");
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
}
