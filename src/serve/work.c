#include "serve/work.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/domain.h"
#include "core/log.h"
#include "core/mem.h"
#include "judge/judge.h"

#define MAX_JOBS 1024
#define LOOK_SECONDS 0.02 /* between two looks at who has gone */

struct client {
    char *name;
    size_t jobs; /* under the lock */
    size_t in_flight;
    uint64_t turn; /* when it was asked last */
};

struct job {
    struct ste_job j;
    struct client *client;
    bool begun, waits; /* WAITS: it has nothing to ask before its next answer */
    int adapter;       /* that it holds, once begun */
    size_t in_flight;
    uint64_t turn;
};

struct flying {
    uint64_t ticket;
    struct job *job;
    size_t told; /* bytes */
};

struct held {
    int adapter;
    size_t jobs;
};

struct ste_work {
    struct ste_work_params p;
    struct ste_context context;
    char *judge;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    /* Under the lock. */
    struct job **inbox; /* (n_inbox), room for all that may be there */
    size_t n_inbox;
    struct client **clients; /* those that have jobs */
    size_t n_clients, cap_clients;
    struct ste_work_state state;
    atomic_bool stops;
    double until; /* set before STOPS */
    /* The thread's. */
    struct job **jobs;
    size_t n_jobs, cap_jobs;
    struct flying *flying;
    size_t n_flying, cap_flying;
    struct held *held; /* (n_held) adapters; the last one is the newest */
    size_t n_held, cap_held;
    uint64_t turns;
    double looked;
};

/* ---- the context of the thread ---- */

static bool is_cut(const struct ste_work *w)
{
    return w->stops && ste_now() >= w->until;
}

static const char *setting(void *arg, const char *name)
{
    const struct ste_context *c = ((struct ste_work *)arg)->p.context;
    return c->setting ? c->setting(c->arg, name) : NULL;
}

static bool cancelled(void *arg)
{
    return is_cut(arg);
}

static void say(void *arg, bool warning, const char *text)
{
    const struct ste_context *c = ((struct ste_work *)arg)->p.context;
    if (c->say)
        c->say(c->arg, warning, text);
}

/* ---- clients and jobs ---- */

static struct client *client_of(struct ste_work *w, const char *name)
{
    for (size_t i = 0; i < w->n_clients; i++)
        if (strcmp(w->clients[i]->name, name) == 0)
            return w->clients[i];
    return NULL;
}

int ste_work_add(struct ste_work *w, const struct ste_job *job, struct ste_err *err)
{
    struct job *b = ste_xcalloc(1, sizeof *b);
    struct client *fresh = ste_xcalloc(1, sizeof *fresh);
    const size_t each = w->p.max_jobs > 1 ? w->p.max_jobs / 2 : 1;
    int rc = 0;
    b->j = *job;
    fresh->name = ste_xstrdup(job->client ? job->client : "");
    pthread_mutex_lock(&w->lock);
    struct client *c = client_of(w, fresh->name);
    if (w->stops || w->state.code)
        rc = ste_err_set(err, STE_EBUSY, "the server stops; try again in a while");
    else if (w->state.jobs >= w->p.max_jobs)
        rc =
            ste_err_set(err, STE_EBUSY, "%zu requests wait for the model already; try again in a while", w->state.jobs);
    else if (c && c->jobs >= each)
        rc = ste_err_set(err, STE_EBUSY, "%zu requests of yours wait for the model already; try again in a while",
                         c->jobs);
    if (rc == 0) {
        if (!c) {
            c = w->clients[w->n_clients++] = fresh;
            fresh = NULL;
        }
        c->jobs++;
        b->client = c;
        w->inbox[w->n_inbox++] = b;
        w->state.jobs++;
        w->state.clients = w->n_clients;
        pthread_cond_signal(&w->more);
    } else {
        w->state.refused++;
    }
    pthread_mutex_unlock(&w->lock);
    if (fresh)
        ste_xfree(fresh->name);
    ste_xfree(fresh);
    if (rc)
        ste_xfree(b);
    return rc;
}

/* Of client names only those with jobs are kept. */
static void forget(struct ste_work *w, struct job *b, bool failed)
{
    struct client *c = b->client;
    pthread_mutex_lock(&w->lock);
    const bool last = --c->jobs == 0;
    for (size_t i = 0; last && i < w->n_clients; i++)
        if (w->clients[i] == c)
            w->clients[i--] = w->clients[--w->n_clients];
    w->state.jobs--;
    w->state.jobs_done += !failed;
    w->state.jobs_failed += failed;
    w->state.clients = w->n_clients;
    pthread_mutex_unlock(&w->lock);
    if (last) {
        ste_xfree(c->name);
        ste_xfree(c);
    }
    ste_xfree(b);
}

