/* What a recipe would take: instructions are really selected (in a folder that is removed again), calls follow from the
 * recipe, tokens from the lengths of texts and limits, time from a short measurement of the seed on this machine. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/machine.h"
#include "core/context.h"
#include "core/file.h"
#include "core/mem.h"
#include "data/catalogue.h"
#include "llm/meter.h"
#include "loop/internal.h"
#include "loop/kinds/kind.h"
#include "train/memory.h"

/* Shares that are seen in real runs; the estimate says that it is one. */
#define PAIR_YIELD 0.8
#define TRIES 1.2 /* of a text */
#define SAMPLES_IF_STOPPED 3.0
#define TRAIN_YIELD 0.7 /* of training pairs with reasoning, after the balance; of verdicts at once nearly all */
#define TRAIN_COST 4.0  /* a trained token against a read one */
#define DPO_COST 1.25   /* for the reference */

struct work {
    double calls, read, written;
    double cost; /* of what is asked of servers that have prices */
};

static void add(struct work *w, double calls, double read, double written)
{
    w->calls += calls;
    w->read += calls * read;
    w->written += calls * written;
}

/* The same of a role: PRICE is that of its model, all 0 of one that costs nothing. */
static void add_priced(struct work *w, const struct ste_price *price, double calls, double read, double written)
{
    add(w, calls, read, written);
    w->cost += ste_price_of(price, &(struct ste_amount){calls, calls * read, calls * written});
}

/* PRICES[STE_LOOP_N_ROLES]; true: there are some. */
static bool read_prices(const struct ste_recipe *r, struct ste_price *prices)
{
    const char *const names[] = {r->label_model, r->answer_model, r->modify_model, r->weaker_model, r->judge_model};
    bool given = false;
    for (int role = 0; role < STE_LOOP_N_ROLES; role++) {
        struct ste_endpoint e = {0};
        prices[role] = (struct ste_price){0};
        if (ste_endpoint_is(names[role]) && ste_endpoint_read_keyless(&e, names[role], NULL) == 0)
            prices[role] = e.price;
        given |= ste_price_given(&prices[role]);
        ste_endpoint_clear(&e);
    }
    return given;
}

static double text_tokens(const char *s)
{
    return s ? (double)strlen(s) / STE_CHARS_PER_TOKEN : 0;
}

