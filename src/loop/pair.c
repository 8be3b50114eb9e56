/*
 * A better and a worse answer to each instruction. Which texts that takes, the instruction's kind says (kinds/kind.h);
 * here they are asked for, again where one is of no use, and the pair's row is written once they are there. Every
 * attempt stays in the store, and what becomes of a pair depends on the attempts alone, not on who came first.
 */
#include "loop/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "loop/kinds/kind.h"

#define EARLY_PAIRS 40 /* settled, before a poor yield is said */

struct ask_tag {
    struct ste_pair_job *job;
    int piece;
    struct ste_sampling sampling;
};

struct pairing {
    struct ste_loop *l;
    struct ste_pair_job *jobs;
    struct ask_tag (*tags)[STE_MAX_PIECES];
    size_t n, cap, first; /* jobs before FIRST wait for nothing */
    struct ste_role_model models[STE_LOOP_N_ROLES];
    struct ste_llm *asked; /* the model that is asked now */
    struct ste_piece_ask ask;
    struct ste_lent *lent; /* (n) */
    size_t settled, kept;
    struct ste_strings reasons;
    size_t *reason_counts;
    bool warned;
    struct ste_progress *progress;
};

/* ---- what an attempt is worth ---- */

const char *ste_loop_degenerate(const char *text, const char *finish)
{
    if (!text)
        return "prompt too long";
    if (strcmp(finish, "failed") == 0)
        return "transport";
    if (strcmp(finish, "length") == 0)
        return "cut off";
    return text[strspn(text, " \t\r\n")] ? NULL : "empty";
}

/* "New request: ..." without its heading: small models copy the name of what they were asked for. */
static const char *without_heading(const char *text)
{
    static const char *const words[] = {"new",     "modified", "changed",     "different", "the",
                                        "request", "question", "instruction", "prompt"};
    const char *colon = strchr(text, ':'), *p = text;
    while (colon && p < colon) {
        size_t n = strcspn(p, " :"), i = 0;
        while (i < sizeof words / sizeof *words && (strlen(words[i]) != n || strncasecmp(words[i], p, n) != 0))
            i++;
        if (i == sizeof words / sizeof *words)
            return text;
        p += n + (p[n] == ' ');
    }
    return colon && p == colon ? colon + 1 : text;
}

/* Takes the attempt RAW (NULL: the prompt was too long) that ended by FINISH: the piece's text and fault, and whether
 * it is the last one. */
static int take_attempt(struct ste_loop *l, struct ste_pair_job *j, int piece, const char *raw, const char *finish,
                        struct ste_err *err)
{
    const struct ste_piece_kind *k = &j->kind->pieces[piece];
    struct ste_piece *p = &j->pieces[piece];
    ste_xfree(p->text);
    if (raw && k->role == STE_LOOP_MODIFY)
        raw = without_heading(raw);
    p->text = raw ? ste_text_trimmed(raw, strlen(raw)) : NULL;
    p->fault = k->ask ? ste_loop_degenerate(p->text, finish) : NULL;
    if (k->answers && p->fault && strcmp(p->fault, "cut off") == 0 && l->recipe.cut == STE_CUT_TRIM) {
        char *whole = ste_text_whole_sentences(p->text);
        if (whole) {
            ste_xfree(p->text);
            p->text = whole;
            p->fault = NULL;
        }
    }
    if (!p->fault && k->fault)
        p->fault = k->fault(l, j, p->text);
    int rc = !p->fault && k->examine ? k->examine(l, j, piece, err) : 0;
    p->attempts++;
    p->in_flight = false;
    const bool again = p->text && strcmp(finish, "failed") != 0 && k->ask;
    p->settled = !p->fault || !again || p->attempts >= l->recipe.tries;
    return rc;
}

/* ---- pairs ---- */

/* Whether the piece waits for one that never comes. */
static bool given_up(const struct ste_pair_job *j, int piece)
{
    for (int i = 0; i < j->kind->n; i++)
        if ((j->kind->pieces[piece].after >> i & 1) &&
            (j->pieces[i].settled ? j->pieces[i].fault != NULL : given_up(j, i)))
            return true;
    return false;
}

