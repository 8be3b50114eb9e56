#include "llm/remote.h"

#include <string.h>

#include "core/hash.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "llm/adapters.h"
#include "net/pool.h"

#define MAX_TRIES 6    /* that met a fault, of one question */
#define MAX_WAITS 200  /* that it was refused by a server that answers others */
#define FIRST_WAIT 0.5 /* seconds before the second try; twice that before the third, ... */
#define LONGEST_WAIT 8
#define MAX_ASKED 120 /* seconds that a server may ask us to wait */
#define CUT 0.8       /* of the window, when the server has too much to do */
#define CUT_SECONDS 2 /* between two cuts: one burst of refusals is one */

struct flying {
    struct ste_prepared question;
    size_t at;         /* the address it was sent to */
    bool sent, missed; /* MISSED: the server did not know its adapter */
    int tries, waits;  /* faults met, and times that the server was busy */
    double not_before;
    uint64_t answers; /* that had come when it was first asked */
};

/* What is known of one address. */
struct replica {
    size_t in_flight;
    double window, cut, until; /* UNTIL: nothing is sent before */
    bool doubtful;             /* it may have lost its adapters */
};

struct remote {
    struct ste_llm llm;
    struct ste_server server;
    struct ste_http_pool *pool;
    struct replica *replicas;
    struct flying **flying;
    size_t n_flying, cap_flying;
    uint64_t answers;
    double failing;     /* since when nothing but failures came; 0: that is not so */
    struct ste_err end; /* why nothing is asked any more; code 0: it is */
};

static struct remote *of(struct ste_llm *l)
{
    return (struct remote *)l;
}

static struct ste_ask *ask_of(const struct flying *f)
{
    return f->question.own;
}

/* ---- questions ---- */

static void free_ask(void *own)
{
    ste_ask_free(own);
}

static void address_of(const struct remote *r, const struct ste_question *q, struct ste_ask *a, char out[65])
{
    struct ste_hasher *h = ste_hasher_new();
    char *messages = ste_json_canonical(a->messages);
    ste_hasher_adds(h, "ste remote request 1");
    ste_hasher_adds(h, r->server.model_hash);
    ste_hasher_adds(h, messages);
    ste_hasher_adds(h, q->prefill ? q->prefill : "");
    ste_hasher_addu(h, q->ids ? q->n_ids + 1 : 0);
    if (q->ids)
        ste_hasher_add(h, q->ids, q->n_ids * sizeof *q->ids);
    ste_hasher_adds(h, q->closing ? q->closing : "");
    ste_hasher_addu(h, (uint64_t)q->n_choices);
    for (int i = 0; i < q->n_choices; i++)
        ste_hasher_adds(h, q->choices[i]);
    ste_hasher_addu(h, q->sample_choice);
    ste_hasher_addu(h, (uint64_t)q->n_stops);
    for (int i = 0; i < q->n_stops; i++)
        ste_hasher_adds(h, q->stops[i]);
    ste_hasher_addu(h, (uint64_t)q->max_tokens);
    const double reals[3] = {q->sampling.temperature, q->sampling.top_p, q->sampling.min_p};
    ste_hasher_add(h, reals, sizeof reals);
    ste_hasher_addu(h, (uint64_t)q->sampling.top_k);
    ste_hasher_addu(h, q->seed);
    ste_hasher_addu(h, (uint64_t)q->sample);
    if (q->adapter) /* so that questions without keep their address */
        ste_hasher_adds(h, ste_server_adapter_hash(&r->server, q->adapter));
    uint8_t digest[32];
    ste_hasher_done(h, digest);
    ste_hex(digest, 32, out);
    a->key = ste_hash_u64(digest);
    ste_xfree(messages);
}

static int lacks(const struct remote *r, const struct ste_question *q, struct ste_err *err)
{
    const struct ste_dialect *d = &r->server.dialect;
    const char *what = d->api == STE_API_OPENAI && (q->sampling.top_k > 0 || q->sampling.min_p > 0)
                           ? "is a server that takes no top_k and no min_p"
                       : q->prefill && d->way != STE_WAY_IDS ? "is a server that cannot go on from the beginning of "
                                                               "an answer, which this needs"
                                                             : NULL;
    return what ? ste_err_set(err, STE_EUSAGE, "%s %s", r->llm.about.name, what) : 0;
}