/* ---- adapters ---- */

static void drop_unused(struct ste_work *w)
{
    size_t left = 0;
    for (size_t i = 0; i < w->n_held; i++) {
        if (w->held[i].jobs || i + 1 == w->n_held)
            w->held[left++] = w->held[i];
        else
            ste_llm_drop_adapter(w->p.llm, w->held[i].adapter);
    }
    w->n_held = left;
}

static void hold(struct ste_work *w, int adapter)
{
    STE_GROW(w->held, w->cap_held, w->n_held + 1);
    w->held[w->n_held++] = (struct held){.adapter = adapter};
}

static void tell_adapter(struct ste_work *w, const char *folder)
{
    const char *hash = w->p.llm ? ste_llm_adapter_hash(w->p.llm, w->held[w->n_held - 1].adapter) : "";
    pthread_mutex_lock(&w->lock);
    snprintf(w->state.adapter, sizeof w->state.adapter, "%s", hash);
    snprintf(w->state.folder, sizeof w->state.folder, "%s", folder ? folder : "");
    pthread_mutex_unlock(&w->lock);
}

static int load_newest(struct ste_work *w, bool *changed, struct ste_err *err)
{
    struct ste_judge_spec spec;
    int adapter = 0, rc = w->judge ? ste_judge_spec_parse(&spec, w->judge, err)
                                   : ste_err_set(err, STE_EUSAGE, "there is no judge to load anew");
    if (rc)
        return rc;
    if (!w->p.llm || spec.reward || !spec.adapter)
        rc = ste_err_set(err, STE_EUSAGE, "%s has no adapter that could be loaded anew%s", w->judge,
                         spec.reward ? ": it is a reward model" : "");
    if (!rc)
        rc = ste_llm_load_adapter(w->p.llm, spec.adapter, &adapter, err);
    if (!rc) {
        const int was = w->held[w->n_held - 1].adapter;
        *changed = strcmp(ste_llm_adapter_hash(w->p.llm, adapter), ste_llm_adapter_hash(w->p.llm, was)) != 0;
        if (*changed) {
            hold(w, adapter);
            drop_unused(w);
            tell_adapter(w, spec.adapter);
        } else {
            ste_llm_drop_adapter(w->p.llm, adapter);
        }
    }
    ste_judge_spec_clear(&spec);
    return rc;
}

/* ---- a job's way ---- */

/* Questions that the job has cancelled itself. */
static void note_cancelled(struct ste_work *w, struct job *b)
{
    if (!w->p.llm || w->n_flying == ste_llm_in_flight(w->p.llm))
        return;
    size_t left = 0;
    for (size_t i = 0; i < w->n_flying; i++) {
        struct flying *f = &w->flying[i];
        if (f->job != b || ste_llm_is_in_flight(w->p.llm, f->ticket)) {
            w->flying[left++] = *f;
            continue;
        }
        b->in_flight--;
        b->client->in_flight--;
    }
    w->n_flying = left;
}

/* ERR: why RC is not 0; NULL: RC is 0. */
static void finish(struct ste_work *w, struct job *b, int rc, const struct ste_err *err)
{
    for (size_t i = 0; i < w->n_flying; i++)
        if (w->flying[i].job == b)
            ste_llm_cancel(w->p.llm, w->flying[i].ticket);
    note_cancelled(w, b);
    for (size_t i = 0; i < w->n_jobs; i++)
        if (w->jobs[i] == b) {
            memmove(w->jobs + i, w->jobs + i + 1, (w->n_jobs - i - 1) * sizeof *w->jobs);
            w->n_jobs--;
            break;
        }
    b->j.over(b->j.arg, rc, err);
    for (size_t i = 0; b->begun && i < w->n_held; i++)
        w->held[i].jobs -= w->held[i].adapter == b->adapter;
    drop_unused(w);
    if (rc && w->p.llm && !ste_llm_in_flight(w->p.llm))
        ste_llm_again(w->p.llm);
    forget(w, b, rc != 0);
}

static int begin(struct ste_work *w, struct job *b, struct ste_err *err)
{
    struct held *h = &w->held[w->n_held - 1];
    b->begun = true;
    b->adapter = h->adapter;
    h->jobs++;
    if (b->j.begins) {
        int rc = b->j.begins(b->j.arg, w->p.llm, b->adapter, &b->j.pump, err);
        if (rc < 0)
            return rc;
    }
    b->j.pump.llm = w->p.llm;
    return b->j.run || w->p.llm
               ? 0
               : ste_err_set(err, STE_EUSAGE, "the judge here is a reward model, which writes nothing");
}

