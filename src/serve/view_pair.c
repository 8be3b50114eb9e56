/* A pair: its prompt, both answers side by side, what every judge said of them, and what became of it. */
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/strings.h"
#include "report/html.h"
#include "serve/view_page.h"

struct shown {
    struct view_page *p;
    int64_t iteration, step, sample;   /* of the judgment that was shown last */
    bool any, sides;                   /* something was shown; a pair of orders is open */
    const struct ste_strings *trained; /* judgments that were trained on: id, label, id, ... */
    char *instruction, *dialogue;
};

static char *raw_of(const struct view_page *p, const char *what, const char *id)
{
    struct ste_buf b = STE_BUF_INIT;
    char *part = ste_xasprintf("text/%s", what);
    view_url(&b, p->run, part, id);
    ste_xfree(part);
    return ste_buf_detach(&b);
}

static void answer_of(struct view_page *p, const char *title, const char *what, const char *id, const char *text)
{
    ste_html_printf(&p->out, "<section><h3>%s</h3>\n", title);
    char *raw = raw_of(p, what, id);
    if (text)
        view_text(p, text, strlen(text), raw);
    else
        ste_buf_adds(&p->out, "<p class=\"note\">It was not made.</p>\n");
    ste_xfree(raw);
    ste_buf_adds(&p->out, "</section>\n");
}

static int take_dialogue(void *arg, const struct ste_instruction_row *r, struct ste_err *err)
{
    ste_xfree(*(char **)arg);
    *(char **)arg = ste_xstrdup(r->dialogue);
    return 0;
}

static int one_id(void *arg, const struct ste_pair_line *l, struct ste_err *err)
{
    ste_xfree(*(char **)arg);
    *(char **)arg = ste_xstrdup(l->id);
    return 0;
}

/* Links to the pairs before and behind ID in the list that the query filters. */
static int neighbours(struct view_page *p, const char *id, struct ste_err *err)
{
    struct ste_filter f;
    view_filter(p, &f);
    /* The filter of a list of judgments has states that no pair has: those around it are then the pairs of all. */
    if (f.suite || f.reason || (f.state && (strcmp(f.state, "right") == 0 || strcmp(f.state, "wrong") == 0)))
        f.state = f.reason = f.suite = NULL;
    int rc = ste_browse_begin(p->s, STE_BROWSE_PAIRS, &f, err);
    ste_buf_adds(&p->out, "<nav aria-label=\"Pairs\" class=\"pages\"><ul>");
    for (int forward = 0; rc == 0 && forward < 2; forward++) {
        const struct ste_page page = {forward ? id : NULL, forward ? NULL : id, 1};
        char *other = NULL;
        rc = ste_browse_pairs(p->s, &f, &page, one_id, &other, err);
        if (rc == 0 && other) {
            ste_buf_adds(&p->out, "<li><a href=\"");
            view_url(&p->out, p->run, "pairs", other);
            ste_buf_addc(&p->out, '?');
            view_filter_query(&p->out, &f);
            ste_buf_addf(&p->out, "\" rel=\"%s\">%s pair</a></li>", forward ? "next" : "prev",
                         forward ? "Next" : "Previous");
        }
        ste_xfree(other);
    }
    ste_buf_adds(&p->out, "<li><a href=\"");
    view_url(&p->out, p->run, "pairs", NULL);
    ste_buf_addc(&p->out, '?');
    view_filter_query(&p->out, &f);
    ste_buf_adds(&p->out, "\">All of these</a></li></ul></nav>\n");
    return rc;
}

static int show_pair(void *arg, const struct ste_pair_row *r, struct ste_err *err)
{
    struct shown *g = arg;
    struct view_page *p = g->p;
    struct ste_buf *out = &p->out;
    g->instruction = ste_xstrdup(r->instruction);
    g->any = true;
    int rc = ste_find_instruction(p->s, "id", r->instruction, take_dialogue, &g->dialogue, err);
    ste_buf_addf(out, "<h1>Pair %lld</h1>\n", (long long)r->position + 1);
    if (rc == 0)
        rc = neighbours(p, r->id, err);
    ste_buf_adds(out, "<dl class=\"facts\">\n");
    view_fact(p, "State", "%s", r->state);
    view_fact(p, "Kind", "%s", r->kind);
    view_fact(p, "Split", "%s", r->split);
    view_fact(p, "The better answer is better", "%s",
              strcmp(r->label_source, "constructed") == 0 ? "by construction" : r->label_source);
    ste_buf_adds(out, "<dt>Instruction</dt><dd><a href=\"");
    view_url(out, p->run, "instructions", r->instruction);
    ste_html_printf(out, "\">what was made of it</a> <code>%s</code></dd>\n", r->instruction);
    view_fact(p, "Id", "%s", r->id);
    ste_buf_adds(out, "</dl>\n<h2>Prompt</h2>\n");
    char *raw = raw_of(p, "dialogue", r->instruction);
    view_dialogue(p, g->dialogue, raw);
    ste_xfree(raw);
    if (r->modified) {
        ste_buf_adds(out,
                     "<details><summary>The modified instruction, which the worse answer was written to</summary>\n");
        answer_of(p, "Modified instruction", "modified", r->id, r->modified);
        ste_buf_adds(out, "</details>\n");
    }
    ste_buf_adds(out, "<h2>Answers</h2>\n<div class=\"sides\">\n");
    answer_of(p, "Better", "chosen", r->id, r->chosen);
    answer_of(p, "Worse", "rejected", r->id, r->rejected);
    ste_buf_adds(out, "</div>\n");
    return rc;
}

