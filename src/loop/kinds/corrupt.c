/* The rejected answer is the chosen one, damaged in one place by a rule: what it says is worse, what it looks like is
 * the same. Which rule and where, the seed draws for each answer. The label needs no evidence; what it is worth depends
 * on how good the answer was before. */
#include "core/hash.h"
#include "core/mem.h"
#include "loop/kinds/damage.h"
#include "loop/kinds/kind.h"

const struct ste_damage_rule ste_damage_rules[] = {
    {"number", 3, ste_damage_number},     {"operator", 3, ste_damage_operator},
    {"unit", 3, ste_damage_unit},         {"negation", 1, ste_damage_negation},
    {"opposite", 3, ste_damage_opposite}, {"off by one", 4, ste_damage_off_by_one},
    {"order", 2, ste_damage_order},       {"omission", 1, ste_damage_omission},
    {"cut", 1, ste_damage_cut},           {"repeat", 1, ste_damage_repeat},
    {"foreign", 1, ste_damage_foreign},   {NULL, 0, NULL},
};
enum { N_RULES = sizeof ste_damage_rules / sizeof *ste_damage_rules - 1 };

char *ste_damage(const struct ste_damage *d, uint64_t key, const struct ste_damage_rule **rule)
{
    bool tried[N_RULES] = {false};
    struct ste_rng order;
    ste_rng_init(&order, key, 0);
    for (int turn = 0; turn < N_RULES; turn++) {
        uint32_t all = 0, at;
        for (int i = 0; i < N_RULES; i++)
            all += tried[i] ? 0 : ste_damage_rules[i].weight;
        at = ste_rng_below(&order, all);
        int i = 0;
        for (; tried[i] || at >= ste_damage_rules[i].weight; i++)
            at -= tried[i] ? 0 : ste_damage_rules[i].weight;
        tried[i] = true;
        struct ste_rng place;
        ste_rng_init(&place, key, (uint32_t)i + 1); /* its places hang on no other rule's */
        char *text = ste_damage_rules[i].apply(d, &place);
        if (text && !ste_text_same(text, d->text)) {
            *rule = &ste_damage_rules[i];
            return text;
        }
        ste_xfree(text);
    }
    return NULL;
}

static const char *damage(const struct ste_loop *l, const struct ste_pair_job *j, const char *other,
                          struct ste_pair_texts *out)
{
    const struct ste_piece *answer = &j->pieces[0];
    const struct ste_damage d = {answer->text, j->x.turns[j->x.n - 1].text, other};
    const struct ste_damage_rule *rule;
    const struct ste_digits seed = ste_digits(l->recipe.seed);
    out->chosen = ste_xstrdup(answer->text);
    out->rejected = ste_damage(&d, ste_key_of("corrupt", seed.s, answer->id.s, NULL), &rule);
    if (!out->rejected)
        return "no rule fits the answer";
    out->rule = rule->name;
    out->borrowed = rule->apply == ste_damage_foreign;
    return NULL;
}

static const struct ste_piece_kind pieces[] = {STE_PIECE_ANSWER};

const struct ste_pair_kind ste_kind_corrupt = {
    .name = "corrupt",
    .label_source = "constructed",
    .pieces = pieces,
    .n = 1,
    .chosen = 0,
    .modified = -1,
    .rejected = -1,
    .takes = ste_takes_ordinary,
    .texts = damage,
};
