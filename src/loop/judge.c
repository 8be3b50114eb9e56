/* Up to N judgments of each training pair. The winner's place is drawn for (pair, iteration), or both are asked. */
#include "loop/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

struct held {
    bool have, too_long;
    uint64_t ticket;
    struct ste_judgment judgment;
    int32_t *prompt, *completion;
    size_t n_prompt, n_completion, n_free;
    char address[65];
};

struct item;
struct sample_tag {
    struct item *item;
    int sample;
};

/* One pair in one order. */
struct item {
    const struct judge_pair *pair;
    char winner; /* 'A' or 'B' */
    struct ste_samples samples;
    bool queued; /* stands in AGAIN */
    struct held *held;       /* [limit] */
    struct sample_tag *tags; /* [limit] */
};

struct judge_pair {
    char *id, *chosen, *rejected;
    struct ste_dialogue x;
};

struct judging {
    struct ste_loop *l;
    int iteration;
    struct ste_voice voice;
    struct ste_judge_setting setting;
    int max_tokens;
    int samples; /* of an item, at most */
    struct judge_pair *pairs;
    size_t n_pairs, cap_pairs;
    struct item *items;
    size_t n, fresh;      /* items before FRESH have been asked of */
    struct item **again;  /* items that may ask more; they go first, while their prompt is warm */
    size_t n_again;
    struct ste_judge_prompt texts; /* of the ask being made */
    struct ste_progress *progress;
};

static int judge_next(void *arg, struct ste_ask *ask, struct ste_err *err)
{
    struct judging *g = arg;
    for (;;) {
        bool is_again = g->n_again > 0;
        if (!is_again && g->fresh == g->n)
            return 0;
        struct item *it = is_again ? g->again[g->n_again - 1] : &g->items[g->fresh];
        int sample = ste_samples_ask(&it->samples);
        if (sample < 0) {
            if (is_again)
                g->again[--g->n_again]->queued = false;
            else
                g->fresh++;
            continue;
        }
        const char *w = it->pair->chosen, *r = it->pair->rejected;
        *ask = (struct ste_ask){0};
        const struct ste_judge_material m = {.pair_id = it->pair->id,
                                             .prompt = &it->pair->x,
                                             .a = it->winner == 'A' ? w : r,
                                             .b = it->winner == 'A' ? r : w};
        ste_judge_ask(&g->setting, &m, sample, &g->texts, ask);
        it->tags[sample] = (struct sample_tag){it, sample};
        ask->tag = &it->tags[sample];
        g->max_tokens = ask->max_tokens;
        return 1;
    }
}

static void judge_submitted(void *arg, void *tag, uint64_t ticket)
{
    struct judging *g = arg;
    struct sample_tag *t = tag;
    t->item->held[t->sample].ticket = ticket;
    ste_judge_prompt_clear(&g->texts);
}

static int put_prompt(struct judging *g, const struct held *h, struct ste_id *id, struct ste_err *err)
{
    struct ste_buf blob = STE_BUF_INIT;
    ste_loop_tokens_pack(h->prompt, h->n_prompt, &blob);
    uint8_t digest[32];
    char hex[65];
    ste_sha256(blob.s, blob.len, digest);
    ste_hex(digest, 32, hex);
    *id = ste_id_of("prompt", hex, NULL);
    int rc = ste_store_exec(g->l->store, err, "INSERT OR IGNORE INTO prompt (id, tokens) VALUES (?, ?)", "tb", id->s,
                            blob.s, blob.len);
    ste_buf_clear(&blob);
    return rc;
}

static int put_judgment(struct judging *g, const struct item *it, int sample, struct ste_err *err)
{
    const struct held *h = &it->held[sample];
    char turn[16], index[16], winner[2] = {it->winner, 0};
    snprintf(turn, sizeof turn, "%d", g->iteration);
    snprintf(index, sizeof index, "%d", sample);
    struct ste_id id = ste_id_of("judgment", it->pair->id, turn, winner, index, NULL), prov, prompt;
    int rc = ste_loop_provenance(g->l, "judge", &g->voice, &g->setting.sampling, g->max_tokens,
                                 g->setting.mode == STE_MODE_FREE ? "free" : "closed", g->iteration, &prov, err);
    if (rc == 0 && !h->too_long)
        rc = put_prompt(g, h, &prompt, err);
    if (rc != 0)
        return rc;
    struct ste_buf blob = STE_BUF_INIT;
    ste_loop_tokens_pack(h->completion, h->n_completion, &blob);
    const struct ste_judgment *j = &h->judgment;
    bool right = j->verdict != STE_VERDICT_INVALID && ste_verdict_name(j->verdict)[0] == it->winner;
    rc = ste_store_exec(g->l->store, err,
                        "INSERT INTO judgment (id, pair, iteration, winner, sample, verdict, reason, correct, "
                        "logprob_a, logprob_b, reasoning, prompt, completion, n_free, address, provenance) VALUES "
                        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        "ttitittirrttbitt", id.s, it->pair->id, (int64_t)g->iteration, winner, (int64_t)sample,
                        ste_verdict_name(j->verdict), ste_invalid_name(j->reason), (int64_t)right, j->logprob_a,
                        j->logprob_b, j->reasoning, h->too_long ? NULL : prompt.s, h->too_long ? NULL : blob.s,
                        blob.len, (int64_t)h->n_free, h->too_long ? NULL : h->address, prov.s);
    ste_buf_clear(&blob);
    return rc;
}