/* The ids of what stands behind the prompt. */
static int tokenize_parts(struct remote *r, const struct ste_question *q, struct ste_ask *a, struct ste_err *err)
{
    int rc = q->closing ? ste_server_tokenize(&r->server, q->closing, true, &a->closing, err) : 0;
    if (!rc && q->prefill)
        rc = ste_server_tokenize(&r->server, q->prefill, false, &a->prefill, err);
    for (int i = 0; i < q->n_choices && !rc; i++)
        rc = ste_server_tokenize(&r->server, q->choices[i], true, &a->choice_ids[i], err);
    for (int i = 0; i < q->n_choices && !rc; i++)
        for (int k = 0; k < q->n_choices && !rc; k++) {
            const struct ste_tokens *x = &a->choice_ids[i], *y = &a->choice_ids[k];
            if (!x->n || (i != k && x->n <= y->n && memcmp(x->ids, y->ids, x->n * sizeof *x->ids) == 0))
                rc = ste_err_set(err, STE_EUSAGE, "%s: the labels \"%s\" and \"%s\" begin with the same tokens",
                                 r->llm.about.name, q->choices[i], q->choices[k]);
        }
    return rc;
}

static int prepare(struct ste_llm *llm, const struct ste_question *question, struct ste_prepared *q,
                   struct ste_err *err)
{
    struct remote *r = of(llm);
    if (r->end.code)
        return ste_err_set(err, r->end.code, "%s", r->end.msg);
    int rc = lacks(r, question, err);
    if (rc)
        return rc;
    struct ste_ask *a = ste_xcalloc(1, sizeof *a);
    a->messages = json_array();
    for (size_t i = 0; i < question->n_messages && !question->ids; i++)
        json_array_append_new(a->messages, json_pack("{ssss}", "role", question->messages[i].role, "content",
                                                     question->messages[i].content));
    for (size_t i = 0; i < question->n_ids && question->ids; i++)
        ste_tokens_add(&a->prompt, question->ids[i]);
    a->have_prompt = question->ids != NULL;
    a->stops = question->n_stops ? json_array() : NULL;
    for (int i = 0; i < question->n_stops; i++)
        json_array_append_new(a->stops, json_string(question->stops[i]));
    a->sampling = question->sampling;
    a->max_tokens = question->max_tokens;
    a->n_choices = question->n_choices;
    a->adapter = question->adapter;
    a->sample_choice = question->sample_choice;
    a->choice = -1;
    for (int i = 0; i < question->n_choices; i++) {
        a->choices[i] = ste_xstrdup(question->choices[i]);
        a->alive[i] = true;
    }
    if (r->server.dialect.way == STE_WAY_IDS && (rc = tokenize_parts(r, question, a, err)) != 0) {
        ste_ask_free(a);
        return rc;
    }
    address_of(r, question, a, q->address);
    q->own = a;
    q->free_own = free_ask;
    return 0;
}

static int submit(struct ste_llm *llm, struct ste_prepared *q, struct ste_err *err)
{
    struct remote *r = of(llm);
    struct flying *f = ste_xcalloc(1, sizeof *f);
    *f = (struct flying){.question = *q, .answers = r->answers};
    *q = (struct ste_prepared){0};
    STE_GROW(r->flying, r->cap_flying, r->n_flying + 1);
    r->flying[r->n_flying++] = f;
    return 0;
}

/* Takes F out, and frees it. */
static void land(struct remote *r, struct flying *f)
{
    size_t i = 0;
    while (r->flying[i] != f)
        i++;
    memmove(&r->flying[i], &r->flying[i + 1], (--r->n_flying - i) * sizeof *r->flying);
    if (f->sent) {
        ste_http_pool_drop(r->pool, f);
        r->replicas[f->at].in_flight--;
    }
    ste_prepared_clear(&f->question);
    ste_xfree(f);
}

static void cancel(struct ste_llm *llm, uint64_t ticket)
{
    struct remote *r = of(llm);
    for (size_t i = 0; i < r->n_flying; i++)
        if (r->flying[i]->question.ticket == ticket) {
            land(r, r->flying[i]);
            return;
        }
}

/* ---- the end of all ---- */

static int end_all(struct remote *r, const char *why, const char *more)
{
    char *said = ste_server_said(&r->server, why);
    ste_err_set(&r->end, STE_EIO, "%s: %s%s", r->llm.about.name, said, more);
    ste_xfree(said);
    return r->end.code;
}

