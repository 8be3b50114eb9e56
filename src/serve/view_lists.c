/* Lists of a run: instructions, pairs, judgments, by filters, a page at a time. */
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "report/html.h"
#include "serve/view_page.h"

enum { ROWS = 50, LONGEST_SEARCH = 500 };

/* ---- filters ---- */

static const char *given(const struct view_page *p, const char *name)
{
    const char *value = ste_exchange_query(p->x, name);
    return value && *value ? value : NULL;
}

void view_filter(const struct view_page *p, struct ste_filter *f)
{
    *f = (struct ste_filter){.text = given(p, "text"),
                             .state = given(p, "state"),
                             .reason = given(p, "reason"),
                             .kind = given(p, "kind"),
                             .split = given(p, "split"),
                             .suite = given(p, "suite"),
                             .outcome = given(p, "outcome"),
                             .iteration = given(p, "iteration"),
                             .disagree = given(p, "disagree") != NULL};
}

void view_filter_query(struct ste_buf *out, const struct ste_filter *f)
{
    view_query(out, "text", f->text);
    view_query(out, "state", f->state);
    view_query(out, "reason", f->reason);
    view_query(out, "kind", f->kind);
    view_query(out, "split", f->split);
    view_query(out, "suite", f->suite);
    view_query(out, "outcome", f->outcome);
    view_query(out, "iteration", f->iteration);
    view_query(out, "disagree", f->disagree ? "1" : NULL);
}

static int check_filter(const struct ste_filter *f, struct ste_err *err)
{
    if (f->text && strlen(f->text) > LONGEST_SEARCH)
        return ste_err_set(err, STE_EUSAGE, "a text to be searched for has at most %d bytes: give a part of it",
                           LONGEST_SEARCH);
    if (f->iteration && (strlen(f->iteration) > 6 || f->iteration[strspn(f->iteration, "0123456789")]))
        return ste_err_set(err, STE_EUSAGE, "iteration=%.40s is no number", f->iteration);
    return 0;
}

/* A choice of one value, or of any. */
struct select {
    struct view_page *p;
    const char *now;
    bool there; /* NOW was among the values */
};

static int option(void *arg, const char *value, int64_t n, struct ste_err *err)
{
    struct select *o = arg;
    const bool now = value && o->now && strcmp(value, o->now) == 0;
    if (!value || !*value)
        return 0;
    o->there |= now;
    ste_html_printf(&o->p->out, "<option value=\"%s\"%s>%s", value, now ? " selected" : "", value);
    if (n >= 0)
        ste_html_printf(&o->p->out, " (%lld)", (long long)n);
    ste_buf_adds(&o->p->out, "</option>");
    return 0;
}

static void select_begin(struct select *o, struct view_page *p, const char *name, const char *label, const char *any,
                         const char *now)
{
    *o = (struct select){.p = p, .now = now};
    ste_buf_addf(&p->out,
                 "<div><label for=\"f-%s\">%s</label><select id=\"f-%s\" name=\"%s\"><option value=\"\">%s</option>",
                 name, label, name, name, any);
}

static void select_end(struct select *o)
{
    if (o->now && !o->there)
        ste_html_printf(&o->p->out, "<option value=\"%s\" selected>%s</option>", o->now, o->now);
    ste_buf_adds(&o->p->out, "</select></div>\n");
}

static int select_of(struct view_page *p, const char *name, const char *label, enum ste_valued what, const char *now,
                     struct ste_err *err)
{
    struct select o;
    select_begin(&o, p, name, label, "any", now);
    int rc = ste_browse_values(p->s, what, option, &o, err);
    select_end(&o);
    return rc;
}

static void form_begin(struct view_page *p, const char *part, const struct ste_filter *f)
{
    ste_buf_adds(&p->out, "<form method=\"get\" class=\"filter\" role=\"search\" action=\"");
    view_url(&p->out, p->run, part, NULL);
    ste_html_printf(&p->out,
                    "\">\n<div class=\"grow\"><label for=\"f-text\">Text in the prompt or an answer</label><input "
                    "id=\"f-text\" type=\"search\" name=\"text\" dir=\"auto\" maxlength=\"%d\" value=\"%s\"></div>\n",
                    LONGEST_SEARCH, f->text ? f->text : "");
}