/* Whether nothing more is to come. WHY is then what is wrong with the first piece that is of no use. */
static bool settled(const struct ste_pair_job *j, struct ste_buf *why)
{
    for (int i = 0; i < j->kind->n; i++)
        if (!j->pieces[i].settled && !given_up(j, i))
            return false;
    for (int i = 0; i < j->kind->n && !why->len; i++)
        if (j->pieces[i].settled && j->pieces[i].fault)
            ste_buf_addf(why, "%s: %s", j->kind->pieces[i].name, j->pieces[i].fault);
    return true;
}

static void say_yield(struct pairing *g, const char *state)
{
    const bool kept = strcmp(state, "kept") == 0;
    g->settled++;
    g->kept += kept;
    if (!kept) {
        size_t before = g->reasons.n, at = ste_strings_place(&g->reasons, state);
        if (at == before)
            g->reason_counts = ste_xrealloc(g->reason_counts, (at + 1) * sizeof *g->reason_counts);
        g->reason_counts[at] = at == before ? 1 : g->reason_counts[at] + 1;
    }
    ste_progress_note(g->progress, "%zu of %zu usable", g->kept, g->settled);
    if (g->warned || g->settled < EARLY_PAIRS || 2 * g->kept >= g->settled)
        return;
    g->warned = true;
    size_t most = 0;
    for (size_t i = 1; i < g->reasons.n; i++)
        if (g->reason_counts[i] > g->reason_counts[most])
            most = i;
    const char *reason = g->reasons.items[most];
    ste_warn("pair: only %zu of the first %zu instructions gave a usable pair, most often for \"%s\" (%zu): %s",
             g->kept, g->settled, reason, g->reason_counts[most],
             strstr(reason, "cut off")       ? "a higher pair.max_tokens, or a pair.system that asks for short answers"
             : strstr(reason, "instruction") ? "more pair.tries, another models.modify, or more of the kind `other`"
             : strstr(reason, "refusal")     ? "pair.kinds with refuse, or other instructions"
             : strstr(reason, "too long")    ? "a lower select.max_chars, or a higher engine.ctx"
                                             : "another models.answer, or other instructions");
}

struct ste_id ste_loop_pair_id(const char *instruction, const char *kind, const char *const from[3])
{
    return ste_id_of("pair", instruction, kind, from[0] ? from[0] : "", from[1] ? from[1] : "", from[2] ? from[2] : "",
                     NULL);
}

static int put_pair(struct pairing *g, struct ste_pair_job *j, const char *state, const char *const from[3],
                    const struct ste_pair_texts *t, struct ste_err *err)
{
    const struct ste_id id = ste_loop_pair_id(j->instruction, j->kind->name, from);
    j->paired = true;
    say_yield(g, state);
    ste_progress_add(g->progress, 1);
    const struct ste_pair_row row = {.id = id.s,
                                     .instruction = j->instruction,
                                     .position = j->position,
                                     .split = j->split,
                                     .kind = j->kind->name,
                                     .state = state,
                                     .chosen_from = from[0],
                                     .modified_from = from[1],
                                     .rejected_from = from[2],
                                     .chosen = t->chosen,
                                     .modified = t->modified,
                                     .rejected = t->rejected,
                                     .label_source = j->kind->label_source};
    return ste_put_pair(g->l->store, &row, err);
}

static const char *row_of(const struct ste_pair_job *j, int piece)
{
    return piece >= 0 && j->pieces[piece].attempts ? j->pieces[piece].id.s : NULL;
}

static char *text_of(const struct ste_pair_job *j, int piece)
{
    return piece >= 0 && j->pieces[piece].text ? ste_xstrdup(j->pieces[piece].text) : NULL;
}

static void clear_texts(struct ste_pair_texts *t)
{
    ste_xfree(t->chosen);
    ste_xfree(t->modified);
    ste_xfree(t->rejected);
}

