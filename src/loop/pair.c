/* A better and a worse answer to each instruction: y_w answers x, y_l answers a modified x' (or is asked to be worse),
 * so y_w > y_l by construction. Of labelled pairs `select` has put both answers into the store: nothing is asked. */
#include "loop/internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "data/minhash.h"

enum kind { ANSWER, MODIFIED, REJECTED, ONE_CALL, WORSE, N_KINDS };
static const char *const kind_names[N_KINDS] = {"answer", "modified", "rejected", "one call", "worse"};

struct piece {
    bool have, asked;
    char *text, *finish; /* TEXT NULL: the prompt was too long */
    struct ste_id id;
};

struct job;
struct ask_tag {
    struct job *job;
    enum kind kind;
};

struct job {
    char *instruction, *split;
    int64_t position;
    struct ste_dialogue x;
    struct piece pieces[N_KINDS];
    struct ask_tag tags[N_KINDS]; /* of the asks in flight */
    bool paired;
};

struct pairing {
    struct ste_loop *l;
    struct job *jobs;
    size_t n, cap, first; /* jobs before FIRST are paired */
    struct ste_voice voices[N_KINDS];
    const struct ste_drive *drive;
    /* texts of the ask being made */
    struct ste_message *messages;
    char *filled;
    struct ste_progress *progress;
};

static bool needs(const struct ste_recipe *r, enum kind k)
{
    if (ste_recipe_labelled(r))
        return false;
    if (strcmp(r->pair_mode, "worse") == 0)
        return k == ANSWER || k == WORSE;
    if (strcmp(r->pair_mode, "one_call") == 0)
        return k == ANSWER || k == ONE_CALL;
    return k == ANSWER || k == MODIFIED || k == REJECTED;
}

/* Refusals as chat models phrase them. Only the beginning counts: a good answer may quote one. */
static bool is_refusal(const char *text)
{
    static const char *const starts[] = {
        "i'm sorry, but",   "i am sorry, but", "i'm sorry, i can",   "sorry, but i",     "sorry, i can",
        "i cannot ",        "i can't ",        "i can not ",         "i'm unable to",    "i am unable to",
        "i'm not able to",  "i am not able",   "as an ai ",          "as a language model", "unfortunately, i can",
        "i apologize, but", "i won't ",        "i'm afraid i can",   "i must decline",   "i'm sorry for",
    };
    struct ste_buf low = STE_BUF_INIT;
    for (const char *p = text; *p && low.len < 64; p++) {
        if ((unsigned char)p[0] == 0xe2 && (unsigned char)p[1] == 0x80 && (unsigned char)p[2] == 0x99) {
            ste_buf_addc(&low, '\''); /* the typographic apostrophe */
            p += 2;
        } else {
            ste_buf_addc(&low, (char)tolower((unsigned char)*p));
        }
    }
    bool yes = false;
    for (size_t i = 0; i < sizeof starts / sizeof *starts && low.s; i++)
        yes |= strncmp(low.s, starts[i], strlen(starts[i])) == 0;
    ste_buf_clear(&low);
    return yes;
}

const char *ste_loop_degenerate(const char *text, const char *finish)
{
    if (!text)
        return "prompt too long";
    if (strcmp(finish, "failed") == 0)
        return "transport";
    if (strcmp(finish, "length") == 0)
        return "cut off";
    if (!text[strspn(text, " \t\r\n")])
        return "empty";
    return is_refusal(text) ? "refusal" : NULL;
}

static char *trimmed(const char *s, size_t n)
{
    while (n && isspace((unsigned char)*s)) {
        s++;
        n--;
    }
    while (n && isspace((unsigned char)s[n - 1]))
        n--;
    return ste_xstrndup(s, n);
}

