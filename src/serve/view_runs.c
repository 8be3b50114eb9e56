/* The runs of the folder, and one of them: how far it is and what it came to. */
#include <math.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "report/fields.h"
#include "report/html.h"
#include "report/page.h"
#include "serve/view_page.h"
#include "store/run.h"

struct last {
    int64_t iteration, trained;
    char *stop;
};

static int take_iteration(void *arg, const struct ste_iteration_row *r, struct ste_err *err)
{
    struct last *l = arg;
    l->iteration = r->iteration;
    l->trained += r->adapter_hash != NULL;
    ste_xfree(l->stop);
    l->stop = r->stop ? ste_xstrdup(r->stop) : NULL;
    return 0;
}

/* A whole number of the recipe; FALLBACK where it has none. */
static long long recipe_number(struct ste_store *s, const char *key, long long fallback)
{
    char *text = NULL;
    if (ste_store_meta(s, "recipe", &text, NULL) != 0 || !text)
        return fallback;
    json_t *recipe = ste_json_parse(text, strlen(text), "the recipe", NULL);
    const json_t *value = json_object_get(recipe, key);
    const long long n = json_is_integer(value) ? json_integer_value(value) : fallback;
    json_decref(recipe);
    ste_xfree(text);
    return n;
}

/* In words, and what is worked on. */
static int state_of(struct ste_store *s, const char *dir, struct ste_buf *state, struct last *last, struct ste_err *err)
{
    *last = (struct last){0};
    int rc = ste_each_iteration(s, 0, take_iteration, last, err);
    const long long asked = recipe_number(s, "iterations", 0);
    if (ste_run_works(dir))
        ste_buf_adds(state, "goes on");
    else if (last->stop)
        ste_buf_addf(state, "stopped: %s", last->stop);
    else if (asked > 0 && last->trained >= asked)
        ste_buf_adds(state, "finished");
    else
        ste_buf_adds(state, "not finished");
    return rc;
}

static int add_run(struct view_page *p, const char *name, struct ste_err *err)
{
    struct ste_err why = {0};
    struct ste_store *s = NULL;
    struct last last = {0};
    struct ste_run_progress n = {0};
    struct ste_buf state = STE_BUF_INIT, when = STE_BUF_INIT;
    char *dir = ste_run_named(view_folder(p->view), name);
    if (!dir) /* gone since the folder was read */
        return 0;
    int rc = ste_store_open(&s, dir, 0, 1, &why);
    if (rc == 0)
        rc = ste_browse_progress(s, &n, &why);
    if (rc == 0)
        rc = state_of(s, dir, &state, &last, &why);
    const bool live = rc == 0 && strcmp(state.s, "goes on") == 0;
    ste_buf_adds(&p->out,
                 "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\" data-head=\"Run\"><span dir=\"auto\">");
    if (rc == 0) {
        ste_buf_adds(&p->out, "<a href=\"");
        view_url(&p->out, name, NULL, NULL);
        ste_html_printf(&p->out, "\">%s</a>", name);
    } else {
        ste_html_text(&p->out, name);
    }
    ste_buf_adds(&p->out, "</span></th>");
    if (rc == 0) {
        view_cell(p, "State", live ? "long live" : "long", "%s", state.s);
        view_cell(p, "Iteration", "", "%lld", (long long)(last.iteration > n.iteration ? last.iteration : n.iteration));
        view_cell(p, "Pairs kept", "", "%lld", (long long)n.pairs_kept);
        view_cell(p, "Judgments in it", "", "%lld", (long long)n.judgments);
    } else {
        ste_html_printf(&p->out, "<td role=\"cell\" data-head=\"State\" colspan=\"4\" class=\"long\">%s</td>", why.msg);
    }
    view_when(&when, ste_run_written(dir));
    ste_buf_addf(&p->out, "<td role=\"cell\" data-head=\"Written\">%s</td></tr>\n", when.s);
    ste_store_close(s);
    ste_buf_clear(&state);
    ste_buf_clear(&when);
    ste_xfree(last.stop);
    ste_xfree(dir);
    return 0;
}

int view_runs(struct view_page *p, struct ste_err *err)
{
    static const char *const heads[] = {"Run", "State", "Iteration", "Pairs kept", "Judgments in it", "Written", NULL};
    struct ste_strings names = {0};
    int rc = ste_run_names(view_folder(p->view), &names, err);
    if (rc == 0) {
        view_begin(p, "Runs", NULL);
        ste_buf_adds(&p->out, "<h1>Runs</h1>\n");
        if (names.n == 0)
            ste_html_printf(&p->out,
                            "<p>There is no run in %s yet: <code>ste run RECIPE --run %s/NAME</code> makes "
                            "one.</p>\n",
                            view_folder(p->view), view_folder(p->view));
        else
            view_table(p, "The folders with a run, by name", heads);
    }
    for (size_t i = 0; rc == 0 && i < names.n; i++)
        rc = add_run(p, names.items[i], err);
    if (rc == 0 && names.n)
        ste_buf_adds(&p->out, "</tbody></table>\n");
    ste_strings_clear(&names);
    return rc;
}