static void form_end(struct view_page *p, const char *part, bool orders, const struct ste_filter *f)
{
    if (orders)
        ste_buf_addf(&p->out,
                     "<div class=\"check\"><input type=\"checkbox\" id=\"f-disagree\" name=\"disagree\" value=\"1\"%s>"
                     "<label for=\"f-disagree\">The orders disagree</label></div>\n",
                     f->disagree ? " checked" : "");
    ste_buf_adds(&p->out, "<div class=\"do\"><button>Show</button> <a href=\"");
    view_url(&p->out, p->run, part, NULL);
    ste_buf_adds(&p->out, "\">Show all</a></div>\n</form>\n");
}

/* ---- the rows of a page ---- */

struct rows {
    struct view_page *p;
    const struct ste_filter *f;
    size_t n;
    size_t begin[ROWS + 2]; /* where each row begins in the page's buffer; BEGIN[N]: where the next would */
    char *ids[ROWS + 1];
};

static void row_begins(struct rows *r, const char *id)
{
    r->begin[r->n] = r->p->out.len;
    r->ids[r->n++] = ste_xstrdup(id);
    ste_buf_adds(&r->p->out, "<tr role=\"row\">");
}

/* The first cell: a text that leads to PART/ID. */
static void row_link(struct rows *r, const char *head, const char *part, const char *id, const char *text)
{
    struct ste_buf *out = &r->p->out;
    ste_buf_addf(out, "<th scope=\"row\" role=\"rowheader\" data-head=\"%s\" class=\"text\"><a dir=\"auto\" href=\"",
                 head);
    view_url(out, r->p->run, part, id);
    const size_t at = out->len;
    ste_buf_addc(out, '?');
    view_filter_query(out, r->f);
    ste_buf_cut(out, out->len == at + 1 ? at : out->len - 5);
    ste_html_printf(out, "\">%s</a></th>", text && *text ? text : "(no text)");
}

static int instruction_row(void *arg, const struct ste_instruction_line *l, struct ste_err *err)
{
    struct rows *r = arg;
    row_begins(r, l->id);
    row_link(r, "Instruction", "instructions", l->id, l->begins);
    view_cell(r->p, "State", "", "%s", l->state);
    view_cell(r->p, "Category", "", "%s", l->category ? l->category : "-");
    view_cell(r->p, "Split", "", "%s", l->split ? l->split : "-");
    view_cell(r->p, "Pairs", "", "%lld", (long long)l->pairs);
    ste_buf_adds(&r->p->out, "</tr>\n");
    return 0;
}

static int pair_row(void *arg, const struct ste_pair_line *l, struct ste_err *err)
{
    struct rows *r = arg;
    row_begins(r, l->id);
    row_link(r, "Prompt", "pairs", l->id, l->begins);
    view_cell(r->p, "Better answer", "text", "%s", l->chosen ? l->chosen : "-");
    view_cell(r->p, "Worse answer", "text", "%s", l->rejected ? l->rejected : "-");
    view_cell(r->p, "Kind", "", "%s", l->kind);
    view_cell(r->p, "Split", "", "%s", l->split);
    view_cell(r->p, "State", "long", "%s", l->state);
    view_cell(r->p, "Outcome by iteration", "long", "%s", l->outcomes ? l->outcomes : "-");
    ste_buf_adds(&r->p->out, "</tr>\n");
    return 0;
}

