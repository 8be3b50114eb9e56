/* Two runs: the options in which their recipes differ, their figures side by side, and what they judged differently. */
#include <math.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "report/fields.h"
#include "report/html.h"
#include "serve/view_page.h"
#include "store/run.h"

enum { ROWS = 50 };

struct side {
    const char *name;
    char *dir;
    struct ste_store *s;
    json_t *report;
};

static const char *query(const struct view_page *p, const char *name)
{
    const char *value = ste_exchange_query(p->x, name);
    return value && *value ? value : NULL;
}

static void choice(struct view_page *p, const char *name, const char *label, const struct ste_strings *runs,
                   const char *now)
{
    ste_buf_addf(&p->out, "<div><label for=\"f-%s\">%s</label><select id=\"f-%s\" name=\"%s\">", name, label, name,
                 name);
    for (size_t i = 0; i < runs->n; i++)
        ste_html_printf(&p->out, "<option%s>%s</option>", now && strcmp(now, runs->items[i]) == 0 ? " selected" : "",
                        runs->items[i]);
    ste_buf_adds(&p->out, "</select></div>\n");
}

static int open_side(struct view_page *p, struct side *o, struct ste_err *err)
{
    o->dir = ste_run_named(view_folder(p->view), o->name);
    if (!o->dir)
        return ste_err_set(err, STE_ENOTFOUND, "There is no run %.200s in the folder that is served.", o->name);
    int rc = ste_store_open(&o->s, o->dir, 0, 1, err);
    if (rc != 0)
        return rc;
    ste_store_limit(o->s, 10);
    return view_report(p->view, o->dir, &o->report, NULL, err);
}

/* ---- recipes ---- */

/* Adds what differs in A and B, whose key is KEY, to the table, whose rows are written as they come. */
static void differing(struct view_page *p, const char *key, const json_t *a, const json_t *b, int *n)
{
    if (json_equal(a, b))
        return;
    if (json_is_object(a) && json_is_object(b)) {
        json_t *all = json_copy((json_t *)a), *value;
        json_object_update_missing(all, (json_t *)b);
        const char *name;
        json_object_foreach(all, name, value)
        {
            char *whole = *key ? ste_xasprintf("%s.%s", key, name) : ste_xstrdup(name);
            differing(p, whole, json_object_get(a, name), json_object_get(b, name), n);
            ste_xfree(whole);
        }
        json_decref(all);
        return;
    }
    char *one = a ? json_dumps(a, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)) : NULL,
         *other = b ? json_dumps(b, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)) : NULL;
    ste_html_printf(&p->out, "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\" data-head=\"Option\">%s</th>", key);
    view_cell(p, "First", "long", "%s", one ? one : "-");
    view_cell(p, "Second", "long", "%s", other ? other : "-");
    ste_buf_adds(&p->out, "</tr>\n");
    ste_xfree(one);
    ste_xfree(other);
    ++*n;
}

static void recipes(struct view_page *p, const struct side *a, const struct side *b)
{
    const char *const heads[] = {"Option", a->name, b->name, NULL};
    int n = 0;
    ste_buf_adds(&p->out, "<h2>Recipes</h2>\n");
    const size_t before = p->out.len;
    view_table(p, "Options that differ", heads);
    differing(p, "", json_object_get(a->report, "recipe"), json_object_get(b->report, "recipe"), &n);
    if (n == 0) {
        ste_buf_cut(&p->out, before);
        ste_buf_adds(&p->out, "<p>Every option is the same.</p>\n");
        return;
    }
    ste_buf_adds(&p->out, "</tbody></table>\n");
}

/* ---- figures ---- */

static void interval(struct view_page *p, const char *head, const json_t *row, const char *name)
{
    char lo[64], hi[64];
    snprintf(lo, sizeof lo, "%s_lo", name);
    snprintf(hi, sizeof hi, "%s_hi", name);
    if (!row)
        view_cell(p, head, "", "-");
    else
        view_cell(p, head, "", "%.3f [%.3f, %.3f]", ste_field_real(row, name), ste_field_real(row, lo),
                  ste_field_real(row, hi));
}

