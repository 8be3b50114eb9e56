#include "cli/running.h"

#include "core/mem.h"
#include "report/report.h"

/* clang-format off */
#define OPTIONS_OF struct ste_running_flags
const struct ste_option ste_running_options[] = {
    STE_WORDS("set", sets, "KEY=VALUE", "an option of the recipe; `ste help recipe` lists them"),
    STE_TABLE("", engine, ste_llm_options),
    {0},
};
/* clang-format on */

static void take_text(char **to, const char *flag)
{
    if (!*flag)
        return;
    ste_xfree(*to);
    *to = ste_xstrdup(flag);
}

void ste_running_engine(struct ste_llm_params *to, const struct ste_llm_params *flags)
{
    to->threads = flags->threads ? flags->threads : to->threads;
    to->batch = flags->batch ? flags->batch : to->batch;
    to->ctx = flags->ctx ? flags->ctx : to->ctx;
    to->activations = flags->activations != STE_ACT_AUTO ? flags->activations : to->activations;
    take_text(&to->isa, flags->isa);
    take_text(&to->load_as, flags->load_as);
    take_text(&to->chat_template, flags->chat_template);
    take_text(&to->chat_date, flags->chat_date);
}

int ste_running_recipe(struct ste_recipe *r, const char *recipe, const struct ste_running_flags *f, struct ste_err *err)
{
    int rc = ste_recipe_load(r, recipe, err);
    for (size_t i = 0; rc == 0 && i < f->sets.n; i++)
        rc = ste_options_set(ste_recipe_options, r, f->sets.items[i], err);
    if (rc != 0)
        return rc;
    ste_running_engine(&r->engine, &f->engine);
    return ste_recipe_check(r, err);
}

int ste_running_open(struct ste_loop **out, const char *dir, const struct ste_llm_params *flags, struct ste_err *err)
{
    int rc = ste_loop_open(out, dir, NULL, err);
    if (rc != 0)
        return rc;
    struct ste_llm_params *engine = &(*out)->recipe.engine;
    const long long ctx = engine->ctx;
    ste_running_engine(engine, flags);
    if (engine->ctx == ctx && flags->activations == STE_ACT_AUTO && !*flags->load_as && !*flags->chat_template &&
        !*flags->chat_date)
        return 0;
    ste_loop_close(*out);
    *out = NULL;
    return ste_err_set(
        err, STE_EUSAGE,
        "--ctx, --activations, --load-as, --chat-template and --chat-date would change the result of the run in "
        "%s",
        dir);
}

void ste_running_print(const json_t *report, bool json)
{
    if (json) {
        json_dumpf(report, stdout, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6));
        putchar('\n');
        return;
    }
    struct ste_buf text = STE_BUF_INIT;
    ste_report_text(report, &text);
    fputs(text.s, stdout);
    ste_buf_clear(&text);
}