static void held_clear(struct held *h)
{
    ste_judgment_clear(&h->judgment);
    free(h->prompt);
    free(h->completion);
    h->prompt = h->completion = NULL;
}

/* Writes the samples that have become final, in order of their index; then the item asks for more, or it is done and
 * what is still in flight for it is cancelled. */
static int advance(struct judging *g, struct item *it, struct ste_err *err)
{
    while (!it->samples.done && it->held[it->samples.final].have) {
        int k = it->samples.final;
        struct held *h = &it->held[k];
        int rc = put_judgment(g, it, k, err);
        if (rc != 0)
            return rc;
        bool right = h->judgment.verdict != STE_VERDICT_INVALID &&
                     ste_verdict_name(h->judgment.verdict)[0] == it->winner;
        if (ste_samples_final(&it->samples, right) && !it->queued) {
            g->again[g->n_again++] = it;
            it->queued = true;
        }
        if (h->too_long)
            it->samples.done = true; /* no other sample would fit */
    }
    if (!it->samples.done)
        return 0;
    for (int k = it->samples.final; k < it->samples.next_ask; k++)
        if (!it->held[k].have)
            ste_llm_cancel(g->voice.llm, it->held[k].ticket);
    for (int k = 0; k < it->samples.limit; k++)
        held_clear(&it->held[k]);
    ste_progress_add(g->progress, 1);
    return 0;
}

static int judge_too_long(void *arg, void *tag, struct ste_err *err)
{
    struct judging *g = arg;
    struct sample_tag *t = tag;
    struct held *h = &t->item->held[t->sample];
    h->have = h->too_long = true;
    h->judgment = (struct ste_judgment){.verdict = STE_VERDICT_INVALID, .reason = STE_INVALID_TOO_LONG,
                                        .logprob_a = NAN, .logprob_b = NAN};
    return t->item->samples.done ? 0 : advance(g, t->item, err);
}

static int judge_answer(void *arg, const struct ste_answer *a, struct ste_err *err)
{
    struct judging *g = arg;
    struct sample_tag *t = a->tag;
    struct item *it = t->item;
    if (it->samples.done)
        return 0;
    struct held *h = &it->held[t->sample];
    h->have = true;
    ste_judge_read(&g->setting, a, &h->judgment);
    h->prompt = ste_xmemdup(a->prompt, a->n_prompt * sizeof *a->prompt);
    h->n_prompt = a->n_prompt;
    h->completion = ste_xmemdup(a->completion.tokens, a->completion.n * sizeof *a->completion.tokens);
    h->n_completion = a->completion.n;
    h->n_free = a->completion.n_free;
    memcpy(h->address, a->address, sizeof h->address);
    return advance(g, it, err);
}

/* The winner's place for (pair, iteration): contract 8. */
static char place_of(const struct ste_loop *l, const char *pair, int iteration)
{
    char seed[32], turn[16];
    snprintf(seed, sizeof seed, "%lld", l->recipe.seed);
    snprintf(turn, sizeof turn, "%d", iteration);
    return ste_key_of("winner's place", seed, pair, turn, NULL) & 1 ? 'B' : 'A';
}

/* How many samples of the item are in the store, and whether they are all there will be. */
static int already(struct judging *g, struct item *it, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    char winner[2] = {it->winner, 0};
    int64_t n = 0, right = 0, too_long = 0;
    int rc = ste_store_query(g->l->store, &q, err,
                             "SELECT count(*), coalesce(sum(correct), 0), coalesce(sum(prompt IS NULL), 0) FROM "
                             "judgment WHERE iteration = ? AND pair = ? AND winner = ?",
                             "itt", (int64_t)g->iteration, it->pair->id, winner);
    if (rc == 0 && (rc = ste_store_row(g->l->store, q, err)) == 1) {
        n = sqlite3_column_int64(q, 0);
        right = sqlite3_column_int64(q, 1);
        too_long = sqlite3_column_int64(q, 2);
    }
    ste_store_done(g->l->store, q);
    if (rc < 0)
        return rc;
    const bool stop_early = ste_loop_stops_early(g->l);
    ste_samples_init(&it->samples, g->samples, (int)n, (int)g->l->recipe.speculate, stop_early);
    if (too_long || (right && stop_early))
        it->samples.done = true;
    return 0;
}