/* "New request: ..." without its heading: small models copy the name of what they were asked for. */
static const char *without_heading(const char *text)
{
    static const char *const words[] = {"new",      "modified", "changed",     "different", "the",
                                        "request",  "question", "instruction", "prompt"};
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

static bool same_text(const char *a, const char *b)
{
    struct ste_buf fa = STE_BUF_INIT, fb = STE_BUF_INIT;
    ste_text_fold(a, &fa);
    ste_text_fold(b, &fb);
    bool same = strcmp(fa.s ? fa.s : "", fb.s ? fb.s : "") == 0;
    ste_buf_clear(&fa);
    ste_buf_clear(&fb);
    return same;
}

/* The modified instruction and its answer out of one text, by the pack's two headings. */
static bool read_one_call(const struct ste_pack *p, const char *text, char **modified, char **rejected)
{
    const char *head = strstr(text, p->one_call_instruction_tag);
    if (!head)
        return false;
    head += strlen(p->one_call_instruction_tag);
    const char *answer = strstr(head, p->one_call_answer_tag);
    if (!answer)
        return false;
    *modified = trimmed(head, (size_t)(answer - head));
    answer += strlen(p->one_call_answer_tag);
    *rejected = trimmed(answer, strlen(answer));
    return true;
}

/* Of labelled answers the file is the judge: one may be a refusal, and the better one for it. */
static const char *settle_labelled(const struct job *j, char **chosen, char **rejected)
{
    *chosen = ste_xstrdup(j->pieces[ANSWER].text);
    *rejected = ste_xstrdup(j->pieces[REJECTED].text);
    return same_text(*chosen, *rejected) ? "same answers" : "kept";
}

/* What becomes of the pieces: the pair's state, and its texts (the caller frees). "waiting" when one is missing. */
static const char *settle(const struct ste_loop *l, const struct job *j, char **chosen, char **modified,
                          char **rejected, struct ste_buf *state)
{
    const struct ste_recipe *r = &l->recipe;
    if (ste_recipe_labelled(r))
        return settle_labelled(j, chosen, rejected);
    const struct piece *w = &j->pieces[ANSWER];
    bool one = strcmp(r->pair_mode, "one_call") == 0, worse = strcmp(r->pair_mode, "worse") == 0;
    const struct piece *m = &j->pieces[one ? ONE_CALL : MODIFIED], *lose = &j->pieces[one     ? ONE_CALL
                                                                                      : worse ? WORSE
                                                                                              : REJECTED];
    const char *question = j->x.turns[j->x.n - 1].text, *why;
    if (!w->have || (worse ? !lose->have : !m->have))
        return "waiting";
    *chosen = w->text ? ste_xstrdup(w->text) : NULL;
    if ((why = ste_loop_degenerate(w->text, w->finish))) {
        ste_buf_addf(state, "answer: %s", why);
        return state->s;
    }
    if (!worse && (why = ste_loop_degenerate(m->text, m->finish))) {
        ste_buf_addf(state, "modified: %s", why);
        return state->s;
    }
    if (one) {
        if (!read_one_call(l->pack, m->text, modified, rejected))
            return "modified: no headings";
        if (!**modified)
            return "modified: empty";
    } else if (!worse) {
        *modified = ste_xstrdup(m->text);
    }
    if (*modified && same_text(*modified, question))
        return "modified: same as the instruction";
    if (!lose->have)
        return "waiting";
    if (!one)
        *rejected = lose->text ? ste_xstrdup(lose->text) : NULL;
    if ((why = ste_loop_degenerate(*rejected, lose->finish))) {
        ste_buf_addf(state, "rejected: %s", why);
        return state->s;
    }
    return same_text(*chosen, *rejected) ? "same answers" : "kept";
}

/* Writes the pair's row once its pieces are known. */
static int try_pair(struct pairing *g, struct job *j, struct ste_err *err)
{
    char *chosen = NULL, *modified = NULL, *rejected = NULL;
    struct ste_buf buf = STE_BUF_INIT;
    const char *state = settle(g->l, j, &chosen, &modified, &rejected, &buf);
    int rc = 0;
    if (strcmp(state, "waiting") != 0) {
        const char *mode = g->l->recipe.pair_mode;
        enum kind m = strcmp(mode, "one_call") == 0 ? ONE_CALL : MODIFIED;
        enum kind r = strcmp(mode, "one_call") == 0 ? ONE_CALL : strcmp(mode, "worse") == 0 ? WORSE : REJECTED;
        const struct piece *p = j->pieces;
        const char *from[] = {p[ANSWER].id.s, p[m].have ? p[m].id.s : NULL, p[r].have ? p[r].id.s : NULL};
        struct ste_id id = ste_id_of("pair", j->instruction, from[0], from[1] ? from[1] : "", from[2] ? from[2] : "",
                                     NULL);
        rc = ste_store_exec(g->l->store, err,
                            "INSERT INTO pair (id, instruction, position, split, state, chosen_from, modified_from, "
                            "rejected_from, chosen, modified, rejected, label_source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, "
                            "?, ?, ?, ?)",
                            "ttittttttttt", id.s, j->instruction, j->position, j->split, state, from[0], from[1],
                            from[2], chosen, modified, rejected,
                            ste_recipe_labelled(&g->l->recipe) ? "labelled" : "constructed");
        j->paired = true;
        ste_progress_add(g->progress, 1);
    }
    ste_buf_clear(&buf);
    free(chosen);
    free(modified);
    free(rejected);
    return rc;
}

/* Whether KIND of J is to be asked now. The rejected answer waits for both of the others to be good, not only for the
 * one it needs: otherwise it would depend on who comes first whether it is in the store. */
static bool ready(struct pairing *g, const struct job *j, enum kind k)
{
    const struct piece *p = j->pieces;
    if (j->paired || !needs(&g->l->recipe, k) || p[k].have || p[k].asked)
        return false;
    if (k != REJECTED)
        return true;
    return p[ANSWER].have && p[MODIFIED].have && !ste_loop_degenerate(p[ANSWER].text, p[ANSWER].finish) &&
           !ste_loop_degenerate(p[MODIFIED].text, p[MODIFIED].finish) &&
           !same_text(p[MODIFIED].text, j->x.turns[j->x.n - 1].text);
}

static void make_messages(struct pairing *g, const struct job *j, enum kind k, struct ste_ask *ask)
{
    const struct ste_pack *pack = g->l->pack;
    const char *template = k == MODIFIED ? pack->modify_user : k == ONE_CALL ? pack->modify_and_answer_user
                                                                             : pack->worse_user;
    if (k == MODIFIED || k == ONE_CALL || k == WORSE) {
        struct ste_buf text = STE_BUF_INIT;
        ste_dialogue_text(&j->x, &text);
        const struct ste_slot slots[] = {{"instruction", text.s ? text.s : ""}, {"prompt", text.s ? text.s : ""}};
        g->filled = ste_pack_fill(template, slots, 2);
        ste_buf_clear(&text);
        g->messages = ste_xcalloc(1, sizeof *g->messages);
        g->messages[0] = (struct ste_message){"user", g->filled};
        ask->n_messages = 1;
    } else {
        /* x, or x' in the place of its last turn */
        const char *system = g->l->recipe.pair_system;
        bool add = *system && j->x.turns[0].role != STE_ROLE_SYSTEM;
        size_t n = 0;
        g->messages = ste_xcalloc(j->x.n + 1, sizeof *g->messages);
        if (add)
            g->messages[n++] = (struct ste_message){"system", system};
        for (size_t i = 0; i < j->x.n; i++)
            g->messages[n++] = (struct ste_message){ste_role_name(j->x.turns[i].role), j->x.turns[i].text};
        if (k == REJECTED)
            g->messages[n - 1].content = j->pieces[MODIFIED].text;
        ask->n_messages = n;
    }
    ask->messages = g->messages;
}

static struct ste_sampling sampling_of(const struct ste_recipe *r)
{
    return (struct ste_sampling){.temperature = r->pair_temperature, .top_p = r->pair_top_p};
}

static int pair_next(void *arg, struct ste_ask *ask, struct ste_err *err)
{
    struct pairing *g = arg;
    while (g->first < g->n && g->jobs[g->first].paired)
        g->first++;
    /* Later pieces go first: they end a pair. */
    for (size_t i = g->first; i < g->n; i++)
        for (int k = N_KINDS - 1; k >= 0; k--) {
            struct job *j = &g->jobs[i];
            if (g->voices[k].llm != g->drive->llm || !ready(g, j, (enum kind)k))
                continue;
            struct ask_tag *tag = &j->tags[k];
            *tag = (struct ask_tag){j, (enum kind)k};
            *ask = (struct ste_ask){.adapter = g->voices[k].adapter,
                                    .sampling = sampling_of(&g->l->recipe),
                                    .max_tokens = (int)g->l->recipe.pair_max_tokens,
                                    .seed = (uint64_t)g->l->recipe.seed,
                                    .tag = tag};
            make_messages(g, j, (enum kind)k, ask);
            j->pieces[k].asked = true;
            return 1;
        }
    return 0;
}

static void pair_submitted(void *arg, void *tag, uint64_t ticket)
{
    struct pairing *g = arg;
    free(g->messages);
    free(g->filled);
    g->messages = NULL;
    g->filled = NULL;
}

/* Takes TEXT. */
static int put_piece(struct pairing *g, struct ask_tag *tag, char *text, const char *finish, size_t tokens,
                     const char *address, struct ste_err *err)
{
    struct job *j = tag->job;
    struct piece *p = &j->pieces[tag->kind];
    const char *parent = tag->kind == REJECTED ? j->pieces[MODIFIED].id.s : NULL;
    struct ste_sampling s = sampling_of(&g->l->recipe);
    struct ste_id prov;
    int rc = ste_loop_provenance(g->l, tag->kind == MODIFIED || tag->kind == ONE_CALL ? "modify" : "answer",
                                 &g->voices[tag->kind], &s, (int)g->l->recipe.pair_max_tokens, "free", 0, &prov, err);
    *p = (struct piece){.have = true, .asked = true, .text = text, .finish = ste_xstrdup(finish)};
    p->id = ste_id_of("generation", kind_names[tag->kind], j->instruction, parent ? parent : "", prov.s, NULL);
    if (rc == 0)
        rc = ste_store_exec(g->l->store, err,
                            "INSERT INTO generation (id, instruction, kind, parent, text, finish, tokens, address, "
                            "provenance) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                            "ttttttitt", p->id.s, j->instruction, kind_names[tag->kind], parent, text, finish,
                            (int64_t)tokens, address, prov.s);
    return rc != 0 ? rc : try_pair(g, j, err);
}

static int pair_too_long(void *arg, void *tag, struct ste_err *err)
{
    return put_piece(arg, tag, NULL, "too long", 0, NULL, err);
}

static int pair_answer(void *arg, const struct ste_answer *a, struct ste_err *err)
{
    static const char *const finishes[] = {"end", "stop", "length", "choice", "failed"};
    const char *text = a->text ? a->text : "";
    if (((struct ask_tag *)a->tag)->kind == MODIFIED)
        text = without_heading(text);
    return put_piece(arg, a->tag, trimmed(text, strlen(text)), finishes[a->completion.finish], a->completion.n,
                     a->address, err);
}

static int load_pieces(struct pairing *g, struct job *j, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = ste_store_query(g->l->store, &q, err,
                             "SELECT kind, id, text, finish FROM generation WHERE instruction = ? ORDER BY id", "t",
                             j->instruction);
    while (rc == 0 && (rc = ste_store_row(g->l->store, q, err)) == 1) {
        for (int k = 0; k < N_KINDS; k++)
            if (strcmp(kind_names[k], ste_loop_text(q, 0)) == 0) {
                struct piece *p = &j->pieces[k];
                *p = (struct piece){.have = true, .asked = true, .text = ste_loop_text_dup(q, 2),
                                    .finish = ste_loop_text_dup(q, 3)};
                memcpy(p->id.s, ste_loop_text(q, 1), strlen(ste_loop_text(q, 1)) < sizeof p->id.s
                                                         ? strlen(ste_loop_text(q, 1)) + 1
                                                         : 0);
            }
        rc = 0;
    }
    ste_store_done(g->l->store, q);
    return rc;
}

static int load_jobs(struct pairing *g, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = ste_store_query(g->l->store, &q, err,
                             "SELECT id, split, position, dialogue FROM instruction WHERE state = 'kept' AND NOT EXISTS "
                             "(SELECT 1 FROM pair WHERE pair.instruction = instruction.id) ORDER BY position",
                             "");
    while (rc == 0 && (rc = ste_store_row(g->l->store, q, err)) == 1) {
        STE_GROW(g->jobs, g->cap, g->n + 1);
        struct job *j = &g->jobs[g->n];
        *j = (struct job){.position = sqlite3_column_int64(q, 2)};
        if ((rc = ste_loop_dialogue(ste_loop_text(q, 3), &j->x, err)) != 0)
            break;
        j->instruction = ste_loop_text_dup(q, 0);
        j->split = ste_loop_text_dup(q, 1);
        g->n++;
    }
    ste_store_done(g->l->store, q);
    for (size_t i = 0; rc == 0 && i < g->n; i++)
        rc = load_pieces(g, &g->jobs[i], err);
    return rc;
}

static void clear(struct pairing *g)
{
    for (size_t i = 0; i < g->n; i++) {
        struct job *j = &g->jobs[i];
        for (int k = 0; k < N_KINDS; k++) {
            free(j->pieces[k].text);
            free(j->pieces[k].finish);
        }
        free(j->instruction);
        free(j->split);
        ste_dialogue_clear(&j->x);
    }
    free(g->jobs);
}

static bool all_paired(const struct pairing *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (!g->jobs[i].paired)
            return false;
    return true;
}

/* One model for all roles is one pass; with two the passes alternate until no pair waits. */
static int ask_all(struct pairing *g, struct ste_err *err)
{
    int rc = 0;
    for (int k = 0; rc == 0 && k < N_KINDS; k++)
        rc = ste_loop_voice(g->l, k == MODIFIED || k == ONE_CALL ? STE_LOOP_MODIFY : STE_LOOP_ANSWER, 0,
                            &g->voices[k], err);
    for (int turn = 0; rc == 0 && turn < 4 && !all_paired(g); turn++)
        for (int k = 0; rc == 0 && k < 2; k++) {
            const struct ste_drive d = {g->voices[k == 0 ? ANSWER : MODIFIED].llm, g, pair_next, pair_submitted,
                                        pair_too_long, pair_answer};
            g->drive = &d;
            rc = ste_loop_drive(g->l, &d, err);
        }
    return rc;
}

int ste_loop_pair(struct ste_loop *l, struct ste_err *err)
{
    char *selected = ste_store_meta(l->store, "select");
    bool ok = selected && strcmp(selected, "done") == 0;
    free(selected);
    if (!ok)
        return ste_err_set(err, STE_EUSAGE, "the instructions of the run in %s are not selected yet: `ste select %s`",
                           ste_store_dir(l->store), ste_store_dir(l->store));
    struct pairing g = {.l = l};
    struct ste_loop_clock clock;
    ste_loop_clock_start(&clock, "pair", 0);
    int rc = load_jobs(&g, err);
    if (rc == 0 && g.n > 0) {
        g.progress = ste_progress_new("pair", "pairs", g.n);
        if ((rc = ste_store_begin(l->store, err)) == 0) {
            for (size_t i = 0; rc == 0 && i < g.n; i++)
                rc = try_pair(&g, &g.jobs[i], err); /* a run that ended between a piece and its pair */
            rc = ste_store_end(l->store, rc, err);
        }
        if (rc == 0 && !all_paired(&g))
            rc = ask_all(&g, err);
        ste_progress_end(g.progress);
        if (rc == 0)
            rc = ste_loop_clock_stop(l, &clock, err);
    }
    clear(&g);
    if (rc != 0)
        return rc;
    int64_t kept;
    rc = ste_store_count(l->store, &kept, err, "SELECT count(*) FROM pair WHERE state = 'kept' AND split = 'train'", "");
    if (rc == 0 && kept == 0)
        rc = ste_err_set(err, STE_ETHRESHOLD, "pair: no pair to train on is left; `ste report %s` says why",
                         ste_store_dir(l->store));
    return rc;
}
