/* Which instructions a run works with: read, cleared of copies and of what is in the evaluation files, labelled by the
 * model if the recipe says so, filtered, split. Every instruction read stays in the store in exactly one state. */
#include "loop/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "data/instructions.h"
#include "data/minhash.h"
#include "data/pairs.h"
#include "data/truth.h"
#include "judge/pack.h"
#include "loop/kinds/kind.h"

/* Packs ask for categories and lengths by letter, in the order of their names, and for complexity by digit. */
static const char *const letters[] = {"A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "O"};
static const char *const digits[] = {"1", "2", "3", "4", "5"};

static const struct label_kind {
    const char *name;
    const char *const *choices;
    const char *const *values;
    int n;
} kinds[] = {
    {"category", letters, ste_category_name, STE_CATEGORIES},
    {"complexity", digits, digits, 5},
    {"expected_length", letters, ste_length_name, STE_LENGTHS},
};
#define N_KINDS 3

static const char *pack_text(const struct ste_pack *p, int kind)
{
    return kind == 0 ? p->category_user : kind == 1 ? p->complexity_user : p->length_user;
}

/* ---- read ---- */

/* The prompts of the evaluation files, as texts to hold instructions against. */
static int contamination_index(struct ste_loop *l, struct ste_minhash_index **out, struct ste_err *err)
{
    const struct ste_recipe *r = &l->recipe;
    *out = r->eval_files.n ? ste_minhash_index_new(r->contamination) : NULL;
    for (size_t f = 0; f < r->eval_files.n; f++) {
        struct ste_answer_pairs pairs;
        int rc = ste_loop_eval_file(l, f, 0, &pairs, err);
        if (rc != 0)
            return rc;
        for (size_t i = 0; i < pairs.n; i++) {
            struct ste_buf text = STE_BUF_INIT;
            ste_dialogue_text(&pairs.items[i].prompt, &text);
            ste_minhash_index_add(*out, text.s);
            ste_buf_clear(&text);
        }
        ste_answer_pairs_clear(&pairs);
    }
    return 0;
}

struct reading {
    struct ste_loop *l;
    struct ste_minhash_index *seen, *evaluation;
    char **folds; /* of the texts in SEEN */
    struct ste_id *ids;
    size_t n, cap, cap_ids;
    int64_t position; /* of the next one */
};

/* The state of TEXT, before any model is asked. WHOLE is what it is told apart by from those before it. *COPY_OF is set
 * for duplicates. */
static const char *first_state(struct reading *g, const char *text, const char *whole, const char *fold,
                               const char **copy_of)
{
    const struct ste_recipe *r = &g->l->recipe;
    size_t chars = strlen(text), which;
    *copy_of = NULL;
    if (chars < (size_t)r->min_chars)
        return "too short";
    if (chars > (size_t)r->max_chars)
        return "too long";
    if (ste_minhash_index_find(g->seen, whole, &which, NULL)) {
        *copy_of = g->ids[which].s;
        return strcmp(g->folds[which], fold) == 0 ? "exact duplicate" : "near duplicate";
    }
    if (g->evaluation && ste_minhash_index_find(g->evaluation, text, NULL, NULL))
        return "in evaluation data";
    return "read";
}

/* A text that the instruction came with, as if it had been written. */
static int put_given(struct reading *g, const struct ste_id *instruction, const char *kind, const char *text,
                     struct ste_err *err)
{
    struct ste_id given;
    int rc = ste_loop_provenance_plain(g->l, "given", NULL, &given, err);
    struct ste_id id = ste_id_of("generation", kind, instruction->s, given.s, NULL);
    const struct ste_generation_row row = {.id = id.s,
                                           .instruction = instruction->s,
                                           .kind = kind,
                                           .text = text,
                                           .finish = "given",
                                           .provenance = given.s};
    return rc ? rc : ste_put_generation(g->l->store, &row, err);
}

/* Where every pair that is made is to be of the kind `verified`, an instruction without a known answer makes none. */
static const char *unknown(const struct ste_recipe *r, const char *truth)
{
    if (ste_share(&r->kinds, "verified") <= 0 || r->kinds.n > (ste_recipe_labelled_share(r) > 0 ? 2 : 1))
        return NULL;
    return !truth                                                    ? "no known answer"
           : ste_truth_tests(truth) && r->sandbox == STE_SANDBOX_OFF ? "tests, and pair.sandbox is off"
                                                                     : NULL;
}

/* PAIR: NULL, or the labelled pair that the instruction came with. */
static int read_one(struct reading *g, const struct ste_instruction *it, const struct ste_answer_pair *pair,
                    struct ste_err *err)
{
    const int64_t position = g->position++;
    struct ste_buf text = STE_BUF_INIT, whole = STE_BUF_INIT, fold = STE_BUF_INIT;
    ste_dialogue_text(&it->dialogue, &text);
    ste_buf_adds(&whole, text.s);
    if (pair) /* several answers to one prompt are several pairs; the split keeps them together */
        ste_buf_addf(&whole, "\n%s\n%s", pair->first, pair->second);
    ste_text_fold(whole.s, &fold);
    json_t *list = ste_dialogue_json(&it->dialogue);
    char *dialogue = ste_json_canonical(list);
    json_decref(list);
    struct ste_id id = ste_id_of("instruction", it->id, ste_digits(position).s, dialogue, NULL);
    const char *copy_of, *state = first_state(g, text.s, whole.s, fold.s, &copy_of);
    if (pair && pair->tied) {
        state = "tied";
        copy_of = NULL;
    }
    const char *why = pair ? NULL : unknown(&g->l->recipe, it->truth);
    if (why && strcmp(state, "read") == 0)
        state = why;
    bool category = g->l->recipe.labels == STE_LABELS_FILE && it->category;
    const struct ste_instruction_row row = {.id = id.s,
                                            .position = position,
                                            .source = it->id,
                                            .dialogue = dialogue,
                                            .category = category ? it->category : NULL,
                                            .complexity = STE_NO_INT,
                                            .labelled_by = category ? "file" : NULL,
                                            .state = state,
                                            .duplicate_of = copy_of};
    int rc = ste_put_instruction(g->l->store, &row, err);
    if (strcmp(state, "read") == 0) {
        STE_GROW(g->folds, g->cap, g->n + 1);
        STE_GROW(g->ids, g->cap_ids, g->n + 1);
        g->folds[g->n] = ste_buf_detach(&fold);
        g->ids[g->n++] = id;
        ste_minhash_index_add(g->seen, whole.s);
        if (rc == 0 && pair)
            rc = put_given(g, &id, "answer", pair->first, err);
        if (rc == 0 && pair)
            rc = put_given(g, &id, "rejected", pair->second, err);
        if (rc == 0 && it->truth && ste_share(&g->l->recipe.kinds, "verified") > 0)
            rc = put_given(g, &id, "known answer", it->truth, err);
    }
    ste_xfree(dialogue);
    ste_buf_clear(&text);
    ste_buf_clear(&whole);
    ste_buf_clear(&fold);
    return rc;
}

/* ---- from files of instructions, and of labelled pairs ---- */

static int read_instructions(struct reading *g, struct ste_err *err)
{
    const struct ste_recipe *r = &g->l->recipe;
    struct ste_instructions list = {0};
    int rc = 0;
    for (size_t f = 0; rc == 0 && f < r->files.n; f++)
        rc = ste_instructions_read(&list, r->files.items[f], (size_t)r->read_limit, err);
    if (rc == 0 && list.n == 0)
        rc = ste_err_set(err, STE_EINPUT, "instructions.files: there is no instruction in them");
    for (size_t i = 0; rc == 0 && i < list.n; i++)
        rc = read_one(g, &list.items[i], NULL, err);
    ste_instructions_clear(&list);
    return rc;
}

static int read_labelled(struct reading *g, struct ste_err *err)
{
    const struct ste_recipe *r = &g->l->recipe;
    int rc = 0;
    for (size_t f = 0; rc == 0 && f < r->labelled.n; f++) {
        struct ste_answer_pairs pairs = {0};
        rc = ste_answer_pairs_read(&pairs, r->labelled.items[f], NULL, STE_PAIRS_LABELLED, (size_t)r->read_limit, err);
        for (size_t i = 0; rc == 0 && i < pairs.n; i++) {
            struct ste_answer_pair *p = &pairs.items[i];
            const struct ste_instruction it = {
                .id = p->id,
                .category = (char *)json_string_value(json_object_get(p->row, "category")),
                .line = p->line,
                .dialogue = p->prompt,
            };
            rc = read_one(g, &it, p, err);
        }
        ste_answer_pairs_clear(&pairs);
    }
    return rc;
}

/* Nothing is SEEN any more: what is read from here on is told apart among itself, by a similarity of DUPLICATE. */
static void begin_source(struct reading *g, double duplicate)
{
    ste_minhash_index_free(g->seen);
    g->seen = ste_minhash_index_new(duplicate);
    for (size_t i = 0; i < g->n; i++)
        ste_xfree(g->folds[i]);
    g->n = 0;
}

static int read_all(struct ste_loop *l, struct ste_err *err)
{
    const struct ste_recipe *r = &l->recipe;
    const double labelled = ste_recipe_labelled_share(r);
    struct reading g = {.l = l};
    int rc = ste_store_begin(l->store, err);
    if (rc == 0) {
        rc = contamination_index(l, &g.evaluation, err);
        begin_source(&g, r->duplicate);
        if (rc == 0 && labelled < 1)
            rc = read_instructions(&g, err);
        begin_source(&g, 0);
        if (rc == 0 && labelled > 0)
            rc = read_labelled(&g, err);
        if (rc == 0)
            rc = ste_store_meta_set(l->store, "select", "read", err);
        rc = ste_store_end(l->store, rc, err);
    }
    if (rc == 0 && labelled <= 0 && r->labelled.n > 0)
        ste_warn("pair.labelled is not read: pair.kinds gives the kind labelled no share");
    begin_source(&g, 0);
    ste_minhash_index_free(g.seen);
    ste_minhash_index_free(g.evaluation);
    ste_xfree(g.folds);
    ste_xfree(g.ids);
    return rc;
}

/* ---- label ---- */

struct label_job {
    char *instruction, *text;
    int kind;
};

struct labelling {
    struct ste_loop *l;
    struct ste_role_model model;
    struct label_job *jobs;
    size_t n, cap, next;
    struct ste_message message; /* of the question being asked */
    char *filled;
    struct ste_progress *progress;
};

static int label_next(void *arg, struct ste_question *question, struct ste_err *err)
{
    struct labelling *g = arg;
    if (g->next == g->n)
        return 0;
    struct label_job *j = &g->jobs[g->next++];
    const struct ste_slot slots[] = {{"instruction", j->text}, {"prompt", j->text}};
    g->filled = ste_pack_fill(pack_text(g->l->pack, j->kind), slots, 2);
    g->message = (struct ste_message){"user", g->filled};
    *question = (struct ste_question){.messages = &g->message,
                                      .n_messages = 1,
                                      .adapter = g->model.adapter,
                                      .sampling = {.temperature = 0, .top_p = 1},
                                      .closing = "",
                                      .n_choices = kinds[j->kind].n,
                                      .seed = (uint64_t)g->l->recipe.seed,
                                      .tag = j};
    for (int i = 0; i < question->n_choices; i++)
        question->choices[i] = kinds[j->kind].choices[i];
    return 1;
}

static void label_submitted(void *arg, void *tag, uint64_t ticket)
{
    struct labelling *g = arg;
    ste_xfree(g->filled);
    g->filled = NULL;
}

static int put_label(struct labelling *g, const struct label_job *j, const char *value, double logprob,
                     const char *address, struct ste_err *err)
{
    struct ste_id prov, id;
    struct ste_sampling greedy = {.temperature = 0, .top_p = 1};
    int rc = ste_loop_provenance(g->l, "label", &g->model, &greedy, 0, "closed", 0, &prov, err);
    if (rc != 0)
        return rc;
    id = ste_id_of("label", j->instruction, kinds[j->kind].name, NULL);
    ste_progress_add(g->progress, 1);
    const struct ste_label_row row = {id.s, j->instruction, kinds[j->kind].name, value, logprob, address, prov.s};
    return ste_put_label(g->l->store, &row, err);
}

static int label_too_long(void *arg, void *tag, const char *why, struct ste_err *err)
{
    ste_warn("%s", why);
    return put_label(arg, tag, NULL, 0, NULL, err);
}

static int label_answer(void *arg, struct ste_answer *a, struct ste_err *err)
{
    const struct label_job *j = a->tag;
    int c = a->completion.choice;
    return put_label(arg, j, c >= 0 ? kinds[j->kind].values[c] : NULL, c >= 0 ? a->completion.choice_logprobs[c] : 0,
                     a->address, err);
}

/* The dialogue of an instruction as plain text, added to TEXT. */
static int add_text(const struct ste_instruction_view *v, struct ste_buf *text, struct ste_err *err)
{
    struct ste_dialogue d;
    int rc = ste_dialogue_parse(&d, v->row.dialogue, "a dialogue in the store", err);
    if (rc != 0)
        return rc;
    ste_dialogue_text(&d, text);
    ste_dialogue_clear(&d);
    return 0;
}

static int add_label_jobs(void *arg, const struct ste_instruction_view *v, struct ste_err *err)
{
    struct labelling *g = arg;
    const int64_t has[N_KINDS] = {v->has_category, v->has_complexity, v->has_expected_length};
    struct ste_buf text = STE_BUF_INIT;
    int rc = add_text(v, &text, err);
    if (rc != 0)
        return rc;
    for (int k = 0; k < N_KINDS; k++) {
        if (has[k])
            continue;
        STE_GROW(g->jobs, g->cap, g->n + 1);
        g->jobs[g->n++] = (struct label_job){ste_xstrdup(v->row.id), ste_xstrdup(text.s), k};
    }
    ste_buf_clear(&text);
    return 0;
}

static int label_all(struct ste_loop *l, struct ste_err *err)
{
    struct labelling g = {.l = l};
    int rc = ste_each_instruction(l->store, "read", add_label_jobs, &g, err);
    if (rc == 0 && g.n > 0 && (rc = ste_loop_role_model(l, STE_LOOP_LABEL, 0, &g.model, err)) == 0) {
        g.progress = ste_progress_new("select: labels", "labels", g.n);
        struct ste_pump p = {.llm = g.model.llm,
                             .arg = &g,
                             .next = label_next,
                             .submitted = label_submitted,
                             .too_long = label_too_long,
                             .answer = label_answer};
        rc = ste_loop_pump(l, &p, err);
        ste_progress_end(g.progress);
    }
    for (size_t i = 0; i < g.n; i++) {
        ste_xfree(g.jobs[i].instruction);
        ste_xfree(g.jobs[i].text);
    }
    ste_xfree(g.jobs);
    return rc;
}

/* ---- choose and split ---- */

struct choice {
    char *id, *text, *category, *length;
    bool labelled;
    int64_t complexity;
    const char *state;
    struct ste_id key;
};

static int by_choice_key(const void *a, const void *b)
{
    return strcmp((*(struct choice *const *)a)->key.s, (*(struct choice *const *)b)->key.s);
}

static bool listed(const struct ste_strings *l, const char *s)
{
    for (size_t i = 0; i < l->n; i++)
        if (s && strcmp(l->items[i], s) == 0)
            return true;
    return l->n == 0;
}

/* An answer to a harmful request is no better than another: without the kind `refuse` there is nothing to learn from
 * it. */
static bool no_kind_for(const struct ste_recipe *r, const struct choice *c)
{
    return !c->labelled && ste_is_harmful(r, c->category) && ste_share(&r->kinds, "refuse") <= 0;
}

/* Keeps at most MOST of the choices in ORDER that are LABELLED or are not; those above it are OVER. Returns how many
 * are kept. */
static size_t fill(const struct ste_recipe *r, struct choice **order, size_t n, bool labelled, size_t most,
                   const char *over)
{
    size_t kept = 0;
    for (size_t k = 0; k < n; k++) {
        struct choice *x = order[k];
        size_t same = 0;
        if (x->labelled != labelled)
            continue;
        for (size_t m = 0; r->per_category && m < k; m++)
            same += order[m]->labelled == labelled && strcmp(order[m]->state, "kept") == 0 &&
                    strcmp(order[m]->category ? order[m]->category : "", x->category ? x->category : "") == 0;
        x->state = no_kind_for(r, x)                      ? "harmful"
                   : !listed(&r->categories, x->category) ? "category"
                   : !listed(&r->lengths, x->length)      ? "expected length"
                   : x->complexity && (x->complexity < r->complexity_min || x->complexity > r->complexity_max)
                       ? "complexity"
                   : r->per_category && same >= (size_t)r->per_category ? "category full"
                   : kept >= most                                       ? over
                                                                        : "kept";
        kept += strcmp(x->state, "kept") == 0;
    }
    return kept;
}

/* The caps are filled in an order drawn by the seed, so that what stands first in a file has no advantage. Beside
 * others labelled pairs have no more than their share: of the limit, and beside what is there of the others. */
static void choose(const struct ste_recipe *r, struct choice *c, size_t n)
{
    static const char limit[] = "over the limit", share[] = "over its share";
    struct choice **order = ste_xcalloc(n + 1, sizeof *order);
    const double labelled = ste_recipe_labelled_share(r);
    const size_t most = r->select_limit ? (size_t)r->select_limit : n;
    for (size_t i = 0; i < n; i++)
        order[i] = &c[i];
    qsort(order, n, sizeof *order, by_choice_key);
    if (labelled < 1) {
        const size_t given = fill(r, order, n, true, (size_t)floor(labelled * (double)most + 1e-9), share);
        const double others = (double)fill(r, order, n, false, most - given, limit);
        const size_t beside = (size_t)floor(others * labelled / (1 - labelled) + 0.5);
        fill(r, order, n, true, beside < given ? beside : given, share);
    } else {
        fill(r, order, n, true, most, limit);
    }
    ste_xfree(order);
}

/* split.dev, or what gives split.dev_pairs of N instructions: few dev pairs choose by chance. */
static double dev_share(const struct ste_recipe *r, size_t n)
{
    double least = n ? (double)r->dev_pairs / (double)n : 0;
    if (r->dev <= 0)
        return 0;
    least = least > 0.2 ? 0.2 : least;
    return r->dev > least ? r->dev : least;
}

static int write_choices(struct ste_loop *l, struct choice *c, size_t n, struct ste_err *err)
{
    const struct ste_recipe *r = &l->recipe;
    const char **ids = ste_xcalloc(n + 1, sizeof *ids), **texts = ste_xcalloc(n + 1, sizeof *texts),
               **split = ste_xcalloc(n + 1, sizeof *split);
    size_t *cluster = ste_xcalloc(n + 1, sizeof *cluster), kept = 0, k = 0;
    bool *labelled = ste_xcalloc(n + 1, sizeof *labelled);
    for (size_t i = 0; i < n; i++)
        if (strcmp(c[i].state, "kept") == 0) {
            labelled[kept] = c[i].labelled;
            ids[kept] = c[i].id;
            texts[kept++] = c[i].text;
        }
    ste_minhash_cluster(texts, kept, r->cluster, cluster);
    ste_loop_split(ids, cluster, labelled, kept, dev_share(r, kept), r->test, (uint64_t)r->seed, split);
    int rc = ste_store_begin(l->store, err);
    bool llm = r->labels == STE_LABELS_LLM;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        bool keep = strcmp(c[i].state, "kept") == 0;
        rc = ste_choose_instruction(l->store, c[i].id, c[i].state, keep ? ids[cluster[k]] : NULL,
                                    keep ? split[k] : NULL, err);
        if (rc == 0 && llm)
            rc = ste_label_instruction(l->store, c[i].id, c[i].category, c[i].length,
                                       c[i].complexity ? c[i].complexity : STE_NO_INT, err);
        k += keep;
    }
    if (rc == 0)
        rc = ste_store_meta_set(l->store, "select", "done", err);
    rc = ste_store_end(l->store, rc, err);
    ste_xfree(ids);
    ste_xfree(texts);
    ste_xfree(split);
    ste_xfree(cluster);
    ste_xfree(labelled);
    if (rc == 0 && kept == 0)
        rc = ste_err_set(err, STE_ETHRESHOLD, "select: none of %zu instructions is left; `ste report %s` says why", n,
                         ste_store_dir(l->store));
    return rc;
}

