#include "loop/internal.h"

#include <string.h>

#include "core/mem.h"
#include "loop/kinds/kind.h"

/* A pair, kept or disputed: what its chosen answer could be used for. */
struct used {
    char *pair; /* its id */
    const struct ste_pair_kind *kind;
    bool disputed;
    int64_t position;
    char *instruction, *split, *answer, *row;
    struct ste_dialogue x;
};

struct pairs {
    const struct ste_recipe *recipe;
    struct used *items;
    size_t n, cap;
};

static int add_pair(void *arg, const struct ste_pair_view *v, struct ste_err *err)
{
    struct pairs *g = arg;
    const struct ste_pair_row *r = &v->row;
    STE_GROW(g->items, g->cap, g->n + 1);
    struct used *u = &g->items[g->n++];
    *u = (struct used){.pair = ste_xstrdup(r->id),
                       .kind = ste_pair_kind_of(g->recipe, r->kind),
                       .disputed = strcmp(r->state, STE_PAIR_DISPUTED) == 0,
                       .position = r->position,
                       .instruction = ste_xstrdup(r->instruction),
                       .split = ste_xstrdup(r->split),
                       .answer = ste_xstrdup(r->chosen),
                       .row = ste_xstrdup(r->chosen_from ? r->chosen_from : "")};
    return ste_dialogue_parse(&u->x, v->dialogue, "a dialogue in the store", err);
}

static void clear(struct pairs *g)
{
    for (size_t i = 0; i < g->n; i++) {
        struct used *u = &g->items[i];
        ste_xfree(u->pair);
        ste_xfree(u->instruction);
        ste_xfree(u->split);
        ste_xfree(u->answer);
        ste_xfree(u->row);
        ste_dialogue_clear(&u->x);
    }
    ste_xfree(g->items);
}

/* Whether its chosen answer is one of the model's own to this instruction. */
static bool has_answer(const struct used *u)
{
    return u->kind && ste_chooses_answer(u->kind) && strcmp(u->kind->label_source, ste_kind_other.label_source) == 0;
}

static int put(struct ste_loop *l, const struct used *u, const struct ste_lent *from, struct ste_err *err)
{
    const char *const rows[3] = {u->row, NULL, from->row};
    const struct ste_id id = ste_loop_pair_id(u->instruction, ste_kind_other.name, rows);
    const struct ste_pair_row row = {.id = id.s,
                                     .instruction = u->instruction,
                                     .position = u->position,
                                     .split = u->split,
                                     .kind = ste_kind_other.name,
                                     .state = "kept",
                                     .chosen_from = rows[0],
                                     .rejected_from = rows[2],
                                     .chosen = u->answer,
                                     .modified = from->x->turns[from->x->n - 1].text,
                                     .rejected = from->answer,
                                     .label_source = ste_kind_other.label_source};
    const int rc = ste_put_pair(l->store, &row, err);
    return rc != 0 ? rc : ste_set_pair_state(l->store, u->pair, STE_PAIR_MADE_AGAIN, err);
}

int ste_loop_make_again(struct ste_loop *l, struct ste_err *err)
{
    struct pairs g = {.recipe = &l->recipe};
    int rc = ste_each_pair(l->store, NULL, STE_PAIR_DISPUTED, add_pair, &g, err);
    struct ste_lent *all = ste_xcalloc(g.n + 1, sizeof *all);
    for (size_t i = 0; i < g.n; i++) {
        const struct used *u = &g.items[i];
        all[i] = (struct ste_lent){u->instruction, u->split, u->answer, u->row, &u->x, has_answer(u)};
    }
    for (size_t i = 0; rc == 0 && i < g.n; i++) {
        const struct used *u = &g.items[i];
        if (!u->disputed || !all[i].lends || u->kind == &ste_kind_other)
            continue;
        const struct ste_lent *from = ste_loop_lender(l, all, g.n, i);
        rc = from ? put(l, u, from, err) : 0;
    }
    ste_xfree(all);
    clear(&g);
    return rc;
}