static int judgment_row(void *arg, const struct ste_judgment_line *l, struct ste_err *err)
{
    struct rows *r = arg;
    const bool invalid = strcmp(l->verdict, "invalid") == 0, tied = strcmp(l->verdict, "tied") == 0;
    struct ste_buf margin = STE_BUF_INIT;
    row_begins(r, l->id);
    if (l->kind)
        row_link(r, "Prompt", "pairs", l->pair, l->begins);
    else
        ste_html_printf(&r->p->out,
                        "<th scope=\"row\" role=\"rowheader\" data-head=\"Prompt\" class=\"text\">%s of a file</th>",
                        l->pair);
    view_cell(r->p, "Kind", "", "%s", l->kind ? l->kind : "-");
    view_cell(r->p, "Iteration", "", l->step > 0 ? "%lld, step %lld" : "%lld", (long long)l->iteration,
              (long long)l->step);
    view_cell(r->p, "Better answer at", "", "%s", l->winner);
    view_cell(r->p, "Sample", "", l->sample == STE_NO_INT ? "-" : "%lld", (long long)l->sample);
    view_cell(r->p, "Verdict", "", "%s", invalid ? "-" : l->verdict);
    view_cell(r->p, "It is",
              invalid || tied ? "long"
              : l->correct    ? "good"
                              : "bad",
              invalid ? "invalid: %s" : "%s",
              invalid      ? l->reason
              : tied       ? "tied"
              : l->correct ? "right"
                           : "wrong");
    view_number(&margin, (l->logprob_a - l->logprob_b) * (*l->winner == 'A' ? 1 : -1), 2);
    view_cell(r->p, "Margin", "", "%s", margin.s);
    ste_buf_clear(&margin);
    ste_buf_adds(&r->p->out, "</tr>\n");
    return 0;
}

static void page_link(struct view_page *p, const char *part, const struct ste_filter *f, const char *name,
                      const char *id, const char *label)
{
    ste_buf_adds(&p->out, "<li><a href=\"");
    view_url(&p->out, p->run, part, NULL);
    ste_buf_addc(&p->out, '?');
    view_filter_query(&p->out, f);
    view_query(&p->out, name, id);
    ste_buf_cut(&p->out, p->out.len - 5);
    ste_buf_addf(&p->out, "\" rel=\"%s\">%s</a></li>", *name == 'a' ? "next" : "prev", label);
}

/* Links to the pages around, once the rows, one more than are shown, have been read: FORWARD in the list's order. */
static void row_links(struct rows *r, const char *part, const struct ste_page *page)
{
    struct view_page *p = r->p;
    const bool more = r->n > ROWS;
    r->begin[r->n] = p->out.len;
    size_t first = 0, last = r->n ? r->n - 1 : 0;
    if (more && page->before) { /* the first is the one too many */
        struct ste_buf kept = STE_BUF_INIT;
        ste_buf_add(&kept, p->out.s + r->begin[1], p->out.len - r->begin[1]);
        ste_buf_cut(&p->out, r->begin[0]);
        ste_buf_add(&p->out, kept.s, kept.len);
        ste_buf_clear(&kept);
        first = 1;
    } else if (more) {
        ste_buf_cut(&p->out, r->begin[r->n - 1]);
        last--;
    }
    ste_buf_adds(&p->out, "</tbody></table>\n<nav aria-label=\"Pages\" class=\"pages\"><ul>");
    if (r->n && (page->after || (page->before && more)))
        page_link(p, part, r->f, "before", r->ids[first], "Previous page");
    if (r->n && (page->before || more))
        page_link(p, part, r->f, "after", r->ids[last], "Next page");
    ste_buf_adds(&p->out, "</ul></nav>\n");
    for (size_t i = 0; i < r->n; i++)
        ste_xfree(r->ids[i]);
}

/* The list WHAT behind its form. */
static int list(struct view_page *p, enum ste_browsed what, const char *part, const struct ste_filter *f,
                const char *const *heads, struct ste_err *err)
{
    static const char *const nouns[] = {"instructions", "pairs", "judgments of training pairs", "verdicts"};
    struct ste_page page = {given(p, "after"), given(p, "before"), ROWS + 1};
    struct rows r = {.p = p, .f = f};
    int64_t n = 0;
    char caption[64];
    page.before = page.after ? NULL : page.before;
    int rc = ste_browse_begin(p->s, what, f, err);
    if (rc == 0)
        rc = ste_browse_count(p->s, what, f, &n, err);
    if (rc != 0)
        return rc;
    snprintf(caption, sizeof caption, "%lld %s", (long long)n, nouns[what]);
    view_table(p, caption, heads);
    if (what == STE_BROWSE_INSTRUCTIONS)
        rc = ste_browse_instructions(p->s, f, &page, instruction_row, &r, err);
    else if (what == STE_BROWSE_PAIRS)
        rc = ste_browse_pairs(p->s, f, &page, pair_row, &r, err);
    else
        rc = ste_browse_judgments(p->s, what, f, &page, judgment_row, &r, err);
    row_links(&r, part, &page);
    return rc;
}

