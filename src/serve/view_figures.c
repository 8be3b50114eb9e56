/* What a run came to, from its report: where everything went, with links to it, and figures by iteration. */
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "report/fields.h"
#include "report/html.h"
#include "serve/view_page.h"

static void row_head(struct view_page *p, const char *head, const char *text)
{
    ste_html_printf(&p->out, "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\" data-head=\"%s\">%s</th>", head,
                    text);
}

static void number_cell(struct view_page *p, const char *head, double v)
{
    struct ste_buf b = STE_BUF_INIT;
    view_number(&b, v, 3);
    view_cell(p, head, "", "%s", b.s);
    ste_buf_clear(&b);
}

static void interval_cell(struct view_page *p, const char *head, const json_t *row, const char *name)
{
    char lo[64], hi[64];
    snprintf(lo, sizeof lo, "%s_lo", name);
    snprintf(hi, sizeof hi, "%s_hi", name);
    view_cell(p, head, "", "%.3f [%.3f, %.3f]", ste_field_real(row, name), ste_field_real(row, lo),
              ste_field_real(row, hi));
}

static char *judge_name(long long iteration)
{
    return iteration ? ste_xasprintf("iteration %lld", iteration) : ste_xstrdup("seed");
}

/* ---- where everything went ---- */

/* The states of G, each with a link to the rows in it: PART of the run, whose filter FILTER has the state's name.
 * FILTER NULL: no list shows them. MORE stands behind it in the query, a judgment's state is one of its words. */
static void states(struct view_page *p, const char *title, const json_t *g, const char *part, const char *filter,
                   const char *more)
{
    const char *name;
    json_t *n;
    if (ste_field_whole(g, "total") == 0)
        return;
    ste_html_printf(&p->out, "<dt>%s, %lld</dt><dd><ul class=\"states\">", title, ste_field_whole(g, "total"));
    json_object_foreach(json_object_get(g, "states"), name, n)
    {
        const bool invalid = strncmp(name, "invalid: ", 9) == 0 && strcmp(part, "judgments") == 0;
        ste_buf_adds(&p->out, "<li>");
        if (filter) {
            ste_buf_adds(&p->out, "<a href=\"");
            view_url(&p->out, p->run, part, NULL);
            ste_buf_addc(&p->out, '?');
            view_query(&p->out, invalid ? "reason" : filter, invalid ? name + 9 : name);
            ste_buf_addf(&p->out, "%s\">", more);
        }
        ste_html_printf(&p->out, "%s %lld", name, (long long)json_integer_value(n));
        ste_buf_adds(&p->out, filter ? "</a></li>" : "</li>");
    }
    ste_buf_adds(&p->out, "</ul></dd>\n");
}

static void funnel(struct view_page *p, const json_t *f)
{
    ste_buf_adds(&p->out, "<h2>Where everything went</h2>\n<dl class=\"facts funnel\">\n");
    states(p, "Instructions", json_object_get(f, "instructions"), "instructions", "state", "");
    states(p, "Pairs, of kept instructions", json_object_get(f, "pairs"), "pairs", "state", "");
    states(p, "Kept pairs, by split", json_object_get(f, "pairs_split"), "pairs", "split", "state=kept");
    states(p, "Disputed, made again", json_object_get(f, "made_again"), "pairs", "kind",
           "state=check%3A%20disputed%2C%20made%20again");
    states(p, "Damaged by a rule", json_object_get(f, "rules"), "pairs", NULL, "");
    states(p, "Runs of code", json_object_get(f, "tests"), "pairs", NULL, "");
    size_t i;
    json_t *of;
    json_array_foreach(json_object_get(f, "iterations"), i, of)
    {
        char title[64], more[32];
        const long long it = ste_field_whole(of, "iteration");
        snprintf(more, sizeof more, "iteration=%lld", it);
        snprintf(title, sizeof title, "Iteration %lld: judgments", it);
        states(p, title, json_object_get(of, "judgments"), "judgments", "state", more);
        snprintf(title, sizeof title, "Iteration %lld: training pairs", it);
        states(p, title, json_object_get(of, "outcomes"), "pairs", "outcome", more);
        snprintf(title, sizeof title, "Iteration %lld: examples, by label", it);
        states(p, title, json_object_get(of, "examples"), "judgments", NULL, "");
    }
    ste_buf_adds(&p->out, "</dl>\n");
}

/* ---- figures ---- */

static void evaluations(struct view_page *p, const json_t *list)
{
    static const char *const heads[] = {
        "Judge",   "Pairs", "Two-order accuracy", "Right in both orders", "Single order", "First position",
        "Invalid", NULL};
    const char *last = "";
    size_t i;
    json_t *row;
    json_array_foreach(list, i, row)
    {
        if (*ste_field_text(row, "kind"))
            continue;
        const char *suite = ste_field_text(row, "suite");
        if (strcmp(suite, last) != 0) {
            ste_buf_adds(&p->out, *last ? "</tbody></table>\n" : "<h2>Accuracy</h2>\n");
            char *caption = ste_xasprintf("%s; 95 %% intervals; a coin has .5 and, in both orders, .25",
                                          strcmp(suite, "test") == 0 ? "Held-out synthetic pairs" : suite);
            view_table(p, caption, heads);
            ste_xfree(caption);
        }
        last = suite;
        char *judge = judge_name(ste_field_whole(row, "iteration"));
        row_head(p, heads[0], judge);
        ste_xfree(judge);
        view_cell(p, heads[1], "", "%lld", ste_field_whole(row, "pairs"));
        interval_cell(p, heads[2], row, "two_order");
        interval_cell(p, heads[3], row, "consistent");
        number_cell(p, heads[4], ste_field_real(row, "accuracy"));
        number_cell(p, heads[5], ste_field_real(row, "first_position"));
        view_cell(p, heads[6], "", "%lld", ste_field_whole(row, "invalid"));
        ste_buf_adds(&p->out, "</tr>\n");
    }
    if (*last)
        ste_buf_adds(&p->out, "</tbody></table>\n");
}