/* Writes the pair's row once its pieces are settled; one that borrows its rejected answer only when it has no pair to
 * wait for. */
static int try_pair(struct pairing *g, struct ste_pair_job *j, struct ste_err *err)
{
    const struct ste_pair_kind *k = j->kind;
    struct ste_buf why = STE_BUF_INIT;
    int rc = 0;
    if (!j->paired && settled(j, &why) && (k->rejected >= 0 || why.len)) {
        struct ste_pair_texts t = {0};
        const bool swap = !why.len && j->pieces[k->chosen].wrong;
        const int chosen = swap ? k->rejected : k->chosen, rejected = swap ? k->chosen : k->rejected;
        if (!why.len && k->texts)
            k->texts(g->l, j, NULL, &t);
        else
            t = (struct ste_pair_texts){
                .chosen = text_of(j, chosen), .modified = text_of(j, k->modified), .rejected = text_of(j, rejected)};
        const char *from[3] = {row_of(j, chosen), row_of(j, k->modified), row_of(j, rejected)};
        rc = put_pair(g, j, why.len ? why.s : "kept", from, &t, err);
        clear_texts(&t);
    }
    ste_buf_clear(&why);
    return rc;
}

/* ---- asking ---- */

/* It is asked once those that it waits for are good, whatever comes of the others: so what is in the store does not
 * depend on who comes first. */
static bool ready(const struct ste_pair_job *j, int piece)
{
    const struct ste_piece *p = &j->pieces[piece];
    if (j->paired || p->settled || p->in_flight || !j->kind->pieces[piece].ask)
        return false;
    for (int i = 0; i < j->kind->n; i++)
        if ((j->kind->pieces[piece].after >> i & 1) && (!j->pieces[i].settled || j->pieces[i].fault))
            return false;
    return true;
}

/* Room by the expected length, where the instruction is labelled with one. */
static int room_of(const struct ste_loop *l, const struct ste_pair_job *j)
{
    const bool long_one =
        j->length && (strcmp(j->length, "2 paragraphs") == 0 || strcmp(j->length, "3+ paragraphs") == 0);
    return (int)l->recipe.pair_max_tokens * (long_one ? 2 : 1);
}

static int pair_next(void *arg, struct ste_question *question, struct ste_err *err)
{
    struct pairing *g = arg;
    while (g->first < g->n && g->jobs[g->first].paired)
        g->first++;
    /* Later pieces go first: they end a pair. */
    for (size_t i = g->first; i < g->n; i++)
        for (int k = g->jobs[i].kind->n - 1; k >= 0; k--) {
            struct ste_pair_job *j = &g->jobs[i];
            const struct ste_piece_kind *piece = &j->kind->pieces[k];
            if (!ready(j, k) || g->models[piece->role].llm != g->asked)
                continue;
            const int attempt = j->pieces[k].attempts;
            piece->ask(g->l, j, attempt, &g->ask);
            g->tags[i][k] = (struct ask_tag){
                j,
                k,
                {.temperature = g->ask.temperature > 0 ? g->ask.temperature : g->l->recipe.pair_temperature,
                 .top_p = g->l->recipe.pair_top_p}};
            *question = (struct ste_question){.messages = g->ask.messages,
                                              .n_messages = g->ask.n,
                                              .adapter = g->models[piece->role].adapter,
                                              .sampling = g->tags[i][k].sampling,
                                              .max_tokens = room_of(g->l, j),
                                              .seed = (uint64_t)g->l->recipe.seed,
                                              .sample = piece->sample * (int)g->l->recipe.tries + attempt,
                                              .tag = &g->tags[i][k]};
            j->pieces[k].in_flight = true;
            return 1;
        }
    return 0;
}

static void pair_submitted(void *arg, void *tag, uint64_t ticket)
{
    struct pairing *g = arg;
    ste_piece_ask_clear(&g->ask);
}