/* False: nothing but failures came for too long, and all ends. */
static bool has_patience(struct remote *r, const char *why)
{
    const double now = ste_now();
    char more[96];
    if (!r->failing)
        r->failing = now;
    if (now - r->failing <= r->server.at.patience)
        return true;
    snprintf(more, sizeof more, "; it answered nothing for %.0f seconds. The same command goes on from here",
             now - r->failing);
    end_all(r, why, more);
    return false;
}

/* ---- sending ---- */

static bool has_room(const struct replica *p, double now)
{
    return p->until <= now && p->in_flight + 1 <= (size_t)p->window;
}

/* An address with room; -1: none has. That which knows the question, else that which is least busy. */
static long place_for(const struct remote *r, const struct flying *f, double now)
{
    long best = -1;
    if (ask_of(f)->have_prompt && has_room(&r->replicas[f->at], now))
        return (long)f->at;
    for (size_t i = 0; i < r->server.at.urls.n; i++)
        if (has_room(&r->replicas[i], now) && (best < 0 || r->replicas[i].in_flight < r->replicas[best].in_flight))
            best = (long)i;
    return best;
}

static void send_one(struct remote *r, struct flying *f, size_t at)
{
    json_t *body;
    const char *path = ste_wire_request(&r->server.dialect, ask_of(f), &body);
    ste_server_name_adapter(&r->server, ask_of(f)->adapter, at, body);
    char *url = ste_server_url(&r->server, at, path), *text = ste_json_canonical(body);
    json_decref(body);
    const struct ste_http_request request = {.url = url,
                                             .headers = r->server.headers,
                                             .body = text,
                                             .seconds = r->server.at.timeout,
                                             .max_bytes = STE_MAX_REPLY,
                                             .tag = f};
    ste_http_pool_send(r->pool, &request);
    f->at = at;
    f->sent = true;
    r->replicas[at].in_flight++;
    ste_xfree(text);
    ste_xfree(url);
}

/* An address that did not answer may have been started anew, without the adapter that F asks for: it is asked for it
 * first, once it is up. False: nothing is sent now. */
static bool is_sure(struct remote *r, const struct flying *f, size_t at)
{
    struct replica *p = &r->replicas[at];
    const int adapter = ask_of(f)->adapter;
    struct ste_err why = {0};
    if (!p->doubtful || !adapter)
        return true;
    if (ste_server_try(&r->server, at, "/v1/models", NULL) != 200) {
        p->until = ste_now() + 1;
        has_patience(r, "no reply");
        return false;
    }
    const int rc = ste_server_have_adapter(&r->server, adapter, at, &why);
    if (rc && rc != STE_EINTERRUPTED)
        ste_err_set(&r->end, why.code, "%s", why.msg);
    p->doubtful = rc != 0;
    return rc == 0;
}

/* Sends what may be sent; gives the seconds until there may be more. */
static double send_all(struct remote *r)
{
    const double now = ste_now();
    double least = 1;
    for (size_t i = 0; i < r->n_flying && !r->end.code; i++) {
        struct flying *f = r->flying[i];
        if (f->sent)
            continue;
        if (f->not_before > now) {
            least = f->not_before - now < least ? f->not_before - now : least;
            continue;
        }
        const long at = place_for(r, f, now);
        if (at >= 0 && is_sure(r, f, (size_t)at))
            send_one(r, f, (size_t)at);
    }
    for (size_t i = 0; i < r->server.at.urls.n; i++)
        if (r->replicas[i].until > now && r->replicas[i].until - now < least)
            least = r->replicas[i].until - now;
    return least;
}

/* ---- what comes back ---- */

enum outcome { GOES_ON, IS_DONE };

/* Longer each time, and not the same for all: from half of it to the whole. */
static double backoff(const struct flying *f, int times)
{
    double seconds = FIRST_WAIT;
    for (int i = 1; i < times && seconds < LONGEST_WAIT; i++)
        seconds *= 2;
    const uint64_t key =
        ste_key_of("backoff", f->question.address, ste_digits(f->tries).s, ste_digits(f->waits).s, NULL);
    return (seconds < LONGEST_WAIT ? seconds : LONGEST_WAIT) * (0.5 + 0.5 * ste_key_share(key));
}