static int load(struct judging *g, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    struct ste_strings held;
    int rc = ste_loop_held_back(g->l, g->iteration, &held, err);
    if (rc != 0)
        return rc;
    g->samples = ste_loop_samples(g->l);
    rc = ste_store_query(g->l->store, &q, err,
                             "SELECT p.id, p.chosen, p.rejected, i.dialogue FROM pair p JOIN instruction i ON i.id = "
                             "p.instruction WHERE p.state = 'kept' AND p.split = 'train' ORDER BY p.position, p.id",
                             "");
    while (rc == 0 && (rc = ste_store_row(g->l->store, q, err)) == 1) {
        rc = 0;
        if (ste_loop_is_held_back(&held, ste_loop_text(q, 0)))
            continue;
        STE_GROW(g->pairs, g->cap_pairs, g->n_pairs + 1);
        struct judge_pair *p = &g->pairs[g->n_pairs];
        *p = (struct judge_pair){0};
        if ((rc = ste_loop_dialogue(ste_loop_text(q, 3), &p->x, err)) != 0)
            break;
        p->id = ste_loop_text_dup(q, 0);
        p->chosen = ste_loop_text_dup(q, 1);
        p->rejected = ste_loop_text_dup(q, 2);
        g->n_pairs++;
    }
    ste_store_done(g->l->store, q);
    ste_strings_clear(&held);
    bool both = strcmp(g->l->recipe.orders, "both") == 0;
    g->items = ste_xcalloc(2 * g->n_pairs + 1, sizeof *g->items);
    g->again = ste_xcalloc(2 * g->n_pairs + 1, sizeof *g->again);
    for (size_t i = 0; rc == 0 && i < g->n_pairs; i++)
        for (int order = 0; rc == 0 && order < 1 + both; order++) {
            struct item *it = &g->items[g->n++];
            it->pair = &g->pairs[i];
            it->winner = both ? "AB"[order] : place_of(g->l, g->pairs[i].id, g->iteration);
            it->held = ste_xcalloc((size_t)g->samples, sizeof *it->held);
            it->tags = ste_xcalloc((size_t)g->samples, sizeof *it->tags);
            rc = already(g, it, err);
        }
    return rc;
}

static void clear(struct judging *g)
{
    for (size_t i = 0; i < g->n; i++) {
        struct item *it = &g->items[i];
        for (int k = 0; it->held && k < it->samples.limit; k++)
            held_clear(&it->held[k]);
        free(it->held);
        free(it->tags);
    }
    for (size_t i = 0; i < g->n_pairs; i++) {
        free(g->pairs[i].id);
        free(g->pairs[i].chosen);
        free(g->pairs[i].rejected);
        ste_dialogue_clear(&g->pairs[i].x);
    }
    free(g->items);
    free(g->again);
    free(g->pairs);
}

int ste_loop_paired(struct ste_loop *l, struct ste_err *err)
{
    int64_t kept, waiting;
    int rc = ste_store_count(l->store, &kept, err, "SELECT count(*) FROM pair", "");
    if (rc == 0)
        rc = ste_store_count(l->store, &waiting, err,
                             "SELECT count(*) FROM instruction WHERE state = 'read' OR (state = 'kept' AND id NOT IN "
                             "(SELECT instruction FROM pair))",
                             "");
    if (rc == 0 && (kept == 0 || waiting > 0))
        rc = ste_err_set(err, STE_EUSAGE, "the pairs of the run in %s are not all made yet: `ste pair %s`",
                         ste_store_dir(l->store), ste_store_dir(l->store));
    return rc;
}

static int checked(struct ste_loop *l, struct ste_err *err)
{
    char *done = ste_store_meta(l->store, "check");
    int rc = ste_loop_paired(l, err);
    if (rc == 0 && !done)
        rc = ste_err_set(err, STE_EUSAGE, "the pairs of the run in %s are not checked yet: `ste check %s`",
                         ste_store_dir(l->store), ste_store_dir(l->store));
    free(done);
    return rc;
}

int ste_loop_judge(struct ste_loop *l, int iteration, struct ste_err *err)
{
    int rc = checked(l, err);
    if (rc != 0)
        return rc;
    struct judging g = {.l = l, .iteration = iteration};
    struct ste_loop_clock clock;
    ste_loop_clock_start(&clock, "judge", iteration);
    rc = load(&g, err);
    size_t missing = 0;
    for (size_t i = 0; rc == 0 && i < g.n; i++)
        missing += !g.items[i].samples.done;
    if (rc == 0 && missing > 0 && (rc = ste_loop_voice(l, STE_LOOP_JUDGE, iteration, &g.voice, err)) == 0) {
        char what[48];
        snprintf(what, sizeof what, "judge, iteration %d", iteration);
        ste_loop_judge_setting(l, &g.voice, false, &g.setting);
        g.progress = ste_progress_new(what, strcmp(l->recipe.orders, "both") == 0 ? "orders" : "pairs", missing);
        const struct ste_drive d = {g.voice.llm, &g, judge_next, judge_submitted, judge_too_long, judge_answer};
        rc = ste_loop_drive(l, &d, err);
        ste_progress_end(g.progress);
        if (rc == 0)
            rc = ste_loop_clock_stop(l, &clock, err);
    }
    clear(&g);
    return rc;
}