static int put_attempt(struct pairing *g, const struct ask_tag *tag, const char *text, const char *finish,
                       size_t tokens, const char *address, struct ste_err *err)
{
    struct ste_pair_job *j = tag->job;
    const struct ste_piece_kind *k = &j->kind->pieces[tag->piece];
    struct ste_piece *p = &j->pieces[tag->piece];
    const int modified = j->kind->modified;
    /* An answer to x' comes from x'. */
    const char *parent =
        tag->piece == j->kind->rejected && modified >= 0 && modified != tag->piece ? j->pieces[modified].id.s : NULL;
    struct ste_id prov;
    int rc = ste_loop_provenance(g->l, ste_loop_role_name(k->role), &g->models[k->role], &tag->sampling,
                                 room_of(g->l, j), "free", 0, &prov, err);
    p->id =
        ste_id_of("generation", k->name, j->instruction, parent ? parent : "", prov.s, ste_digits(p->attempts).s, NULL);
    const struct ste_generation_row row = {.id = p->id.s,
                                           .instruction = j->instruction,
                                           .kind = k->name,
                                           .parent = parent,
                                           .sample = p->attempts,
                                           .text = text,
                                           .finish = finish,
                                           .tokens = (int64_t)tokens,
                                           .address = address,
                                           .provenance = prov.s};
    if (rc == 0)
        rc = ste_put_generation(g->l->store, &row, err);
    if (rc == 0)
        rc = take_attempt(g->l, j, tag->piece, text, finish, err);
    return rc != 0 ? rc : try_pair(g, j, err);
}

static int pair_too_long(void *arg, void *tag, const char *why, struct ste_err *err)
{
    ste_warn("%s", why);
    return put_attempt(arg, tag, NULL, "too long", 0, NULL, err);
}

static int pair_answer(void *arg, struct ste_answer *a, struct ste_err *err)
{
    static const char *const finishes[] = {"end", "stop", "length", "choice", "failed"};
    return put_attempt(arg, a->tag, a->text ? a->text : "", finishes[a->completion.finish], a->completion.n, a->address,
                       err);
}

/* ---- loading ---- */

struct attempts {
    struct pairing *g;
    struct ste_pair_job *job;
    int piece;
};

static int add_attempt(void *arg, const struct ste_generation_row *r, struct ste_err *err)
{
    const struct attempts *a = arg;
    snprintf(a->job->pieces[a->piece].id.s, sizeof a->job->pieces[0].id.s, "%s", r->id);
    return take_attempt(a->g->l, a->job, a->piece, r->text, r->finish, err);
}

static int load_attempts(struct pairing *g, struct ste_pair_job *j, struct ste_err *err)
{
    int rc = 0;
    /* A piece's fault may look at the ones before it. */
    for (int k = 0; rc == 0 && k < j->kind->n; k++) {
        struct attempts a = {g, j, k};
        rc = ste_each_generation(g->l->store, j->instruction, j->kind->pieces[k].name, add_attempt, &a, err);
    }
    return rc;
}

static int add_job(void *arg, const struct ste_instruction_view *v, struct ste_err *err)
{
    struct pairing *g = arg;
    const struct ste_instruction_row *r = &v->row;
    STE_GROW(g->jobs, g->cap, g->n + 1);
    struct ste_pair_job *j = &g->jobs[g->n++];
    *j = (struct ste_pair_job){.instruction = ste_xstrdup(r->id),
                               .split = ste_xstrdup(r->split),
                               .category = r->category ? ste_xstrdup(r->category) : NULL,
                               .length = r->expected_length ? ste_xstrdup(r->expected_length) : NULL,
                               .truth = v->known_answer ? ste_xstrdup(v->known_answer) : NULL,
                               .labelled = v->labelled,
                               .position = r->position,
                               .paired = v->paired};
    return ste_dialogue_parse(&j->x, r->dialogue, "a dialogue in the store", err);
}

/* ---- answers to other instructions ---- */

