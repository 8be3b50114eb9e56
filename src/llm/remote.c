#include "llm/remote.h"

#include <math.h>
#include <string.h>

#include "core/hash.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/raw.h"
#include "llm/adapters.h"
#include "llm/replica.h"
#include "net/pool.h"

#define MAX_TRIES 6    /* that met a fault, of one question */
#define MAX_WAITS 200  /* that it was refused by a server that answers others */
#define FIRST_WAIT 0.5 /* seconds before the second try; twice that before the third, ... */
#define LONGEST_WAIT 8
#define STEP_SECONDS 0.01 /* that a step waits */
#define MAX_ASKED 120     /* seconds that a server may ask us to wait */

struct flying {
    struct ste_prepared question;
    size_t place;      /* in remote.flying */
    size_t at;         /* the address it was sent to */
    bool sent, missed; /* MISSED: the server did not know its adapter */
    int tries, waits;  /* faults met, and times that the server was busy */
    double not_before;
    uint64_t answers; /* that had come when it was first asked */
    double held;      /* of the budget, for what it still needs */
    bool too_dear;    /* it did not fit the budget when it was to be sent last */
};

struct remote {
    struct ste_llm llm;
    struct ste_server server;
    struct ste_http_pool *pool;
    struct ste_replica *replicas;
    struct flying **flying, **waiting; /* WAITING: those of them that are not sent, the oldest first */
    size_t n_flying, cap_flying, n_waiting, cap_waiting;
    uint64_t answers;
    double failing;     /* since when nothing but failures came; 0: that is not so */
    bool full;          /* a question did not fit the budget when questions were sent last */
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
    int rc = ste_ask_lacks(&r->server.dialect, r->llm.about.name, question, err);
    if (rc)
        return rc;
    struct ste_ask *a = ste_ask_new(question);
    if (r->server.dialect.way == STE_WAY_IDS && (rc = tokenize_parts(r, question, a, err)) != 0) {
        ste_ask_free(a);
        return rc;
    }
    ste_ask_address(r->server.model_hash, ste_server_adapter_hash(&r->server, question->adapter), question, a,
                    q->address);
    q->own = a;
    q->free_own = free_ask;
    return 0;
}

static void let_wait(struct remote *r, struct flying *f)
{
    STE_GROW(r->waiting, r->cap_waiting, r->n_waiting + 1);
    size_t i = r->n_waiting++;
    for (; i && r->waiting[i - 1]->question.ticket > f->question.ticket; i--)
        r->waiting[i] = r->waiting[i - 1];
    r->waiting[i] = f;
}

static int submit(struct ste_llm *llm, struct ste_prepared *q, struct ste_err *err)
{
    struct remote *r = of(llm);
    struct flying *f = ste_xcalloc(1, sizeof *f);
    *f = (struct flying){.question = *q, .answers = r->answers};
    *q = (struct ste_prepared){0};
    STE_GROW(r->flying, r->cap_flying, r->n_flying + 1);
    f->place = r->n_flying;
    r->flying[r->n_flying++] = f;
    let_wait(r, f);
    return 0;
}

/* Holds of the budget what F may cost; as ste_meter_hold. */
static int hold(struct remote *r, struct flying *f, struct ste_err *err)
{
    struct ste_amount most;
    if (!(r->server.meter.budget > 0))
        return 1;
    ste_wire_amount(&r->server.dialect, ask_of(f), true, &most);
    return ste_meter_hold(&r->server.meter, &most, &f->held, err);
}

/* A reply took USED (NULL: it does not say). DONE: nothing more is asked for F. */
static int settle(struct remote *r, struct flying *f, const struct ste_spent *used, bool done, struct ste_err *err)
{
    struct ste_amount most = {0};
    if (!done && r->server.meter.budget > 0)
        ste_wire_amount(&r->server.dialect, ask_of(f), true, &most);
    return ste_meter_settle(&r->server.meter, used, &most, &f->held, err);
}