static void figure_row(struct view_page *p, const json_t *row, const json_t *x, const json_t *y)
{
    const long long i = ste_field_whole(row, "iteration");
    ste_html_printf(&p->out, "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\" data-head=\"Pairs\">%s</th>",
                    ste_field_text(row, "suite"));
    view_cell(p, "Judge", "", i ? "iteration %lld" : "seed", i);
    interval(p, "First: two-order accuracy", x, "two_order");
    interval(p, "Second: two-order accuracy", y, "two_order");
    interval(p, "First: right in both", x, "consistent");
    interval(p, "Second: right in both", y, "consistent");
    ste_buf_adds(&p->out, "</tr>\n");
}

static void figures(struct view_page *p, const struct side *a, const struct side *b)
{
    static const char *const heads[] = {"Pairs",
                                        "Judge",
                                        "First: two-order accuracy",
                                        "Second: two-order accuracy",
                                        "First: right in both",
                                        "Second: right in both",
                                        NULL};
    const json_t *x = json_object_get(a->report, "evaluation"), *y = json_object_get(b->report, "evaluation");
    json_t *row;
    size_t i;
    ste_buf_adds(&p->out, "<h2>Figures</h2>\n");
    if (json_array_size(x) + json_array_size(y) == 0) {
        ste_buf_adds(&p->out, "<p>Neither was evaluated.</p>\n");
        return;
    }
    view_table(p, "With 95 % intervals; right in both: in both orders", heads);
    json_array_foreach((json_t *)x, i, row) if (!*ste_field_text(row, "kind"))
        figure_row(p, row, row, ste_field_find(y, ste_field_text(row, "suite"), "", ste_field_whole(row, "iteration")));
    json_array_foreach((json_t *)y, i,
                       row) if (!*ste_field_text(row, "kind") &&
                                !ste_field_find(x, ste_field_text(row, "suite"), "", ste_field_whole(row, "iteration")))
        figure_row(p, row, NULL, row);
    ste_buf_adds(&p->out, "</tbody></table>\n");
}

/* ---- verdicts ---- */

struct differences {
    struct view_page *p;
    const struct side *a, *b;
    int n;
    size_t end; /* of the rows that are shown */
    char *last;
};

static int difference(void *arg, const struct ste_difference *d, struct ste_err *err)
{
    struct differences *g = arg;
    struct view_page *p = g->p;
    if (g->n++ == ROWS)
        return 0;
    ste_xfree(g->last);
    g->last = ste_xasprintf("%s %s", d->item, d->winner);
    ste_buf_adds(&p->out, "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\" data-head=\"Prompt\" class=\"text\">");
    if (d->kind) {
        ste_buf_adds(&p->out, "<a dir=\"auto\" href=\"");
        view_url(&p->out, g->a->name, "pairs", d->item);
        ste_html_printf(&p->out, "\">%s</a> (<a href=\"", d->begins ? d->begins : "(no text)");
        view_url(&p->out, g->b->name, "pairs", d->item);
        ste_buf_adds(&p->out, "\">in the second</a>)");
    } else {
        ste_html_printf(&p->out, "%s of a file", d->item);
    }
    ste_buf_adds(&p->out, "</th>");
    view_cell(p, "Better answer at", "", "%s", d->winner);
    for (int i = 0; i < 2; i++) {
        const char *said = i ? d->second : d->first;
        view_cell(p, i ? "Second" : "First", strcmp(said, d->winner) == 0 ? "good" : "bad", "%s, %s", said,
                  strcmp(said, d->winner) == 0 ? "right" : "not right");
    }
    ste_buf_adds(&p->out, "</tr>\n");
    return 0;
}

