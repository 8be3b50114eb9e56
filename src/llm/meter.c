#include "llm/meter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"

#define MILLION 1e6
#define WRITE_SECONDS 2 /* between two writes of the ledger where no budget depends on it */
#define ROUNDING 1e-9   /* of sums, as a share of the budget */

/* ---- prices and usage ---- */

double ste_price_of(const struct ste_price *p, const struct ste_amount *a)
{
    const double input = p->cached > p->input ? p->cached : p->input;
    return (a->read * input + a->written * p->output) / MILLION;
}

double ste_cost_of(const struct ste_price *p, const struct ste_spent *s)
{
    const double cached = p->cached < 0 ? p->input : p->cached;
    return ((double)(s->prompt - s->cached) * p->input + (double)s->cached * cached +
            (double)s->completion * p->output) /
           MILLION;
}

/* A count of tokens; false: there is none. */
static bool count(struct ste_raw v, int64_t *out)
{
    int64_t n;
    const bool there = ste_raw_int(v, &n) && n >= 0;
    if (there)
        *out = n;
    return there;
}

bool ste_usage_read(struct ste_raw reply, struct ste_raw usage, struct ste_spent *out)
{
    static const char *const keys[] = {"prompt_tokens", "completion_tokens", "prompt_tokens_details"};
    struct ste_raw v[3];
    *out = (struct ste_spent){0};
    ste_raw_pick(usage, keys, 3, v);
    bool said = count(v[0], &out->prompt);
    said |= count(v[1], &out->completion);
    count(ste_raw_get(v[2], "cached_tokens"), &out->cached);
    if (!said) { /* llama-server's own routes */
        said = count(ste_raw_get(reply, "tokens_evaluated"), &out->prompt);
        said &= count(ste_raw_get(reply, "tokens_predicted"), &out->completion);
        count(ste_raw_get(ste_raw_get(reply, "timings"), "cache_n"), &out->cached);
    }
    if (out->cached > out->prompt)
        out->cached = out->prompt;
    out->requests = said;
    return said;
}

/* ---- the meter ---- */

int ste_meter_open(struct ste_meter *m, const struct ste_endpoint *e, const char *model, const char *path,
                   struct ste_err *err)
{
    struct ste_err why = {0};
    *m = (struct ste_meter){.price = e->price, .budget = e->budget, .name = ste_xstrdup(e->name)};
    m->model = ste_xasprintf("%s#%s", e->urls.items[0], model);
    int rc = path ? ste_ledger_open(&m->ledger, path, &why) : 0;
    if (!rc && m->ledger)
        rc = ste_ledger_add(m->ledger, m->model, &m->unwritten, &m->all, &why);
    return rc && m->budget > 0 ? ste_err_set(err, why.code, "%s: the budget cannot be kept: %s", m->name, why.msg) : 0;
}

void ste_meter_close(struct ste_meter *m)
{
    if (m->ledger)
        ste_ledger_add(m->ledger, m->model, &m->unwritten, &m->all, NULL);
    ste_ledger_close(m->ledger);
    ste_xfree(m->name);
    ste_xfree(m->model);
    *m = (struct ste_meter){0};
}

int ste_meter_write(struct ste_meter *m, struct ste_err *err)
{
    struct ste_err why = {0};
    if (!m->ledger)
        return 0;
    int rc = ste_ledger_add(m->ledger, m->model, &m->unwritten, &m->all, &why);
    m->unwritten = (struct ste_spent){0};
    m->written = ste_now();
    if (rc && m->budget > 0)
        return ste_err_set(err, why.code, "%s: the budget cannot be kept: %s", m->name, why.msg);
    if (rc) {
        ste_warn("%s; going on without", why.msg);
        ste_ledger_close(m->ledger);
        m->ledger = NULL;
    }
    return 0;
}

/* Without a budget what is not yet written when the process is killed is lost: two seconds of figures. */
static int add(struct ste_meter *m, const struct ste_spent *more, struct ste_err *err)
{
    ste_spent_add(&m->now, more);
    ste_spent_add(&m->all, more);
    ste_spent_add(&m->unwritten, more);
    return m->budget > 0 || ste_now() - m->written >= WRITE_SECONDS ? ste_meter_write(m, err) : 0;
}

static bool fits(const struct ste_meter *m, double more)
{
    return m->all.cost + m->all.unheard + more <= m->budget * (1 + ROUNDING);
}