/* ---- how far it is ---- */

static void meter(struct view_page *p, const char *what, int64_t n, int64_t of)
{
    ste_html_printf(&p->out, "<li><strong>%lld", (long long)n);
    if (of > 0)
        ste_html_printf(&p->out, " <small>of %lld</small>", (long long)of);
    ste_html_printf(&p->out, "</strong><span>%s</span>", what);
    if (of > 0)
        ste_html_printf(&p->out, "<progress max=\"%lld\" value=\"%lld\" aria-label=\"%s\"></progress>", (long long)of,
                        (long long)n, what);
    ste_buf_adds(&p->out, "</li>\n");
}

/* What stands in the page's live part, which view.js asks for again: DATA-LIVE says whether it is worth it. */
static int live(struct view_page *p, struct ste_err *err)
{
    struct ste_run_progress n;
    struct last last;
    struct ste_buf state = STE_BUF_INIT;
    int rc = ste_browse_progress(p->s, &n, err);
    if (rc == 0)
        rc = state_of(p->s, p->dir, &state, &last, err);
    if (rc != 0) {
        ste_buf_clear(&state);
        return rc;
    }
    const bool works = strcmp(state.s, "goes on") == 0;
    char what[64];
    ste_html_printf(&p->out, "<p class=\"state\"><span class=\"%s\">%s</span>, ", works ? "live" : "", state.s);
    if (n.iteration)
        ste_html_printf(&p->out, "iteration %lld of %lld", (long long)n.iteration,
                        recipe_number(p->s, "iterations", n.iteration));
    else
        ste_buf_adds(&p->out, "nothing judged yet");
    if (works) {
        const double rate = view_rate(p->view, p->dir, n.generations + n.pairs + n.judgments + n.steps + n.verdicts);
        ste_buf_adds(&p->out, "; ");
        if (isnan(rate))
            ste_buf_adds(&p->out, "the rate is not known yet");
        else
            ste_html_printf(&p->out, "%.1f rows a second", rate);
    }
    ste_buf_adds(&p->out, "; store written ");
    view_when(&p->out, ste_run_written(p->dir));
    ste_buf_adds(&p->out, "</p>\n<ul class=\"figures\">\n");
    meter(p, "instructions kept", n.instructions_kept, n.instructions);
    meter(p, "kept instructions that have a pair", n.paired, n.instructions_kept);
    meter(p, "pairs kept", n.pairs_kept, n.pairs);
    if (n.iteration) {
        snprintf(what, sizeof what, "training pairs judged in iteration %lld", (long long)n.iteration);
        meter(p, what, n.judged, n.to_judge);
        snprintf(what, sizeof what, "judgments in iteration %lld", (long long)n.iteration);
        meter(p, what, n.judgments, 0);
        snprintf(what, sizeof what, "training steps in iteration %lld", (long long)n.iteration);
        meter(p, what, n.last_step, 0);
    }
    meter(p, "verdicts of evaluations", n.verdicts, 0);
    ste_buf_adds(&p->out, "</ul>\n");
    ste_xfree(last.stop);
    ste_buf_clear(&state);
    return 0;
}

int view_live(struct view_page *p, struct ste_err *err)
{
    view_begin(p, "How far it is", NULL);
    ste_buf_addf(&p->out, "<h1>How far it is</h1>\n<section id=\"live\" data-state=\"%s\">\n",
                 ste_run_works(p->dir) ? "goes on" : "ended");
    int rc = live(p, err);
    ste_buf_adds(&p->out, "</section>\n");
    return rc;
}

int view_run(struct view_page *p, struct ste_err *err)
{
    json_t *report = NULL;
    const bool works = ste_run_works(p->dir);
    int rc = view_report(p->view, p->dir, &report, NULL, err);
    if (rc != 0)
        return rc;
    view_begin(p, "Overview", "");
    ste_html_printf(&p->out,
                    "<h1 dir=\"auto\">%s</h1>\n<section id=\"live\" aria-label=\"How far it is\" data-state=\"%s\"",
                    p->run, works ? "goes on" : "ended");
    if (works) {
        ste_buf_adds(&p->out, " data-live=\"");
        view_url(&p->out, p->run, "live", NULL);
        ste_buf_addc(&p->out, '"');
    }
    ste_buf_adds(&p->out, ">\n");
    rc = live(p, err);
    ste_buf_adds(&p->out, "</section>\n");
    if (works)
        ste_buf_adds(&p->out, "<p class=\"note\">While the run goes on these numbers follow it, where scripts may run; "
                              "the figures below are those of the last time that the page was loaded.</p>\n");
    view_figures(p, report);
    json_decref(report);
    return rc;
}

int view_whole_report(struct view_page *p, struct ste_err *err)
{
    json_t *report = NULL, *beside = NULL;
    int rc = view_report(p->view, p->dir, &report, &beside, err);
    if (rc != 0)
        return rc;
    view_begin(p, "Report", "report");
    ste_page_run_main(&p->out, p->run, report, beside);
    json_decref(report);
    json_decref(beside);
    return 0;
}