/* What a rule made of an answer, as if it had been written. */
static int put_made(struct pairing *g, const struct ste_pair_job *j, const struct ste_pair_texts *t, const char *answer,
                    struct ste_id *id, struct ste_err *err)
{
    struct ste_id prov;
    int rc = ste_loop_provenance_plain(g->l, "rule", json_pack("{s:s}", "rule", t->rule), &prov, err);
    *id = ste_id_of("generation", j->kind->name, j->instruction, answer, prov.s, NULL);
    const struct ste_generation_row row = {.id = id->s,
                                           .instruction = j->instruction,
                                           .kind = j->kind->name,
                                           .parent = answer,
                                           .text = t->rejected,
                                           .finish = "made",
                                           .provenance = prov.s};
    return rc != 0 ? rc : ste_put_generation(g->l->store, &row, err);
}

/* What each job would lend to others, once all are settled. */
static void list_lent(struct pairing *g)
{
    g->lent = ste_xcalloc(g->n + 1, sizeof *g->lent);
    for (size_t i = 0; i < g->n; i++) {
        const struct ste_pair_job *j = &g->jobs[i];
        const struct ste_piece *p = &j->pieces[j->kind->chosen];
        g->lent[i] =
            (struct ste_lent){j->instruction, j->split,
                              p->text,        row_of(j, j->kind->chosen),
                              &j->x,          ste_chooses_answer(j->kind) && !j->labelled && p->settled && !p->fault};
    }
}

/* A pair that needs all answers there: one of them is rejected, or it goes into what a rule makes. */
static int borrow(struct pairing *g, struct ste_pair_job *j, struct ste_err *err)
{
    if (!g->lent)
        list_lent(g);
    const struct ste_lent *from = ste_loop_lender(g->l, g->lent, g->n, (size_t)(j - g->jobs));
    const char *const lent = from ? from->row : NULL, *why = NULL;
    const char *rows[3] = {row_of(j, j->kind->chosen), NULL, lent};
    struct ste_pair_texts t = {0};
    struct ste_id made;
    int rc = 0;
    if (j->kind->texts) {
        why = j->kind->texts(g->l, j, from ? from->answer : NULL, &t);
        rows[1] = t.borrowed ? lent : NULL;
        rows[2] = NULL;
        if (!why && (rc = put_made(g, j, &t, rows[0], &made, err)) == 0)
            rows[2] = made.s;
    } else {
        why = from ? NULL : "no other answer";
        t.chosen = text_of(j, j->kind->chosen);
        t.modified = from ? ste_xstrdup(from->x->turns[from->x->n - 1].text) : NULL;
        t.rejected = from ? ste_xstrdup(from->answer) : NULL;
    }
    if (rc == 0)
        rc = put_pair(g, j, why ? why : "kept", rows, &t, err);
    clear_texts(&t);
    return rc;
}

/* ---- the step ---- */

int ste_loop_pairs_left(struct ste_loop *l, const char *step, struct ste_err *err)
{
    int64_t kept;
    int rc = ste_count(l->store, STE_COUNT_TRAIN_PAIRS, 0, &kept, err);
    if (rc == 0 && kept == 0)
        rc = ste_err_set(err, STE_ETHRESHOLD, "%s: no pair to train on is left; `ste report %s` says why", step,
                         ste_store_dir(l->store));
    return rc;
}

static bool waiting(const struct pairing *g)
{
    for (size_t i = 0; i < g->n; i++)
        for (int k = 0; k < g->jobs[i].kind->n; k++)
            if (ready(&g->jobs[i], k))
                return true;
    return false;
}

static bool is_asked(const struct pairing *g, enum ste_loop_role role)
{
    for (size_t i = 0; i < g->n; i++)
        for (int k = 0; k < g->jobs[i].kind->n; k++)
            if (g->jobs[i].kind->pieces[k].ask && g->jobs[i].kind->pieces[k].role == role)
                return true;
    return false;
}