static void remove_folder(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char *path = ste_path_join(dir, e->d_name);
        unlink(path); /* "." and ".." stay */
        ste_xfree(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}

/* Of what select keeps: counts, and mean lengths in tokens. */
struct selected {
    double read, labels, kept, labelled, tokens, given; /* GIVEN: of an answer of a labelled pair */
};

static int selected(const struct ste_recipe *r, struct selected *out, struct ste_pack **pack, struct ste_err *err)
{
    const char *tmp = ste_setting("TMPDIR");
    char *dir = ste_xasprintf("%s/ste-dry-run-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(dir)) {
        int rc = ste_err_errno(err, "cannot make a temporary folder %s", dir);
        ste_xfree(dir);
        return rc;
    }
    struct ste_loop *l = NULL;
    int rc = ste_loop_open(&l, dir, r, err);
    bool llm = r->labels == STE_LABELS_LLM;
    if (rc == 0 && llm)
        rc = ste_options_set(ste_recipe_options, &l->recipe, "select.labels=none", err);
    if (rc == 0)
        rc = ste_loop_select(l, err);
    int64_t all = 0, kept = 0, labelled = 0, chars = 0, asked = 0, given = 0;
    const struct {
        enum ste_counted what;
        int64_t *out;
    } counts[] = {{STE_COUNT_INSTRUCTIONS, &all},       {STE_COUNT_INSTRUCTIONS_KEPT, &kept},
                  {STE_COUNT_KEPT_CHARS, &chars},       {STE_COUNT_INSTRUCTIONS_ASKED, &asked},
                  {STE_COUNT_LABELLED_KEPT, &labelled}, {STE_COUNT_GIVEN_CHARS, &given}};
    for (size_t i = 0; rc == 0 && i < sizeof counts / sizeof *counts; i++)
        rc = ste_count(l->store, counts[i].what, 0, counts[i].out, err);
    *out = (struct selected){.read = (double)all,
                             .labels = llm ? 3.0 * (double)asked : 0,
                             .kept = (double)kept,
                             .labelled = (double)labelled,
                             .tokens = kept ? (double)chars / (double)kept / STE_CHARS_PER_TOKEN : 0,
                             .given = (double)given / STE_CHARS_PER_TOKEN};
    if (rc == 0) {
        *pack = l->pack;
        l->pack = NULL;
    }
    ste_loop_close(l);
    remove_folder(dir);
    ste_xfree(dir);
    return rc;
}

/* Tokens a second, read and written, of the seed here: a few short questions. 0 where it cannot be measured. */
static void measure(const struct ste_recipe *r, double *read, double *written)
{
    *read = *written = 0;
    struct ste_llm *llm = NULL;
    struct ste_err err = {0};
    if (ste_llm_open(&llm, r->seed_model, &r->engine, &err) != 0) {
        ste_warn("time is not estimated: %s", err.msg);
        return;
    }
    struct ste_llm_speed speed;
    if (ste_llm_speed(llm, &speed, &err) == 0) {
        *read = speed.read;
        *written = speed.written;
    } else {
        ste_warn("time is not estimated: %s", err.msg);
    }
    ste_llm_close(llm);
}

/* The texts that each kind asks for, by its share of N, with a second try for some; and what the check reads of them.
 * Labelled pairs, which are not among the N, ask for none. */
static void add_pairs(const struct ste_recipe *r, const struct ste_pack *pack, const struct ste_price *prices, double n,
                      double x, double answer, struct work *pair, struct work *check)
{
    double all = 0;
    for (size_t i = 0; ste_pair_kinds[i]; i++)
        all += ste_pair_kinds[i] == &ste_kind_labelled ? 0 : ste_share(&r->kinds, ste_pair_kinds[i]->name);
    for (size_t i = 0; n > 0 && ste_pair_kinds[i]; i++) {
        const struct ste_pair_kind *k = ste_pair_kind_of(r, ste_pair_kinds[i]->name);
        const double share = n * ste_share(&r->kinds, k->name) / all;
        for (int p = 0; p < k->n; p++) {
            const bool modify = k->pieces[p].role == STE_LOOP_MODIFY;
            if (k->pieces[p].ask)
                add_priced(pair, &prices[k->pieces[p].role], TRIES * share,
                           x + STE_TEMPLATE_TOKENS + (modify ? text_tokens(pack->modify_user) : 0),
                           modify ? x : answer);
        }
        if (k->evidence != STE_EVIDENCE_NONE && r->check != STE_CHECK_NONE)
            add(check, 4 * PAIR_YIELD * share, x / 2 + STE_TEMPLATE_TOKENS + answer, 0);
    }
}

static void line(struct ste_buf *out, const char *what, const struct work *w, double per_read, double per_written,
                 bool priced, double *seconds)
{
    double s = per_read > 0 ? w->read / per_read + w->written / per_written : 0;
    *seconds += s;
    ste_buf_addf(out, "  %-22s %9.0f %13.0f %13.0f", what, w->calls, w->read, w->written);
    if (per_read > 0)
        ste_buf_addf(out, " %9.1f", s / 60);
    if (priced)
        ste_buf_addf(out, "  %s", w->cost > 0 ? ste_money(w->cost).s : "-");
    ste_buf_addc(out, '\n');
}

/* What the seed takes of memory, where it is a model of this machine; TOKENS: of a long example. A trainer of its own
 * takes the training elsewhere. */
static void add_memory(const struct ste_recipe *r, int tokens, struct ste_buf *out)
{
    struct ste_model *m = NULL;
    struct ste_memory n;
    struct ste_engine_params e;
    struct ste_train_params t;
    char *path = NULL;
    ste_engine_default_params(&e);
    ste_train_params_of(&t, &r->train);
    e.n_ctx = r->engine.ctx > 0 ? (int)r->engine.ctx : 0;
    e.max_batch = r->engine.batch > 0 ? (int)r->engine.batch : e.max_batch;
    tokens = tokens > t.micro_tokens ? tokens : t.micro_tokens;
    if (!ste_endpoint_is(r->seed_model) && ste_model_resolve(r->seed_model, &path, NULL) == 0 &&
        ste_model_open_chosen(&m, path, &r->engine.choices, NULL) == 0 &&
        ste_memory_of(&n, m, &e, &t, tokens, NULL) == 0) {
        const double gb = 1e9, judge = (double)ste_memory_to_judge(&n), run = (double)ste_memory_of_a_run(&n);
        const bool trains = r->trainer.n == 0;
        size_t whole, free;
        ste_machine_memory(&whole, &free);
        ste_buf_addf(out, "Memory: %.1f GB to judge (weights %.1f, cache of keys and values %.1f)", judge / gb,
                     (double)n.weights / gb, (double)n.cache / gb);
        if (trains)
            ste_buf_addf(out, ", %.1f GB while it trains on up to %d tokens at once", run / gb, tokens);
        ste_buf_addf(out, "; %.1f of %.1f GB are free here.\n", (double)free / gb, (double)whole / gb);
        if (free && (trains ? run : judge) > (double)free)
            ste_buf_adds(out, "That is more than is free: train.memory_mb, train.micro_tokens and engine.ctx lower it, "
                              "and so does a smaller seed or one of fewer bits.\n");
    }
    ste_model_close(m);
    ste_xfree(path);
}

int ste_loop_estimate(const struct ste_recipe *r, struct ste_buf *out, struct ste_err *err)
{
    struct selected s = {0};
    struct ste_pack *pack = NULL;
    int rc = selected(r, &s, &pack, err);
    if (rc != 0)
        return rc;
    const double x = s.tokens, made = s.kept - s.labelled, written = STE_LENGTH_SHARE * (double)r->pair_max_tokens,
                 answer = s.kept > 0 ? (s.labelled * s.given + made * written) / s.kept : written;
    double per_read, per_written, seconds = 0;
    measure(r, &per_read, &per_written);
    double pairs = s.labelled + PAIR_YIELD * made, test = pairs * r->test, dev = pairs * r->dev,
           train = pairs - test - dev;
    double prompt = text_tokens(pack->judge_user) + x + 2 * answer + STE_TEMPLATE_TOKENS;
    double limit = (double)(r->judge.max_tokens ? r->judge.max_tokens : pack->max_tokens);
    double reasoning = pack->reasoning ? STE_LENGTH_SHARE * limit + 8 : 1;
    const bool at_once = r->rule == STE_RULE_MARGIN && !pack->reasoning; /* one verdict tells the distribution */
    const bool reward = r->objective == STE_TRAIN_REWARD;
    const bool dpo = r->objective == STE_TRAIN_DPO, stops = r->stop_early && !(dpo && pack->reasoning);
    double samples = at_once ? 1 : stops && r->samples > SAMPLES_IF_STOPPED ? SAMPLES_IF_STOPPED : (double)r->samples;
    double orders = r->orders == STE_ORDERS_BOTH ? 2 : 1, iterations = (double)r->iterations;

    struct work select = {0}, pair = {0}, check = {0}, judge = {0}, learn = {0}, evaluate = {0};
    struct ste_price prices[STE_LOOP_N_ROLES];
    const bool priced = read_prices(r, prices);
    add_priced(&select, &prices[STE_LOOP_LABEL], s.labels, x + text_tokens(pack->category_user), 1);
    add_pairs(r, pack, prices, made, x, written, &pair, &check);
    /* Samples of one prompt share its reading, but for a server's bill, which is of the first iteration alone. */
    add_priced(&judge, &prices[STE_LOOP_JUDGE], reward ? 0 : orders * train * samples, prompt, reasoning);
    judge = (struct work){.cost = judge.cost};
    add(&judge, reward ? 0 : iterations * orders * train * samples, prompt / samples, reasoning);
    double examples = (at_once ? 1 : TRAIN_YIELD) * train * (reward ? 1 : orders),
           times = r->train.epochs > 0 ? r->train.epochs : 1;
    /* Of a preference two completions, and a pass without the adapter; a reward model reads both answers alone. */
    const double example = reward ? x + 2 * answer + STE_TEMPLATE_TOKENS : prompt + reasoning * (dpo ? 2 : 1);
    add(&learn, iterations * times * examples, TRAIN_COST * example * (dpo ? DPO_COST : 1), 0);
    add(&evaluate, 2 * ((iterations + 1) * test + iterations * 4 * dev), prompt, reasoning);

    ste_buf_addf(out,
                 "%.0f instructions read, %.0f kept; about %.0f pairs: %.0f to train on, %.0f dev, %.0f test.\n"
                 "%lld iteration%s with seed %s and pack %s. An estimate:\n\n",
                 s.read, s.kept, pairs, train, dev, test, r->iterations, r->iterations == 1 ? "" : "s", r->seed_model,
                 r->pack);
    ste_buf_addf(out, "  %-22s %9s %13s %13s%s\n", "step", "calls", "tokens read", "written",
                 per_read > 0 ? priced ? "   minutes  cost" : "   minutes"
                 : priced     ? "  cost"
                              : "");
    if (s.labels > 0)
        line(out, "select (labels)", &select, per_read, per_written, priced, &seconds);
    line(out, "pair", &pair, per_read, per_written, priced, &seconds);
    if (check.calls > 0)
        line(out, "check", &check, per_read, per_written, priced, &seconds);
    if (judge.calls > 0)
        line(out, "judge", &judge, per_read, per_written, priced, &seconds);
    learn.read /= TRAIN_COST;
    line(out, "train (examples)", &learn, per_read / TRAIN_COST, per_written, priced, &seconds);
    line(out, "evaluate", &evaluate, per_read, per_written, priced, &seconds);
    if (per_read > 0)
        ste_buf_addf(out,
                     "\nAbout %.0f minutes here (%.0f tokens read and %.0f written a second, measured just now).\n",
                     seconds / 60, per_read, per_written);
    add_memory(r, (int)example, out);
    if (priced)
        ste_buf_addf(out, "About %s by the prices that the servers' files give.\n",
                     ste_money(select.cost + pair.cost + judge.cost).s);
    ste_pack_free(pack);
    return 0;
}