/* WHY is the last thing that went wrong. The server is at fault where it answers nothing else either. */
static int give_up(struct remote *r, struct flying *f, const char *why, struct ste_err *err)
{
    struct ste_err not_even = {0};
    if (r->answers == f->answers && ste_server_check(&r->server, f->at, &not_even) != 0) {
        if (not_even.code == STE_EINTERRUPTED)
            return ste_err_set(err, not_even.code, "%s", not_even.msg);
        return end_all(r, why, "; nor does it answer a short question. The same command goes on from here");
    }
    char *said = ste_server_said(&r->server, why);
    ste_warn("%s has no answer to a question, which counts as failed: %s", r->llm.about.name, said);
    ste_xfree(said);
    return 0;
}

static void heard(struct remote *r, struct replica *p)
{
    const double most = (double)r->server.at.max_in_flight;
    r->failing = 0;
    p->window = p->window + 1 / p->window < most ? p->window + 1 / p->window : most;
}

/* ASKED: for how long the server wants to be left alone, which is then enough; 0: it does not say, and is asked for
 * less at a time. */
static void too_busy(struct replica *p, double asked)
{
    const double now = ste_now();
    if (asked > 0) {
        p->until = now + asked > p->until ? now + asked : p->until;
    } else if (now - p->cut > CUT_SECONDS) {
        p->window = CUT * p->window > 1 ? CUT * p->window : 1;
        p->cut = now;
    }
}

/* 0, or a negative code when nothing is to be asked any more. */
static int wait_for(struct remote *r, struct flying *f, const struct ste_http_reply *reply, bool busy)
{
    if (reply->wait > MAX_ASKED) {
        char more[96];
        snprintf(more, sizeof more, "; it asks to wait %.0f seconds: try again then, the same command goes on",
                 reply->wait);
        return end_all(r, reply->why, more);
    }
    if (!has_patience(r, reply->why ? reply->why : "replies that are none"))
        return r->end.code;
    const double wait = backoff(f, busy ? ++f->waits : f->tries);
    if (busy)
        too_busy(&r->replicas[f->at], reply->wait > 0 ? reply->wait : reply->refused ? wait : 0);
    f->not_before = ste_now() + wait;
    return 0;
}

/* A fault: another try, or none any more. OUT is then the answer that failed, and *IS is set. */
static int fault(struct remote *r, struct flying *f, const struct ste_http_reply *reply, const char *why, bool again,
                 enum outcome *is, struct ste_answer *out, struct ste_err *err)
{
    if (again && ++f->tries < MAX_TRIES)
        return wait_for(r, f, reply, false);
    int rc = give_up(r, f, why, err);
    *is = IS_DONE;
    out->completion =
        (struct ste_completion){.finish = STE_FINISH_FAILED, .free_finish = STE_FINISH_FAILED, .choice = -1};
    out->text = ste_xstrdup("");
    return rc;
}

static int refused(struct remote *r, struct flying *f, const struct ste_http_reply *reply, enum outcome *is,
                   struct ste_answer *out, struct ste_err *err)
{
    const enum ste_refusal what = reply->status    ? ste_wire_refusal(reply->status, reply->body.s, reply->body.len)
                                  : reply->refused ? STE_REFUSAL_BUSY
                                  : reply->passes  ? STE_REFUSAL_FAULT
                                                   : STE_REFUSAL_ALL;
    switch (what) {
    case STE_REFUSAL_BUSY:
        return f->waits < MAX_WAITS ? wait_for(r, f, reply, true) : fault(r, f, reply, reply->why, false, is, out, err);
    case STE_REFUSAL_TOO_LONG:
        out->too_long = ste_server_said(&r->server, reply->why);
        *is = IS_DONE;
        return 0;
    case STE_REFUSAL_ALL:
        if (reply->status == 404 && ask_of(f)->adapter && !f->missed) {
            f->missed = r->replicas[f->at].doubtful = true;
            return 0;
        }
        return end_all(r, reply->why, ste_server_hint(reply->status));
    default:
        return fault(r, f, reply, reply->why, what == STE_REFUSAL_FAULT, is, out, err);
    }
}

