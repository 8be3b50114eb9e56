/* An instruction and what was made of it; and texts of the store as they are. */
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "core/strings.h"
#include "report/html.h"
#include "serve/view_page.h"

static int show_instruction(void *arg, const struct ste_instruction_row *r, struct ste_err *err)
{
    struct view_page *p = arg;
    struct ste_buf raw = STE_BUF_INIT;
    view_begin(p, "Instruction", "instructions");
    ste_buf_addf(&p->out, "<h1>Instruction %lld</h1>\n<dl class=\"facts\">\n", (long long)r->position + 1);
    view_fact(p, "State", "%s", r->state);
    if (r->duplicate_of) {
        ste_buf_adds(&p->out, "<dt>It is like</dt><dd><a href=\"");
        view_url(&p->out, p->run, "instructions", r->duplicate_of);
        ste_html_printf(&p->out, "\">%s</a></dd>\n", r->duplicate_of);
    }
    view_fact(p, "Source", "%s", r->source);
    if (r->category)
        view_fact(p, "Category", "%s", r->category);
    if (r->complexity != STE_NO_INT)
        view_fact(p, "Complexity", "%lld", (long long)r->complexity);
    if (r->expected_length)
        view_fact(p, "Expected length", "%s", r->expected_length);
    if (r->labelled_by)
        view_fact(p, "Labelled by", "%s", r->labelled_by);
    if (r->split)
        view_fact(p, "Split", "%s", r->split);
    if (r->cluster)
        view_fact(p, "Cluster", "%s", r->cluster);
    view_fact(p, "Id", "%s", r->id);
    ste_buf_adds(&p->out, "</dl>\n<h2>Text</h2>\n");
    view_url(&raw, p->run, "text/dialogue", r->id);
    view_dialogue(p, r->dialogue, raw.s);
    ste_buf_clear(&raw);
    return 0;
}

static int show_pair(void *arg, const struct ste_pair_row *r, struct ste_err *err)
{
    struct view_page *p = arg;
    ste_buf_adds(&p->out, "<li><a href=\"");
    view_url(&p->out, p->run, "pairs", r->id);
    ste_html_printf(&p->out, "\">%s</a>: %s</li>\n", r->kind, r->state);
    return 0;
}

static int show_label(void *arg, const struct ste_label_row *r, struct ste_err *err)
{
    struct view_page *p = arg;
    view_fact(p, "A label by a model", "%s: %s", r->kind, r->value ? r->value : "none");
    return 0;
}

static int show_maker(void *arg, const struct ste_provenance_row *r, struct ste_err *err)
{
    struct view_page *p = arg;
    ste_html_printf(&p->out, "<p class=\"note\">%s by %s", r->role, r->model ? r->model : "a rule");
    view_sampling(p, r->sampling);
    ste_buf_adds(&p->out, "</p>\n");
    return 0;
}

static int show_generation(void *arg, const struct ste_generation_row *r, struct ste_err *err)
{
    struct view_page *p = arg;
    struct ste_buf raw = STE_BUF_INIT;
    ste_html_printf(&p->out, "<section class=\"made\"><h3>%s, try %lld: %s</h3>\n", r->kind, (long long)r->sample + 1,
                    r->finish);
    int rc = ste_find_provenance(p->s, "id", r->provenance, show_maker, p, err);
    view_url(&raw, p->run, "text/generation", r->id);
    view_text(p, r->text ? r->text : "", r->text ? strlen(r->text) : 0, raw.s);
    ste_buf_clear(&raw);
    ste_buf_adds(&p->out, "</section>\n");
    return rc;
}

int view_instruction(struct view_page *p, struct ste_err *err)
{
    const char *id = ste_exchange_part(p->x, "id");
    int rc = ste_find_instruction(p->s, "id", id, show_instruction, p, err);
    if (rc == 0 && p->out.len == 0)
        rc = ste_err_set(err, STE_ENOTFOUND, "This run has no instruction %s.", id);
    if (rc != 0)
        return rc;
    ste_buf_adds(&p->out, "<h2>Pairs</h2>\n");
    size_t before = p->out.len;
    ste_buf_adds(&p->out, "<ul>\n");
    const size_t empty = p->out.len;
    rc = ste_find_pair(p->s, "instruction", id, show_pair, p, err);
    if (p->out.len == empty) {
        ste_buf_cut(&p->out, before);
        ste_buf_adds(&p->out, "<p>None was made.</p>\n");
    } else {
        ste_buf_adds(&p->out, "</ul>\n");
    }
    before = p->out.len;
    ste_buf_adds(&p->out, "<dl class=\"facts\">\n");
    if (rc == 0)
        rc = ste_find_label(p->s, "instruction", id, show_label, p, err);
    ste_buf_adds(&p->out, "</dl>\n<h2>What was written for it</h2>\n");
    return rc == 0 ? ste_find_generation(p->s, "instruction", id, show_generation, p, err) : rc;
}

/* ---- texts as they are ---- */

struct raw {
    const char *what;
    char *text;
};

static int take(void *arg, const char *text)
{
    struct raw *r = arg;
    ste_xfree(r->text);
    r->text = text ? ste_xstrdup(text) : NULL;
    return 0;
}

static int of_instruction(void *arg, const struct ste_instruction_row *r, struct ste_err *err)
{
    return take(arg, r->dialogue);
}

static int of_pair(void *arg, const struct ste_pair_row *r, struct ste_err *err)
{
    const char *what = ((struct raw *)arg)->what;
    return take(arg, strcmp(what, "chosen") == 0     ? r->chosen
                     : strcmp(what, "rejected") == 0 ? r->rejected
                                                     : r->modified);
}

static int of_generation(void *arg, const struct ste_generation_row *r, struct ste_err *err)
{
    return take(arg, r->text);
}

static int of_judgment(void *arg, const struct ste_judgment_row *r, struct ste_err *err)
{
    return take(arg, r->reasoning);
}

static int of_evaluation(void *arg, const struct ste_evaluation_row *r, struct ste_err *err)
{
    return take(arg, r->reasoning);
}

int view_raw(struct view_page *p, struct ste_err *err)
{
    const char *what = ste_exchange_part(p->x, "what"), *id = ste_exchange_part(p->x, "id");
    static const char *const names[] = {"dialogue",   "chosen",   "rejected",   "modified",
                                        "generation", "judgment", "evaluation", NULL};
    struct raw r = {.what = what};
    int rc = 0;
    switch (ste_name_find(names, what)) {
    case 0:
        rc = ste_find_instruction(p->s, "id", id, of_instruction, &r, err);
        break;
    case 1:
    case 2:
    case 3:
        rc = ste_find_pair(p->s, "id", id, of_pair, &r, err);
        break;
    case 4:
        rc = ste_find_generation(p->s, "id", id, of_generation, &r, err);
        break;
    case 5:
        rc = ste_find_judgment(p->s, "id", id, of_judgment, &r, err);
        break;
    case 6:
        rc = ste_find_evaluation(p->s, "id", id, of_evaluation, &r, err);
        break;
    default:
        break;
    }
    if (rc == 0 && !r.text)
        return ste_err_set(err, STE_ENOTFOUND, "This run has no text of this name.");
    ste_buf_adds(&p->out, r.text ? r.text : "");
    ste_xfree(r.text);
    p->plain = true;
    return rc;
}