/* One question of the job, or the whole of one that runs. It may be over then. */
static void ask(struct ste_work *w, struct job *b)
{
    struct ste_err err = {0};
    uint64_t ticket = 0;
    b->turn = b->client->turn = ++w->turns;
    int rc = b->begun ? 0 : begin(w, b, &err);
    if (rc == 0 && b->j.run) {
        rc = b->j.run(b->j.arg, w->p.llm, &err);
        finish(w, b, rc < 0 ? rc : 0, &err);
        return;
    }
    if (rc == 0)
        rc = ste_pump_ask(&b->j.pump, &ticket, &err);
    if (ticket) {
        STE_GROW(w->flying, w->cap_flying, w->n_flying + 1);
        w->flying[w->n_flying++] = (struct flying){.ticket = ticket, .job = b};
        b->in_flight++;
        b->client->in_flight++;
    }
    note_cancelled(w, b);
    b->waits = rc == 0;
    if (rc < 0 || (rc == 0 && !b->in_flight))
        finish(w, b, rc, &err);
}

static bool is_before(const struct job *a, const struct job *b)
{
    if (a->client->in_flight != b->client->in_flight)
        return a->client->in_flight < b->client->in_flight;
    if (a->client->turn != b->client->turn)
        return a->client->turn < b->client->turn;
    if (a->in_flight != b->in_flight)
        return a->in_flight < b->in_flight;
    return a->turn < b->turn;
}

/* The job whose question is next. */
static struct job *pick(const struct ste_work *w)
{
    struct job *best = NULL;
    for (size_t i = 0; i < w->n_jobs; i++)
        if (!w->jobs[i]->waits && (!best || is_before(w->jobs[i], best)))
            best = w->jobs[i];
    return best;
}

/* What is in flight is asked in its order, so that few should wait there before a newcomer; as there is room again
 * after each step, few are enough. */
static bool has_room(const struct ste_work *w)
{
    const struct ste_llm_about *about = w->p.llm ? ste_llm_about(w->p.llm) : NULL;
    return !about || ste_llm_in_flight(w->p.llm) < (about->batch ? about->batch + about->batch / 4 + 1 : about->window);
}

static void fill(struct ste_work *w)
{
    struct job *b;
    while (has_room(w) && (b = pick(w)))
        ask(w, b);
}

/* An error of the model ends the jobs that have asked it. */
static void fail(struct ste_work *w, int rc, const struct ste_err *err)
{
    if (rc != STE_EINTERRUPTED)
        ste_warn("%s", err->msg);
    while (w->n_flying)
        finish(w, w->flying[0].job, rc, err);
}

static void count(struct ste_work *w, const struct ste_answer *a)
{
    pthread_mutex_lock(&w->lock);
    w->state.answers++;
    w->state.read += a->n_prompt;
    w->state.written += a->completion.n;
    pthread_mutex_unlock(&w->lock);
}

static void take(struct ste_work *w, struct ste_answer *a)
{
    size_t i = 0;
    struct ste_err err = {0};
    while (w->flying[i].ticket != a->ticket)
        i++;
    struct job *b = w->flying[i].job;
    w->flying[i] = w->flying[--w->n_flying];
    b->in_flight--;
    b->client->in_flight--;
    b->waits = false;
    count(w, a);
    int rc = ste_pump_take(&b->j.pump, a, &err);
    note_cancelled(w, b);
    if (rc < 0)
        finish(w, b, rc, &err);
    else if (!b->in_flight)
        ask(w, b); /* or it would wait for room only to say that it is over */
}

static void tell_growth(struct ste_work *w)
{
    struct ste_written so_far;
    for (size_t i = 0; i < w->n_flying; i++) {
        struct flying *f = &w->flying[i];
        if (!f->job->j.grows || !ste_llm_written(w->p.llm, f->ticket, &so_far) || so_far.n <= f->told)
            continue;
        f->told = so_far.n;
        f->job->j.grows(f->job->j.arg, f->ticket, &so_far);
    }
}

static void step(struct ste_work *w)
{
    struct ste_answer a;
    struct ste_err err = {0};
    int rc = w->p.llm ? ste_llm_step(w->p.llm, &a, &err) : 0;
    if (rc < 0)
        fail(w, rc, &err);
    else if (rc > 0)
        take(w, &a);
    tell_growth(w);
}

/* ---- the thread ---- */

static void interrupt_all(struct ste_work *w)
{
    const struct ste_err err = {STE_EINTERRUPTED, "the server stops"};
    while (w->n_jobs)
        finish(w, w->jobs[w->n_jobs - 1], err.code, &err);
}

