#include <string.h>

#include "core/mem.h"
#include "loop/kinds/kind.h"

const struct ste_pair_kind *const ste_pair_kinds[] = {
    &ste_kind_modify,
    &ste_kind_worse,
    &ste_kind_other,
    &ste_kind_weaker,
    &ste_kind_sampled,
    &ste_kind_refuse,
    &ste_kind_comply,
    &ste_kind_labelled,
    &ste_kind_corrupt,
    &ste_kind_verified,
    NULL,
};

/* NULL: there is none. */
static const struct ste_pair_kind *by_name(const char *name)
{
    for (size_t i = 0; ste_pair_kinds[i]; i++)
        if (strcmp(ste_pair_kinds[i]->name, name) == 0)
            return ste_pair_kinds[i];
    return NULL;
}

const struct ste_pair_kind *ste_pair_kind_of(const struct ste_recipe *r, const char *name)
{
    const struct ste_pair_kind *k = by_name(name);
    return k == &ste_kind_modify && r->modify == STE_MODIFY_ONE_CALL ? &ste_kind_modify_one_call : k;
}

int ste_pair_kinds_check(const struct ste_strings *shares, const char *what, struct ste_err *err)
{
    const char *names[16] = {NULL};
    double sum = 0;
    for (size_t i = 0; ste_pair_kinds[i]; i++)
        names[i] = ste_pair_kinds[i]->name;
    for (size_t i = 0; i < shares->n; i++) {
        char *name = ste_xstrndup(shares->items[i], strcspn(shares->items[i], "="));
        int rc = 0;
        if (!by_name(name)) {
            const char *near = ste_nearest(name, names);
            rc = ste_err_set(err, STE_EUSAGE, "%s: there is no kind of pairs \"%s\"%s%s%s", what, name,
                             near ? "; did you mean \"" : "; `ste help recipe` names them", near ? near : "",
                             near ? "\"?" : "");
        }
        sum += ste_share(shares, name);
        ste_xfree(name);
        if (rc != 0)
            return rc;
    }
    return sum > 0 ? 0 : ste_err_set(err, STE_EUSAGE, "%s gives no kind of pairs a share, as in modify=1", what);
}

int ste_pair_kinds_parse(const char *text, struct ste_strings *shares, struct ste_err *err)
{
    static const char key[] = "filter.kinds";
    int rc = 0;
    *shares = (struct ste_strings){0};
    for (const char *p = text; rc == 0 && *(p += strspn(p, " ,")); p += strcspn(p, " ,")) {
        char *item = ste_xstrndup(p, strcspn(p, " ,"));
        rc = ste_shares_add(shares, key, item, err);
        ste_xfree(item);
    }
    if (rc == 0)
        rc = ste_pair_kinds_check(shares, key, err);
    if (rc != 0)
        ste_strings_clear(shares);
    return rc;
}

bool ste_chooses_answer(const struct ste_pair_kind *k)
{
    return strcmp(k->pieces[k->chosen].name, "answer") == 0;
}

bool ste_takes_ordinary(const struct ste_loop *l, const struct ste_pair_job *j)
{
    const struct ste_recipe *r = &l->recipe;
    return !ste_is_harmful(r, j->category) && !(ste_share(&r->kinds, "comply") > 0 && ste_is_harmless(r, j->category));
}