static int take(struct remote *r, struct flying *f, const struct ste_http_reply *reply, enum outcome *is,
                struct ste_answer *out, struct ste_err *err)
{
    char *why = NULL;
    *is = GOES_ON;
    f->sent = false;
    r->replicas[f->at].in_flight--;
    r->replicas[f->at].doubtful |= !reply->status;
    if (reply->why)
        return refused(r, f, reply, is, out, err);
    switch (ste_wire_take(&r->server.dialect, ask_of(f), reply->body.s, reply->body.len, &why)) {
    case STE_WIRE_DONE:
        r->answers++;
        *is = IS_DONE;
        ste_wire_answer(ask_of(f), out);
        heard(r, &r->replicas[f->at]);
        return 0;
    case STE_WIRE_MORE:
        heard(r, &r->replicas[f->at]);
        return 0;
    case STE_WIRE_BAD:
        break;
    }
    int rc = fault(r, f, reply, why, true, is, out, err);
    ste_xfree(why);
    return rc;
}

static int next(struct ste_llm *llm, struct ste_answer *out, struct ste_err *err)
{
    struct remote *r = of(llm);
    while (r->n_flying) {
        if (r->end.code)
            return ste_err_set(err, r->end.code, "%s", r->end.msg);
        struct ste_http_reply reply;
        enum outcome is;
        int rc = ste_http_pool_next(r->pool, send_all(r), &reply, err);
        if (rc < 0)
            return rc;
        if (rc == 0)
            continue;
        struct flying *f = reply.tag;
        rc = take(r, f, &reply, &is, out, err);
        ste_http_reply_clear(&reply);
        if (rc || is == GOES_ON) {
            ste_answer_clear(out);
            if (rc == 0 || r->end.code)
                continue; /* the end is told above */
            return rc;
        }
        out->ticket = out->completion.ticket = f->question.ticket;
        out->tag = f->question.tag;
        memcpy(out->address, f->question.address, sizeof out->address);
        land(r, f);
        return 1;
    }
    return 0;
}

/* ---- the rest ---- */

static int tokenize(struct ste_llm *llm, const char *text, int32_t **ids, size_t *n, struct ste_err *err)
{
    struct ste_tokens t = {0};
    int rc = ste_server_tokenize(&of(llm)->server, text, true, &t, err);
    if (rc) {
        ste_tokens_clear(&t);
        return rc;
    }
    *ids = t.ids;
    *n = t.n;
    return 0;
}

static int load_adapter(struct ste_llm *llm, const char *peft_dir, int *handle, struct ste_err *err)
{
    return ste_server_load_adapter(&of(llm)->server, peft_dir, handle, err);
}

static void drop_adapter(struct ste_llm *llm, int handle)
{
    ste_server_drop_adapter(&of(llm)->server, handle);
}

static const char *adapter_hash(const struct ste_llm *llm, int handle)
{
    return ste_server_adapter_hash(&((const struct remote *)llm)->server, handle);
}

static void close_remote(struct ste_llm *llm)
{
    struct remote *r = of(llm);
    while (r->n_flying)
        land(r, r->flying[0]);
    ste_xfree(r->flying);
    ste_http_pool_free(r->pool);
    ste_xfree(r->replicas);
    ste_server_close(&r->server);
    ste_xfree(r);
}

static const struct ste_llm_ops remote_ops = {.prepare = prepare,
                                              .submit = submit,
                                              .cancel = cancel,
                                              .next = next,
                                              .close = close_remote,
                                              .load_adapter = load_adapter,
                                              .drop_adapter = drop_adapter,
                                              .adapter_hash = adapter_hash,
                                              .tokenize = tokenize};

int ste_remote_open(struct ste_llm **out, const char *name, struct ste_err *err)
{
    *out = NULL;
    struct remote *r = ste_xcalloc(1, sizeof *r);
    int rc = ste_server_open(&r->server, name, err);
    if (rc) {
        close_remote(&r->llm);
        return rc;
    }
    const struct ste_server *s = &r->server;
    const size_t n = s->at.urls.n;
    r->pool = ste_http_pool_new();
    r->replicas = ste_xcalloc(n, sizeof *r->replicas);
    for (size_t i = 0; i < n; i++)
        r->replicas[i].window = (double)s->at.max_in_flight;
    r->llm.ops = &remote_ops;
    r->llm.about =
        (struct ste_llm_about){.name = s->at.name,
                               .model_hash = s->model_hash,
                               .numerics = s->numerics,
                               .can = STE_CAN_CHOICES | (s->dialect.way == STE_WAY_IDS ? STE_CAN_TOKEN_IDS : 0u) |
                                      (s->takes_adapters ? STE_CAN_ADAPTERS : 0u),
                               .window = n * (size_t)s->at.max_in_flight,
                               .ctx = s->ctx,
                               .late_prompt = true};
    *out = &r->llm;
    return 0;
}