/* Of a suite, or of training pairs (SUITE NULL), from behind AFTER. */
static int verdicts(struct view_page *p, const struct side *a, const struct side *b, const char *suite,
                    struct ste_err *err)
{
    const char *const heads[] = {"Prompt", "Better answer at", a->name, b->name, NULL};
    const char *of = query(p, "of");
    const bool goes_on = of && strcmp(of, suite ? suite : "train") == 0;
    const struct ste_page page = {.after = goes_on ? query(p, "after") : NULL, .limit = ROWS + 1};
    struct differences g = {.p = p, .a = a, .b = b};
    int64_t both = 0, differ = 0;
    char *title = suite ? ste_xasprintf("%s, each run's last iteration", suite)
                        : ste_xstrdup("Training pairs, first samples of the last iteration that both have");
    const size_t before = p->out.len;
    ste_html_printf(&p->out, "<h3>%s</h3>\n", title);
    view_table(p, "Verdicts that differ", heads);
    int rc = ste_browse_differences(a->s, b->dir, suite, &page, &both, &differ, difference, &g, err);
    ste_buf_adds(&p->out, "</tbody></table>\n");
    if (rc == 0 && g.n == 0) {
        ste_buf_cut(&p->out, before);
        ste_html_printf(&p->out, "<h3>%s</h3>\n", title);
    }
    if (both)
        ste_html_printf(&p->out, "<p>%lld of %lld verdicts that both have differ.</p>\n", (long long)differ,
                        (long long)both);
    else
        ste_buf_adds(&p->out, "<p>They have no pair in common: a pair is named by its texts.</p>\n");
    if (g.n > ROWS) {
        ste_buf_adds(&p->out, "<nav aria-label=\"Pages\" class=\"pages\"><ul><li><a rel=\"next\" href=\"/diff?");
        view_query(&p->out, "a", a->name);
        view_query(&p->out, "b", b->name);
        view_query(&p->out, "of", suite ? suite : "train");
        view_query(&p->out, "after", g.last);
        ste_buf_cut(&p->out, p->out.len - 5);
        ste_buf_adds(&p->out, "\">Next page</a></li></ul></nav>\n");
    }
    ste_xfree(g.last);
    ste_xfree(title);
    return rc;
}

static int take_suite(void *arg, const char *value, int64_t n, struct ste_err *err)
{
    if (value && strcmp(value, "dev") != 0)
        ste_strings_add(arg, value);
    return 0;
}

static int compare(struct view_page *p, const struct side *a, const struct side *b, struct ste_err *err)
{
    struct ste_strings suites = {0};
    recipes(p, a, b);
    figures(p, a, b);
    ste_buf_adds(&p->out, "<h2>Judged differently</h2>\n");
    int rc = ste_browse_values(a->s, STE_VALUES_SUITE, take_suite, &suites, err);
    for (size_t i = 0; rc == 0 && i < suites.n; i++)
        rc = verdicts(p, a, b, suites.items[i], err);
    if (rc == 0)
        rc = verdicts(p, a, b, NULL, err);
    ste_strings_clear(&suites);
    return rc;
}

int view_diff(struct view_page *p, struct ste_err *err)
{
    struct side a = {.name = query(p, "a")}, b = {.name = query(p, "b")};
    struct ste_strings runs = {0};
    int rc = ste_run_names(view_folder(p->view), &runs, err);
    if (rc == 0) {
        view_begin(p, "Compare two runs", NULL);
        ste_buf_adds(&p->out, "<h1>Compare two runs</h1>\n<form method=\"get\" class=\"filter\" action=\"/diff\">\n");
        choice(p, "a", "First run", &runs, a.name);
        choice(p, "b", "Second run", &runs, b.name);
        ste_buf_adds(&p->out, "<div class=\"do\"><button>Compare</button></div>\n</form>\n");
    }
    if (rc == 0 && a.name && b.name) {
        rc = open_side(p, &a, err);
        if (rc == 0)
            rc = open_side(p, &b, err);
        if (rc == 0)
            rc = compare(p, &a, &b, err);
    }
    struct side *const sides[] = {&a, &b};
    for (int i = 0; i < 2; i++) {
        ste_store_close(sides[i]->s);
        json_decref(sides[i]->report);
        ste_xfree(sides[i]->dir);
    }
    ste_strings_clear(&runs);
    return rc;
}