int view_instructions(struct view_page *p, struct ste_err *err)
{
    static const char *const heads[] = {"Instruction", "State", "Category", "Split", "Pairs", NULL};
    struct ste_filter f;
    view_filter(p, &f);
    int rc = check_filter(&f, err);
    if (rc != 0)
        return rc;
    view_begin(p, "Instructions", "instructions");
    ste_buf_adds(&p->out, "<h1>Instructions</h1>\n");
    form_begin(p, "instructions", &f);
    rc = select_of(p, "state", "State", STE_VALUES_INSTRUCTION_STATE, f.state, err);
    if (rc == 0)
        rc = select_of(p, "kind", "Category", STE_VALUES_CATEGORY, f.kind, err);
    if (rc == 0)
        rc = select_of(p, "split", "Split", STE_VALUES_INSTRUCTION_SPLIT, f.split, err);
    form_end(p, "instructions", false, &f);
    return rc == 0 ? list(p, STE_BROWSE_INSTRUCTIONS, "instructions", &f, heads, err) : rc;
}

int view_pairs(struct view_page *p, struct ste_err *err)
{
    static const char *const heads[] = {"Prompt", "Better answer", "Worse answer",         "Kind",
                                        "Split",  "State",         "Outcome by iteration", NULL};
    struct ste_filter f;
    view_filter(p, &f);
    int rc = check_filter(&f, err);
    if (rc != 0)
        return rc;
    view_begin(p, "Pairs", "pairs");
    ste_buf_adds(&p->out, "<h1>Pairs</h1>\n");
    form_begin(p, "pairs", &f);
    rc = select_of(p, "state", "State", STE_VALUES_PAIR_STATE, f.state, err);
    if (rc == 0)
        rc = select_of(p, "kind", "Kind", STE_VALUES_KIND, f.kind, err);
    if (rc == 0)
        rc = select_of(p, "split", "Split", STE_VALUES_SPLIT, f.split, err);
    if (rc == 0)
        rc = select_of(p, "iteration", "Iteration", STE_VALUES_ITERATION, f.iteration, err);
    if (rc == 0)
        rc = select_of(p, "outcome", "Outcome", STE_VALUES_OUTCOME, f.outcome, err);
    form_end(p, "pairs", true, &f);
    return rc == 0 ? list(p, STE_BROWSE_PAIRS, "pairs", &f, heads, err) : rc;
}

int view_judgments(struct view_page *p, struct ste_err *err)
{
    static const char *const heads[] = {"Prompt", "Kind",   "Iteration", "Better answer at", "Sample", "Verdict",
                                        "It is",  "Margin", NULL};
    struct ste_filter f;
    struct select o;
    view_filter(p, &f);
    int rc = check_filter(&f, err);
    if (rc != 0)
        return rc;
    view_begin(p, "Judgments", "judgments");
    ste_buf_adds(&p->out, "<h1>Judgments</h1>\n");
    form_begin(p, "judgments", &f);
    select_begin(&o, p, "suite", "Of", "training pairs", f.suite);
    rc = ste_browse_values(p->s, STE_VALUES_SUITE, option, &o, err);
    select_end(&o);
    select_begin(&o, p, "state", "It is", "any", f.state);
    static const char *const states[] = {"right", "wrong", "invalid"};
    for (int i = 0; i < 3; i++)
        option(&o, states[i], -1, err);
    select_end(&o);
    if (rc == 0)
        rc = select_of(p, "reason", "Invalid since", f.suite ? STE_VALUES_SUITE_REASON : STE_VALUES_REASON, f.reason,
                       err);
    if (rc == 0)
        rc = select_of(p, "iteration", "Iteration", f.suite ? STE_VALUES_SUITE_ITERATION : STE_VALUES_ITERATION,
                       f.iteration, err);
    if (rc == 0)
        rc = select_of(p, "kind", "Kind", STE_VALUES_KIND, f.kind, err);
    if (rc == 0)
        rc = select_of(p, "split", "Split", STE_VALUES_SPLIT, f.split, err);
    form_end(p, "judgments", true, &f);
    return rc == 0 ? list(p, f.suite ? STE_BROWSE_VERDICTS : STE_BROWSE_JUDGMENTS, "judgments", &f, heads, err) : rc;
}