/* ---- what became of it ---- */

static int show_outcome(void *arg, const struct ste_outcome_row *r, struct ste_err *err)
{
    struct shown *g = arg;
    static const char *const heads[] = {"Iteration", "Outcome", "Probability of the better answer", NULL};
    if (!g->sides) {
        ste_buf_adds(&g->p->out, "<h2>What became of it</h2>\n");
        view_table(g->p, "As a training pair, by iteration", heads);
    }
    g->sides = true;
    struct ste_buf share = STE_BUF_INIT;
    view_number(&share, r->probability, 3);
    ste_buf_addf(&g->p->out, "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\" data-head=\"Iteration\">%lld</th>",
                 (long long)r->iteration);
    view_cell(g->p, "Outcome", "long", "%s", strcmp(r->state, "kept") == 0 ? "trained on" : r->state);
    view_cell(g->p, "Probability of the better answer", "", "%s", share.s);
    ste_buf_adds(&g->p->out, "</tr>\n");
    ste_buf_clear(&share);
    return 0;
}

static int show_check(void *arg, const struct ste_check_row *r, struct ste_err *err)
{
    static const char *const heads[] = {
        "Answer", "Tokens", "Behind the prompt", "Behind nothing", "Behind the modified instruction", NULL};
    struct view_page *p = ((struct shown *)arg)->p;
    struct ste_buf n = STE_BUF_INIT;
    view_number(&n, r->margin, 2);
    ste_html_printf(&p->out,
                    "<h2>Check by likelihood</h2>\n<p>Margin for the label: %s nats by the fourth root of the "
                    "tokens%s.</p>\n",
                    n.s, r->swapped == 1 ? "; the second answer was chosen" : "");
    view_table(p, "Sums of log-probabilities", heads);
    const double sums[2][3] = {{r->chosen_x, r->chosen_none, r->chosen_modified},
                               {r->rejected_x, r->rejected_none, r->rejected_modified}};
    for (int i = 0; i < 2; i++) {
        const int64_t tokens = i ? r->rejected_tokens : r->chosen_tokens;
        ste_buf_addf(&p->out, "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\" data-head=\"Answer\">%s</th>",
                     i ? "worse" : "better");
        view_cell(p, "Tokens", "", tokens == STE_NO_INT ? "-" : "%lld", (long long)tokens);
        for (int k = 0; k < 3; k++) {
            ste_buf_reset(&n);
            view_number(&n, sums[i][k], 1);
            view_cell(p, heads[k + 2], "", "%s", n.s);
        }
        ste_buf_adds(&p->out, "</tr>\n");
    }
    ste_buf_adds(&p->out, "</tbody></table>\n");
    ste_buf_clear(&n);
    return 0;
}

/* ---- judgments ---- */

static int show_provenance(void *arg, const struct ste_provenance_row *r, struct ste_err *err)
{
    struct view_page *p = arg;
    ste_html_printf(&p->out, "<p class=\"note\">Judge: %s", r->model ? r->model : "not known");
    if (r->adapter_hash && *r->adapter_hash)
        ste_html_printf(&p->out, " with the adapter <code>%.*s</code>", 12, r->adapter_hash);
    view_sampling(p, r->sampling);
    ste_buf_adds(&p->out, "</p>\n");
    return 0;
}

static void end_sides(struct shown *g)
{
    if (g->sides)
        ste_buf_adds(&g->p->out, "</div>\n");
    g->sides = false;
}

/* What judgments of training pairs and verdicts of evaluations have in common. */
struct said {
    const char *id, *what, *winner, *verdict, *reason, *reasoning, *provenance;
    int64_t iteration, step, sample;
    double a, b;
};

/* The label that the judgment was trained on with, the right one even where it said another; NULL: it was not. */
static const char *label_of(const struct ste_strings *trained, const char *id)
{
    for (size_t i = 0; i + 1 < trained->n; i += 2)
        if (strcmp(trained->items[i], id) == 0)
            return trained->items[i + 1];
    return NULL;
}

