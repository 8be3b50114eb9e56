#include "model/choices.h"

#include "core/log.h"
#include "core/mem.h"
#include "model/chat.h"

/* clang-format off */
#define OPTIONS_OF struct ste_model_choices
const struct ste_option ste_model_options[] = {
    STE_STRING("load_as", load_as, "", "TYPE", "make F32, F16 and BF16 weights smaller as they are loaded: q8_0, q4_k, "
               "or another type of `ste convert`"),
    STE_STRING("chat_template", chat_template, "", "NAME",
               "a chat template by name, in place of the model's own: chatml, llama3, ... (docs/models.md)"),
    STE_STRING("chat_date", chat_date, "", "DATE", "the date that chat templates see; empty: 2024-07-26"),
    {0},
};
/* clang-format on */

static bool says(const char *text)
{
    return text && *text;
}

bool ste_model_choices_any(const struct ste_model_choices *c)
{
    return says(c->load_as) || says(c->chat_template) || says(c->chat_date);
}

static void take(char **to, const char *from, bool replaces)
{
    if (!says(from) || (says(*to) && !replaces))
        return;
    ste_xfree(*to);
    *to = ste_xstrdup(from);
}

void ste_model_choices_take(struct ste_model_choices *to, const struct ste_model_choices *from)
{
    take(&to->load_as, from->load_as, true);
    take(&to->chat_template, from->chat_template, true);
    take(&to->chat_date, from->chat_date, true);
}

void ste_model_choices_fill(struct ste_model_choices *to, const struct ste_model_choices *from)
{
    take(&to->load_as, from->load_as, false);
    take(&to->chat_template, from->chat_template, false);
    take(&to->chat_date, from->chat_date, false);
}

void ste_model_choices_clear(struct ste_model_choices *c)
{
    ste_xfree(c->load_as);
    ste_xfree(c->chat_template);
    ste_xfree(c->chat_date);
    *c = (struct ste_model_choices){0};
}

/* Whoever comes with a folder as it was published should know that this is not the way to use it. */
static void say_wide(const struct ste_model *m)
{
    const uint64_t many = 250000000;
    uint64_t weights = 0;
    for (int i = 0; i < m->hp.n_layers; i++)
        for (int l = 0; l < STE_N_LINEAR; l++) {
            const struct ste_tensor *t = m->layers[i].linear[l];
            weights += ste_type_block(ste_model_type(m, t)) == 1 ? t->shape[0] * t->shape[1] : 0;
        }
    if (weights >= many)
        ste_info(
            "%s has %.1f billion weights of %s, which take %d bytes each: --load-as q8_0 makes them smaller and "
            "several times as fast",
            ste_gguf_path(m->gguf), (double)weights / 1e9, ste_type_name(m->layers[0].linear[STE_Q]->type),
            (int)ste_type_bytes(m->layers[0].linear[STE_Q]->type));
}

int ste_model_open_chosen(struct ste_model **out, const char *path, const struct ste_model_choices *c,
                          struct ste_err *err)
{
    int rc = ste_model_open(out, path, err);
    if (rc == 0)
        rc = ste_model_load_as(*out, c->load_as, err);
    if (rc == 0 && (says(c->chat_template) || says(c->chat_date))) /* else it is chosen already */
        rc = ste_chat_choose(*out, c->chat_template, c->chat_date, err);
    if (rc == 0) {
        say_wide(*out);
    } else {
        ste_model_close(*out);
        *out = NULL;
    }
    return rc;
}