/* Takes F out, and frees it. */
static void land(struct remote *r, struct flying *f)
{
    r->flying[f->place] = r->flying[--r->n_flying];
    r->flying[f->place]->place = f->place;
    if (f->sent) { /* what it holds may be billed, and stays so */
        ste_http_pool_drop(r->pool, f);
        r->replicas[f->at].in_flight--;
    } else {
        settle(r, f, &(struct ste_spent){0}, true, NULL);
    }
    size_t left = 0;
    for (size_t i = 0; i < r->n_waiting; i++)
        if (r->waiting[i] != f)
            r->waiting[left++] = r->waiting[i];
    r->n_waiting = left;
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

/* An address with room; -1: none has. That which knows the question, else that which is least busy. */
static long place_for(const struct remote *r, const struct flying *f, double now)
{
    long best = -1;
    if (ask_of(f)->have_prompt && ste_replica_has_room(&r->replicas[f->at], now))
        return (long)f->at;
    for (size_t i = 0; i < r->server.at.urls.n; i++)
        if (ste_replica_has_room(&r->replicas[i], now) &&
            (best < 0 || r->replicas[i].in_flight < r->replicas[best].in_flight))
            best = (long)i;
    return best;
}

static void send_one(struct remote *r, struct flying *f, size_t at)
{
    char *body;
    struct ste_weights w;
    ste_server_weights(&r->server, ask_of(f)->adapter, at, &w);
    const char *path = ste_wire_request(&r->server.dialect, ask_of(f), &w, &body);
    ste_weights_clear(&w);
    char *url = ste_server_url(&r->server, at, path);
    const struct ste_http_request request = {
        .url = url, .body = body, .seconds = r->server.at.timeout, .max_bytes = STE_MAX_REPLY, .tag = f};
    ste_http_pool_send(r->pool, &request);
    f->at = at;
    f->sent = true;
    r->replicas[at].in_flight++;
    ste_xfree(url);
}

/* An address that did not answer may have been started anew, without the adapter that F asks for, or with one that F
 * does not ask for: it is asked for it first, once it is up. False: nothing is sent now. */
static bool is_sure(struct remote *r, const struct flying *f, size_t at)
{
    struct ste_replica *p = &r->replicas[at];
    const int adapter = ask_of(f)->adapter;
    struct ste_err why = {0};
    if (!p->doubtful || (!adapter && !r->server.listed))
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

/* Sends what may be sent; *LEAST: the seconds until there may be more. What was begun goes before what does not fit the
 * budget. */
static int send_all(struct remote *r, double *wait, struct ste_err *err)
{
    const double now = ste_now();
    double least = 1;
    size_t left = 0, i = 0;
    int rc = 1;
    r->full = false;
    for (; i < r->n_waiting && !r->end.code; i++) {
        struct flying *f = r->waiting[i];
        const bool later = f->not_before > now, dear = r->full && !(f->held > 0);
        const long at = later || dear ? -1 : place_for(r, f, now);
        if (!later && !dear && (at < 0 || !is_sure(r, f, (size_t)at)))
            break; /* nor is there a place for those behind it */
        if (at >= 0 && (rc = hold(r, f, err)) < 0)
            break;
        if (at >= 0 && rc) {
            f->too_dear = false;
            send_one(r, f, (size_t)at);
            continue;
        }
        if (at >= 0)
            f->too_dear = r->full = true;
        if (later && f->not_before - now < least)
            least = f->not_before - now;
        r->waiting[left++] = f;
    }
    if (i > left)
        memmove(r->waiting + left, r->waiting + i, (r->n_waiting - i) * sizeof *r->waiting);
    r->n_waiting -= i - left;
    for (size_t i = 0; i < r->server.at.urls.n; i++)
        if (r->replicas[i].until > now && r->replicas[i].until - now < least)
            least = r->replicas[i].until - now;
    *wait = least;
    return rc < 0 ? rc : 0;
}

/* Ends the work where a question does not fit the budget and nothing is on its way that may free some. */
static bool end_by_budget(struct remote *r)
{
    const struct flying *first = NULL;
    struct ste_amount most;
    for (size_t i = 0; i < r->n_flying && r->full; i++) {
        const struct flying *f = r->flying[i];
        if (f->sent || (f->held > 0 && !f->too_dear))
            return false;
        first = first || !f->too_dear ? first : f;
    }
    if (!first)
        return false;
    ste_wire_amount(&r->server.dialect, ask_of(first), true, &most);
    ste_meter_full(&r->server.meter, &most, &r->end);
    return true;
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
        ste_replica_busy(&r->replicas[f->at], reply->wait > 0 ? reply->wait : reply->refused ? wait : 0);
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
    ste_answer_fail(out);
    return rc;
}

static int refused(struct remote *r, struct flying *f, const struct ste_http_reply *reply, enum outcome *is,
                   struct ste_answer *out, struct ste_err *err)
{
    const enum ste_refusal what = reply->status    ? ste_wire_refusal(reply->status, reply->body, reply->n)
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

/* A refusal counts as nothing, unless it says what it used. */
static int settle_refused(struct remote *r, struct flying *f, const struct ste_http_reply *reply, struct ste_err *err)
{
    struct ste_spent used;
    struct ste_raw said;
    const bool told =
        ste_raw_read(&said, reply->body, reply->n) && ste_usage_read(said, ste_raw_get(said, "usage"), &used);
    return told ? settle(r, f, &used, false, err) : 0;
}

static int take(struct remote *r, struct flying *f, const struct ste_http_reply *reply, enum outcome *is,
                struct ste_answer *out, struct ste_err *err)
{
    char *why = NULL;
    int rc = 0;
    *is = GOES_ON;
    f->sent = false;
    r->replicas[f->at].in_flight--;
    r->replicas[f->at].doubtful |= !reply->status;
    if (!reply->status && !reply->refused)
        f->held = 0; /* it may be billed, and stays counted; for another try as much is held anew */
    let_wait(r, f);  /* for another request, or until it lands */
    if (reply->why)
        return (rc = settle_refused(r, f, reply, err)) != 0 ? rc : refused(r, f, reply, is, out, err);
    const enum ste_wire got = ste_wire_take(&r->server.dialect, ask_of(f), reply->body, reply->n, &why);
    const bool told = ask_of(f)->heard;
    rc = settle(r, f, told ? &ask_of(f)->used : NULL, got == STE_WIRE_DONE, err);
    if (got == STE_WIRE_BAD && !told)
        f->held = 0;
    if (rc) {
        ste_xfree(why);
        return rc;
    }
    switch (got) {
    case STE_WIRE_DONE:
        r->answers++;
        *is = IS_DONE;
        ste_wire_answer(ask_of(f), out);
        r->failing = 0;
        ste_replica_answered(&r->replicas[f->at]);
        return 0;
    case STE_WIRE_MORE:
        r->failing = 0;
        ste_replica_answered(&r->replicas[f->at]);
        return 0;
    case STE_WIRE_BAD:
        break;
    }
    rc = fault(r, f, reply, why, true, is, out, err);
    ste_xfree(why);
    return rc;
}

/* Waits for a reply at most for MOST seconds. 1: *OUT is an answer; 0: none is there yet. */
static int turn(struct remote *r, double most, struct ste_answer *out, struct ste_err *err)
{
    struct ste_http_reply reply;
    enum outcome is;
    double wait;
    if (r->end.code)
        return ste_err_set(err, r->end.code, "%s", r->end.msg);
    int rc = send_all(r, &wait, err);
    if (rc == 0 && end_by_budget(r))
        return 0; /* the end is told above, the next time */
    const double save = r->llm.before_wait ? r->llm.before_wait(r->llm.wrapper) : INFINITY;
    if (rc == 0)
        rc = ste_http_pool_next(r->pool, fmin(fmin(wait, save), most), &reply, err);
    if (rc <= 0)
        return rc;
    struct flying *f = reply.tag;
    rc = take(r, f, &reply, &is, out, err);
    ste_http_reply_clear(&reply);
    if (rc || is == GOES_ON) {
        ste_answer_clear(out);
        return r->end.code ? 0 : rc;
    }
    ste_answer_is_of(out, &f->question);
    land(r, f);
    if (r->n_flying == 0 && (rc = ste_meter_write(&r->server.meter, err)) != 0) {
        ste_answer_clear(out);
        return rc;
    }
    return 1;
}

static int next(struct ste_llm *llm, struct ste_answer *out, struct ste_err *err)
{
    int rc = 0;
    while (rc == 0 && of(llm)->n_flying)
        rc = turn(of(llm), INFINITY, out, err);
    return rc;
}

static int step(struct ste_llm *llm, struct ste_answer *out, struct ste_err *err)
{
    return of(llm)->n_flying ? turn(of(llm), STEP_SECONDS, out, err) : 0;
}

static void again(struct ste_llm *llm)
{
    of(llm)->end = (struct ste_err){0};
    of(llm)->failing = 0;
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

static void spent(struct ste_llm *llm, struct ste_llm_spent *out)
{
    const struct ste_meter *m = &of(llm)->server.meter;
    *out = (struct ste_llm_spent){m->now, m->all, m->budget, ste_price_given(&m->price)};
}

static void close_remote(struct ste_llm *llm)
{
    struct remote *r = of(llm);
    while (r->n_flying)
        land(r, r->flying[0]);
    ste_xfree(r->flying);
    ste_xfree(r->waiting);
    ste_http_pool_free(r->pool);
    ste_xfree(r->replicas);
    ste_server_close(&r->server);
    ste_xfree(r);
}

static const struct ste_llm_ops remote_ops = {.prepare = prepare,
                                              .submit = submit,
                                              .cancel = cancel,
                                              .next = next,
                                              .step = step,
                                              .close = close_remote,
                                              .load_adapter = load_adapter,
                                              .drop_adapter = drop_adapter,
                                              .adapter_hash = adapter_hash,
                                              .tokenize = tokenize,
                                              .spent = spent,
                                              .again = again};

int ste_remote_open(struct ste_llm **out, const char *name, const char *spent_in, struct ste_err *err)
{
    *out = NULL;
    struct remote *r = ste_xcalloc(1, sizeof *r);
    int rc = ste_server_open(&r->server, name, spent_in, err);
    if (rc) {
        close_remote(&r->llm);
        return rc;
    }
    const struct ste_server *s = &r->server;
    const size_t n = s->at.urls.n;
    r->pool = ste_http_pool_new(s->headers);
    r->replicas = ste_xcalloc(n, sizeof *r->replicas);
    for (size_t i = 0; i < n; i++)
        r->replicas[i].window = r->replicas[i].most = (double)s->at.max_in_flight;
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