struct choices {
    struct choice *items;
    size_t n, cap;
    char seed[32];
};

static int add_choice(void *arg, const struct ste_instruction_view *v, struct ste_err *err)
{
    struct choices *g = arg;
    struct ste_buf text = STE_BUF_INIT;
    int rc = add_text(v, &text, err);
    if (rc != 0)
        return rc;
    const char *category = v->row.category ? v->row.category : v->category;
    STE_GROW(g->items, g->cap, g->n + 1);
    g->items[g->n++] = (struct choice){.id = ste_xstrdup(v->row.id),
                                       .text = ste_buf_detach(&text),
                                       .category = category ? ste_xstrdup(category) : NULL,
                                       .length = v->expected_length ? ste_xstrdup(v->expected_length) : NULL,
                                       .labelled = v->labelled,
                                       .complexity = v->complexity ? strtoll(v->complexity, NULL, 10) : 0,
                                       .state = "read",
                                       .key = ste_id_of("select", g->seed, v->row.id, NULL)};
    return 0;
}

static int finish(struct ste_loop *l, struct ste_err *err)
{
    struct choices g = {0};
    snprintf(g.seed, sizeof g.seed, "%lld", l->recipe.seed);
    int rc = ste_each_instruction(l->store, "read", add_choice, &g, err);
    if (rc == 0) {
        choose(&l->recipe, g.items, g.n);
        rc = write_choices(l, g.items, g.n, err);
    }
    for (size_t i = 0; i < g.n; i++) {
        ste_xfree(g.items[i].id);
        ste_xfree(g.items[i].text);
        ste_xfree(g.items[i].category);
        ste_xfree(g.items[i].length);
    }
    ste_xfree(g.items);
    return rc;
}

int ste_loop_select(struct ste_loop *l, struct ste_err *err)
{
    char *state = NULL;
    int rc = ste_store_meta(l->store, "select", &state, err);
    if (rc == 0 && (!state || strcmp(state, "done") != 0)) {
        struct ste_loop_clock clock;
        ste_loop_clock_start(&clock, "select", 0);
        if (!state && (rc = ste_loop_check_adapters(&l->recipe, err)) == 0)
            rc = read_all(l, err);
        if (rc == 0 && l->recipe.labels == STE_LABELS_LLM)
            rc = label_all(l, err);
        if (rc == 0)
            rc = finish(l, err);
        if (rc == 0)
            rc = ste_loop_clock_stop(l, &clock, err);
    }
    ste_xfree(state);
    return rc;
}