int ste_meter_hold(struct ste_meter *m, const struct ste_amount *most, double *held, struct ste_err *err)
{
    const double want = ste_price_of(&m->price, most) - *held;
    if (!(m->budget > 0) || want <= 0)
        return 1;
    int rc = 0;
    if (!fits(m, want)) /* another process may have freed some */
        rc = add(m, &(struct ste_spent){0}, err);
    if (rc || !fits(m, want)) {
        m->reached |= !rc;
        return rc;
    }
    rc = add(m, &(struct ste_spent){.unheard = want}, err);
    if (!rc && !fits(m, 0)) { /* another process was faster */
        m->reached = true;
        return add(m, &(struct ste_spent){.unheard = -want}, err);
    }
    *held += want;
    return rc ? rc : 1;
}

int ste_meter_settle(struct ste_meter *m, const struct ste_spent *used, const struct ste_amount *most, double *held,
                     struct ste_err *err)
{
    const double rest = m->budget > 0 ? ste_price_of(&m->price, most) : 0, was = *held;
    *held = rest < was ? rest : was;
    if (!used)
        return 0;
    struct ste_spent more = *used;
    more.cost = ste_cost_of(&m->price, used);
    more.unheard = *held - was;
    return add(m, &more, err);
}

int ste_meter_full(const struct ste_meter *m, const struct ste_amount *most, struct ste_err *err)
{
    char unheard[128] = "";
    if (m->all.unheard > ROUNDING * m->budget)
        snprintf(unheard, sizeof unheard, " (%s of it at most, by requests whose replies did not say)",
                 ste_money(m->all.unheard).s);
    return ste_err_set(err, STE_EIO,
                       "%s: %s of the budget of %s is spent%s and the next question may cost %s; raise budget, and the "
                       "same command goes on from here",
                       m->name, ste_money(m->all.cost + m->all.unheard).s, ste_money(m->budget).s, unheard,
                       ste_money(ste_price_of(&m->price, most)).s);
}

/* ---- what is told ---- */

struct ste_money ste_money(double x)
{
    struct ste_money m;
    int digits = 2;
    for (double y = fabs(x); y > 1e-12 && y < 100 && digits < 9; y *= 10)
        digits++;
    snprintf(m.s, sizeof m.s, "%.*f", digits, x);
    for (char *end = m.s + strlen(m.s) - 1; strchr(m.s, '.') && (*end == '0' || *end == '.'); end--) {
        const bool point = *end == '.';
        *end = 0;
        if (point)
            break;
    }
    return m;
}

void ste_spent_text(const struct ste_llm_spent *s, struct ste_buf *out)
{
    const struct ste_spent *x = &s->now;
    ste_buf_addf(out, "%lld requests, %lld tokens read", (long long)x->requests, (long long)x->prompt);
    if (x->cached)
        ste_buf_addf(out, " (%lld cached)", (long long)x->cached);
    ste_buf_addf(out, ", %lld written", (long long)x->completion);
    if (!s->priced)
        return;
    ste_buf_addf(out, "; cost %s", ste_money(x->cost).s);
    if (s->budget > 0 || s->all.requests > x->requests)
        ste_buf_addf(out, ", %s in all", ste_money(s->all.cost + s->all.unheard).s);
    if (s->budget > 0)
        ste_buf_addf(out, " of the budget of %s", ste_money(s->budget).s);
}

json_t *ste_spent_counts(const struct ste_spent *x, bool priced)
{
    json_t *j =
        json_pack("{s:I, s:I, s:I, s:I}", "requests", (json_int_t)x->requests, "prompt_tokens", (json_int_t)x->prompt,
                  "cached_tokens", (json_int_t)x->cached, "completion_tokens", (json_int_t)x->completion);
    if (!priced)
        return j;
    json_object_set_new(j, "cost", json_real(x->cost));
    json_object_set_new(j, "unheard_cost", json_real(x->unheard > 0 ? x->unheard : 0));
    return j;
}

json_t *ste_spent_json(const struct ste_llm_spent *s)
{
    json_t *j = ste_spent_counts(&s->now, s->priced);
    json_object_set_new(j, "with_before", ste_spent_counts(&s->all, s->priced));
    if (s->budget > 0)
        json_object_set_new(j, "budget", json_real(s->budget));
    return j;
}