static void end_gone(struct ste_work *w)
{
    const struct ste_err err = {STE_EINTERRUPTED, "the client has gone"};
    if (ste_now() - w->looked < LOOK_SECONDS)
        return;
    w->looked = ste_now();
    for (size_t i = w->n_jobs; i-- > 0;)
        if (w->jobs[i]->j.gone && w->jobs[i]->j.gone(w->jobs[i]->j.arg))
            finish(w, w->jobs[i], err.code, &err);
}

/* Takes what was added; waits where there is nothing else to do. False: it is over. */
static bool take_jobs(struct ste_work *w)
{
    STE_GROW(w->jobs, w->cap_jobs, w->n_jobs + w->p.max_jobs); /* no memory is asked for under the lock */
    pthread_mutex_lock(&w->lock);
    w->state.in_flight = w->n_flying;
    while (!w->n_inbox && !w->n_jobs && !w->stops)
        pthread_cond_wait(&w->more, &w->lock);
    for (size_t i = 0; i < w->n_inbox; i++)
        w->jobs[w->n_jobs++] = w->inbox[i];
    w->n_inbox = 0;
    pthread_mutex_unlock(&w->lock);
    return w->n_jobs > 0;
}

static int work(void *arg, struct ste_err *err)
{
    struct ste_work *w = arg;
    while (take_jobs(w)) {
        if (is_cut(w))
            interrupt_all(w);
        end_gone(w);
        fill(w);
        step(w);
    }
    return 0;
}

static void *run(void *arg)
{
    struct ste_work *w = arg;
    struct ste_err err = {0};
    struct ste_domain *domain = ste_domain_of_process();
    ste_context_set(&w->context);
    int rc = domain ? ste_domain_call(domain, work, w, &err) : STE_ENOMEM;
    pthread_mutex_lock(&w->lock);
    w->state.code = rc;
    pthread_mutex_unlock(&w->lock);
    ste_domain_free(domain);
    return NULL;
}

static void free_work(struct ste_work *w)
{
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->more);
    ste_xfree(w->inbox);
    ste_xfree(w->clients);
    ste_xfree(w->jobs);
    ste_xfree(w->flying);
    ste_xfree(w->held);
    ste_xfree(w->judge);
    ste_xfree(w);
}

int ste_work_start(struct ste_work **out, const struct ste_work_params *p, struct ste_err *err)
{
    static const struct ste_context none;
    struct ste_work *w = ste_xcalloc(1, sizeof *w);
    w->p = *p;
    w->p.max_jobs = p->max_jobs ? p->max_jobs : MAX_JOBS;
    w->p.context = p->context ? p->context : &none;
    w->context = (struct ste_context){setting, cancelled, say, NULL, w};
    w->judge = p->judge ? ste_xstrdup(p->judge) : NULL;
    w->inbox = ste_xcalloc(w->p.max_jobs, sizeof *w->inbox);
    w->clients = ste_xcalloc(w->p.max_jobs, sizeof *w->clients);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    hold(w, p->adapter);
    tell_adapter(w, p->folder);
    if (pthread_create(&w->thread, NULL, run, w)) {
        free_work(w);
        *out = NULL;
        return ste_err_set(err, STE_EFAIL, "cannot start the model's thread");
    }
    *out = w;
    return 0;
}

void ste_work_stop(struct ste_work *w, double seconds)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->until = ste_now() + seconds;
    w->stops = true;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    free_work(w);
}

void ste_work_state(struct ste_work *w, struct ste_work_state *out)
{
    pthread_mutex_lock(&w->lock);
    *out = w->state;
    pthread_mutex_unlock(&w->lock);
}

/* ---- reloading ---- */

struct reload {
    struct ste_work *w;
    void (*done)(void *arg, int rc, bool changed, const struct ste_err *err);
    void *arg;
    bool changed;
};

static int run_reload(void *arg, struct ste_llm *llm, struct ste_err *err)
{
    struct reload *r = arg;
    return load_newest(r->w, &r->changed, err);
}

static void reload_over(void *arg, int rc, const struct ste_err *err)
{
    struct reload *r = arg;
    if (rc == 0) {
        pthread_mutex_lock(&r->w->lock);
        r->w->state.reloads += r->changed;
        pthread_mutex_unlock(&r->w->lock);
    }
    if (r->done)
        r->done(r->arg, rc, r->changed, err);
    ste_xfree(r);
}

int ste_work_reload(struct ste_work *w, void (*done)(void *arg, int rc, bool changed, const struct ste_err *err),
                    void *arg, struct ste_err *err)
{
    struct reload *r = ste_xcalloc(1, sizeof *r);
    *r = (struct reload){.w = w, .done = done, .arg = arg};
    const struct ste_job job = {.client = "", .arg = r, .run = run_reload, .over = reload_over};
    int rc = ste_work_add(w, &job, err);
    if (rc)
        ste_xfree(r);
    return rc;
}