static int show_said(struct shown *g, const char *title, const struct said *j, struct ste_err *err)
{
    struct view_page *p = g->p;
    struct ste_buf *out = &p->out;
    int rc = 0;
    if (!g->any || g->iteration != j->iteration || g->step != j->step) {
        end_sides(g);
        if (!g->any)
            ste_buf_addf(out, "<h2>%s</h2>\n", title);
        ste_html_printf(out, j->iteration ? "<h3>Iteration %lld" : "<h3>Seed", (long long)j->iteration);
        if (j->step > 0)
            ste_html_printf(out, ", step %lld", (long long)j->step);
        ste_buf_adds(out, "</h3>\n");
        rc = ste_find_provenance(p->s, "id", j->provenance, show_provenance, p, err);
        g->sample = -1;
    }
    if (g->sample != j->sample) {
        end_sides(g);
        if (j->sample != STE_NO_INT)
            ste_html_printf(out, "<h4>Sample %lld</h4>\n", (long long)j->sample);
        ste_buf_adds(out, "<div class=\"orders\">\n");
        g->sides = true;
    }
    g->any = true;
    g->iteration = j->iteration;
    g->step = j->step;
    g->sample = j->sample;
    const char *level = j->sample == STE_NO_INT ? "h4" : "h5";
    const bool asked = strcmp(j->verdict, "A") == 0 || strcmp(j->verdict, "B") == 0,
               right = strcmp(j->verdict, j->winner) == 0;
    ste_html_printf(out, "<section class=\"box judged at-%s\"><%s>The better answer stands at %s</%s>\n<p>", j->winner,
                    level, j->winner, level);
    if (asked)
        ste_html_printf(out, "Verdict <strong>%s</strong>, <strong class=\"%s\">%s</strong>", j->verdict,
                        right ? "good" : "bad", right ? "right" : "wrong");
    else
        ste_html_printf(out, "<strong>%s</strong>%s%s", j->verdict, *j->reason ? ": " : "", j->reason);
    if (label_of(g->trained, j->id))
        ste_html_printf(out, ", trained on with the label %s", label_of(g->trained, j->id));
    ste_buf_adds(out, "</p>\n<dl class=\"facts\">\n");
    if (!isnan(j->a) || !isnan(j->b)) {
        view_fact(p, "log p(A)", "%.4f", j->a);
        view_fact(p, "log p(B)", "%.4f", j->b);
        view_fact(p, "Margin for the better", "%+.4f nats", (j->a - j->b) * (*j->winner == 'A' ? 1 : -1));
    }
    ste_buf_adds(out, "</dl>\n");
    if (j->reasoning && *j->reasoning) {
        char *raw = raw_of(p, j->what, j->id);
        ste_buf_adds(out, "<details><summary>Reasoning</summary>\n");
        view_text(p, j->reasoning, strlen(j->reasoning), raw);
        ste_buf_adds(out, "</details>\n");
        ste_xfree(raw);
    }
    ste_buf_adds(out, "</section>\n");
    return rc;
}

static int show_judgment(void *arg, const struct ste_judgment_row *r, struct ste_err *err)
{
    const struct said j = {r->id,         "judgment",   r->winner, r->verdict, r->reason,    r->reasoning,
                           r->provenance, r->iteration, 0,         r->sample,  r->logprob_a, r->logprob_b};
    return show_said(arg, "Judgments, as a training pair", &j, err);
}

static int show_verdict(void *arg, const struct ste_evaluation_row *r, struct ste_err *err)
{
    const struct said j = {r->id,         "evaluation", r->winner, r->verdict, r->reason,    r->reasoning,
                           r->provenance, r->iteration, r->step,   STE_NO_INT, r->logprob_a, r->logprob_b};
    return show_said(arg, "Judgments, as a pair to measure by", &j, err);
}

static int take_example(void *arg, const struct ste_example_row *r, struct ste_err *err)
{
    ste_strings_add(arg, r->judgment);
    ste_strings_add(arg, r->label);
    return 0;
}

int view_pair(struct view_page *p, struct ste_err *err)
{
    const char *id = ste_exchange_part(p->x, "id");
    struct ste_strings trained = {0};
    struct shown g = {.p = p, .trained = &trained};
    view_begin(p, "Pair", "pairs");
    int rc = ste_find_pair(p->s, "id", id, show_pair, &g, err);
    if (rc == 0 && !g.any)
        rc = ste_err_set(err, STE_ENOTFOUND, "This run has no pair %s.", id);
    if (rc == 0)
        rc = ste_find_outcome(p->s, "pair", id, show_outcome, &g, err);
    if (g.sides)
        ste_buf_adds(&p->out, "</tbody></table>\n");
    g.sides = false;
    if (rc == 0)
        rc = ste_find_check(p->s, id, show_check, &g, err);
    if (rc == 0)
        rc = ste_find_example(p->s, "pair", id, take_example, &trained, err);
    g.any = false;
    if (rc == 0)
        rc = ste_find_judgment(p->s, "pair", id, show_judgment, &g, err);
    end_sides(&g);
    g.any = false;
    if (rc == 0)
        rc = ste_find_evaluation(p->s, "item", id, show_verdict, &g, err);
    end_sides(&g);
    ste_strings_clear(&trained);
    ste_xfree(g.instruction);
    ste_xfree(g.dialogue);
    return rc;
}