/* One model for all roles is one pass; with several the passes go round until nothing waits. */
static int ask_all(struct pairing *g, struct ste_err *err)
{
    static const enum ste_loop_role roles[] = {STE_LOOP_ANSWER, STE_LOOP_MODIFY, STE_LOOP_WEAKER};
    int rc = 0;
    for (int k = 0; rc == 0 && k < 3; k++)
        if (is_asked(g, roles[k])) /* a model that no kind asks is not opened */
            rc = ste_loop_role_model(g->l, roles[k], 0, &g->models[roles[k]], err);
    while (rc == 0 && waiting(g))
        for (int k = 0; rc == 0 && k < 3; k++) {
            if (!(g->asked = g->models[roles[k]].llm))
                continue;
            struct ste_pump p = {.llm = g->asked,
                                 .arg = g,
                                 .next = pair_next,
                                 .submitted = pair_submitted,
                                 .too_long = pair_too_long,
                                 .answer = pair_answer};
            g->first = 0;
            rc = ste_loop_pump(g->l, &p, err);
        }
    return rc;
}

/* Of a run that ended between a text and its pair; then, with all answers there, what borrows one. */
static int pair_all(struct pairing *g, bool borrowing, struct ste_err *err)
{
    int rc = ste_store_begin(g->l->store, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < g->n; i++) {
        struct ste_pair_job *j = &g->jobs[i];
        if (j->paired)
            continue;
        rc = borrowing ? borrow(g, j, err) : try_pair(g, j, err);
    }
    return ste_store_end(g->l->store, rc, err);
}

static void clear(struct pairing *g)
{
    for (size_t i = 0; i < g->n; i++) {
        struct ste_pair_job *j = &g->jobs[i];
        for (int k = 0; k < STE_MAX_PIECES; k++)
            ste_xfree(j->pieces[k].text);
        ste_xfree(j->instruction);
        ste_xfree(j->split);
        ste_xfree(j->category);
        ste_xfree(j->length);
        ste_xfree(j->truth);
        ste_dialogue_clear(&j->x);
    }
    ste_xfree(g->jobs);
    ste_xfree(g->lent);
    ste_xfree(g->tags);
    ste_strings_clear(&g->reasons);
    ste_xfree(g->reason_counts);
}

static int make_pairs(struct pairing *g, size_t missing, struct ste_err *err)
{
    g->progress = ste_progress_new("pair", "pairs", missing);
    int rc = ste_draw_kinds(g->l, g->jobs, g->n, err);
    for (int k = 0; rc == 0 && ste_pair_kinds[k]; k++)
        if (ste_pair_kinds[k]->prepare)
            rc = ste_pair_kinds[k]->prepare(g->l, g->jobs, g->n, err);
    for (size_t i = 0; rc == 0 && i < g->n; i++)
        rc = load_attempts(g, &g->jobs[i], err);
    if (rc == 0)
        rc = pair_all(g, false, err);
    if (rc == 0 && waiting(g))
        rc = ask_all(g, err);
    if (rc == 0)
        rc = pair_all(g, true, err);
    ste_progress_end(g->progress);
    return rc;
}

int ste_loop_pair(struct ste_loop *l, struct ste_err *err)
{
    char *selected = NULL;
    int rc = ste_store_meta(l->store, "select", &selected, err);
    const bool ok = selected && strcmp(selected, "done") == 0;
    ste_xfree(selected);
    if (rc != 0)
        return rc;
    if (!ok)
        return ste_err_set(err, STE_EUSAGE, "the instructions of the run in %s are not selected yet: `ste select %s`",
                           ste_store_dir(l->store), ste_store_dir(l->store));
    struct pairing g = {.l = l};
    struct ste_loop_clock clock;
    ste_loop_clock_start(&clock, "pair", 0);
    rc = ste_each_instruction(l->store, "kept", add_job, &g, err);
    g.tags = ste_xcalloc(g.n + 1, sizeof *g.tags);
    size_t missing = 0;
    for (size_t i = 0; i < g.n; i++)
        missing += !g.jobs[i].paired;
    if (rc == 0 && missing > 0) {
        rc = make_pairs(&g, missing, err);
        if (rc == 0)
            rc = ste_loop_clock_stop(l, &clock, err);
    }
    clear(&g);
    return rc != 0 ? rc : ste_loop_pairs_left(l, "pair", err);
}