static void iterations(struct view_page *p, const json_t *list)
{
    static const char *const heads[] = {"Iteration", "Agreement", "Invalid", "First position",
                                        "Yield",     "Examples",  "Steps",   "Loss, first and last",
                                        "Stopped",   NULL};
    size_t i;
    json_t *row;
    if (json_array_size(list) == 0)
        return;
    ste_buf_adds(&p->out, "<h2>The loop</h2>\n");
    view_table(p, "On training pairs, by their first samples; yield: the share that was trained on", heads);
    json_array_foreach(list, i, row)
    {
        char *judge = judge_name(ste_field_whole(row, "iteration"));
        row_head(p, heads[0], judge);
        ste_xfree(judge);
        number_cell(p, heads[1], ste_field_real(row, "agreement"));
        number_cell(p, heads[2], ste_field_real(row, "invalid_share"));
        number_cell(p, heads[3], ste_field_real(row, "first_position"));
        number_cell(p, heads[4], ste_field_real(row, "yield"));
        view_cell(p, heads[5], "", "%lld", ste_field_whole(row, "examples"));
        view_cell(p, heads[6], "", "%lld", ste_field_whole(row, "steps"));
        if (ste_field_whole(row, "steps"))
            view_cell(p, heads[7], "", "%.3f, %.3f", ste_field_real(row, "first_loss"),
                      ste_field_real(row, "last_loss"));
        else
            view_cell(p, heads[7], "", "-");
        view_cell(p, heads[8], "long", "%s", *ste_field_text(row, "stop") ? ste_field_text(row, "stop") : "-");
        ste_buf_adds(&p->out, "</tr>\n");
    }
    ste_buf_adds(&p->out, "</tbody></table>\n");
}

static void kinds(struct view_page *p, const json_t *report)
{
    static const char *const heads[] = {"Kind",          "Pairs", "Usable", "Disputed", "Characters, better and worse",
                                        "Better longer", NULL};
    size_t i;
    json_t *row;
    const json_t *list = json_object_get(report, "kinds");
    if (json_array_size(list) == 0)
        return;
    ste_buf_adds(&p->out, "<h2>Kinds of pairs</h2>\n");
    view_table(p, "What could give a label away", heads);
    json_array_foreach((json_t *)list, i, row)
    {
        row_head(p, heads[0], ste_field_text(row, "kind"));
        view_cell(p, heads[1], "", "%lld", ste_field_whole(row, "pairs"));
        view_cell(p, heads[2], "", "%lld", ste_field_whole(row, "kept"));
        view_cell(p, heads[3], "", "%lld", ste_field_whole(row, "checked_out"));
        if (ste_field_whole(row, "kept"))
            view_cell(p, heads[4], "", "%.0f, %.0f", ste_field_real(row, "chosen_chars"),
                      ste_field_real(row, "rejected_chars"));
        else
            view_cell(p, heads[4], "", "-");
        number_cell(p, heads[5], ste_field_real(row, "chosen_longer"));
        ste_buf_adds(&p->out, "</tr>\n");
    }
    ste_buf_adds(&p->out, "</tbody></table>\n");
}

static void spent(struct view_page *p, const json_t *report)
{
    static const char *const heads[] = {"Step", "Iteration", "Seconds", NULL}, *const asked[] = {
                                                                                   "Model on a server", "Requests",
                                                                                   "Tokens read", "Tokens written",
                                                                                   NULL};
    const json_t *work = json_object_get(report, "work"), *servers = json_object_get(report, "servers");
    double all = 0;
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)work, i, row) all += ste_field_real(row, "seconds");
    ste_html_printf(&p->out, "<h2>Time and tokens</h2>\n<p>%.0f s", all);
    if (!isnan(ste_field_real(report, "tokens_a_pair")))
        ste_html_printf(&p->out, "; %.0f tokens written a usable pair", ste_field_real(report, "tokens_a_pair"));
    ste_buf_adds(&p->out, "</p>\n");
    if (json_array_size(work) > 0) {
        view_table(p, "Seconds by step", heads);
        json_array_foreach((json_t *)work, i, row)
        {
            row_head(p, heads[0], ste_field_text(row, "step"));
            view_cell(p, heads[1], "", "%lld", ste_field_whole(row, "iteration"));
            view_cell(p, heads[2], "", "%.1f", ste_field_real(row, "seconds"));
            ste_buf_adds(&p->out, "</tr>\n");
        }
        ste_buf_adds(&p->out, "</tbody></table>\n");
    }
    if (json_array_size(servers) > 0) {
        view_table(p, "Asked of servers", asked);
        json_array_foreach((json_t *)servers, i, row)
        {
            row_head(p, asked[0], ste_field_text(row, "model"));
            view_cell(p, asked[1], "", "%lld", ste_field_whole(row, "requests"));
            view_cell(p, asked[2], "", "%lld", ste_field_whole(row, "prompt_tokens"));
            view_cell(p, asked[3], "", "%lld", ste_field_whole(row, "completion_tokens"));
            ste_buf_adds(&p->out, "</tr>\n");
        }
        ste_buf_adds(&p->out, "</tbody></table>\n");
    }
}

void view_figures(struct view_page *p, const json_t *report)
{
    evaluations(p, json_object_get(report, "evaluation"));
    iterations(p, json_object_get(report, "iterations"));
    funnel(p, json_object_get(report, "funnel"));
    kinds(p, report);
    spent(p, report);
}
