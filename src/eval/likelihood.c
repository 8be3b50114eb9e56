#include "eval/likelihood.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/interrupt.h"
#include "core/mem.h"
#include "eval/reward.h"

static const char *const names[STE_N_NORMALISE] = {"even", "token", "sum", "plain", "plain-sum"};

const char *ste_normalise_name(enum ste_normalise n)
{
    return names[n];
}

int ste_normalise_by_name(const char *name, enum ste_normalise *out, struct ste_err *err)
{
    for (int i = 0; i < STE_N_NORMALISE; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum ste_normalise)i;
            return 0;
        }
    return ste_err_set(err, STE_EUSAGE, "--normalise %s: there are even, token, sum, plain and plain-sum", name);
}

double ste_normalised(enum ste_normalise n, double sum, int tokens)
{
    if (n == STE_NORMALISE_SUM || n == STE_NORMALISE_PLAIN_SUM)
        return sum;
    return sum / (n == STE_NORMALISE_EVEN ? sqrt(sqrt(tokens)) : tokens);
}

/* ---- many texts ---- */

struct asking {
    struct ste_llm *llm;
    const struct ste_likelihood_setting *setting;
    const struct ste_given *given;
    struct ste_likelihood *out;
    uint64_t *tickets; /* 0: not in flight; an address here is the question's tag */
    size_t waiting;
};

static int ask(struct asking *a, size_t i, struct ste_err *err)
{
    const struct ste_given *g = &a->given[i];
    const struct ste_ask question = {.messages = g->messages,
                                     .n_messages = g->n_messages,
                                     .given = g->text,
                                     .adapter = a->setting->adapter,
                                     .tag = &a->tickets[i]};
    struct ste_err why = {0};
    const int rc = ste_llm_submit(a->llm, &question, &a->tickets[i], &why);
    if (rc && rc != STE_ETOOLONG)
        return ste_err_set(err, rc, "%s", why.msg);
    if (rc)
        a->out[i] = (struct ste_likelihood){.sum = NAN};
    else
        a->waiting++;
    return 0;
}

static int take(struct asking *a, struct ste_err *err)
{
    struct ste_answer answer = {0};
    const int got = ste_llm_next(a->llm, &answer, err);
    if (got <= 0)
        return got < 0 ? got : ste_err_set(err, STE_EFAIL, "%zu likelihoods never came back", a->waiting);
    uint64_t *ticket = answer.tag;
    *ticket = 0;
    a->waiting--;
    a->out[ticket - a->tickets] =
        ste_answer_likelihood(a->llm, &answer, a->setting->end || answer.completion.n_free == 1);
    ste_answer_clear(&answer);
    return 0;
}

int ste_likelihoods(struct ste_llm *llm, const struct ste_likelihood_setting *s, const struct ste_given *given,
                    size_t n, struct ste_likelihood *out, struct ste_progress *progress, struct ste_err *err)
{
    struct asking a = {
        .llm = llm, .setting = s, .given = given, .out = out, .tickets = ste_xcalloc(n + 1, sizeof *a.tickets)};
    const size_t window = ste_llm_window(llm);
    size_t next = 0;
    int rc = 0;
    while (!rc && (next < n || a.waiting)) {
        const size_t open = n - next + a.waiting;
        if (next < n && a.waiting < window)
            rc = ask(&a, next++, err);
        else if (!(rc = ste_interrupt_check(err)))
            rc = take(&a, err);
        ste_progress_add(progress, open - (n - next + a.waiting));
    }
    for (size_t i = 0; i < next; i++)
        if (a.tickets[i])
            ste_llm_cancel(llm, a.tickets[i]);
    free(a.tickets);
    return rc;
}

/* ---- pairs ---- */

enum { MOST_TEXTS = 4 }; /* of a pair: both answers behind the prompt, then both behind none */

int ste_likelihood_texts(const struct ste_likelihood_setting *s)
{
    return s->normalise == STE_NORMALISE_PLAIN || s->normalise == STE_NORMALISE_PLAIN_SUM ? 2 : MOST_TEXTS;
}

static double score(const struct ste_likelihood_setting *s, const struct ste_likelihood *l)
{
    const double sum = l[0].sum - (ste_likelihood_texts(s) == MOST_TEXTS ? l[2].sum : 0);
    return ste_normalised(s->normalise, sum, l[0].tokens);
}

int ste_likelihood_pairs(struct ste_llm *llm, const struct ste_likelihood_setting *s,
                         const struct ste_answer_pairs *pairs, struct ste_outcome *out, struct ste_progress *progress,
                         struct ste_err *err)
{
    static const struct ste_message none = {"user", ""};
    const size_t each = (size_t)ste_likelihood_texts(s);
    struct ste_given *given = ste_xcalloc(pairs->n * each + 1, sizeof *given);
    struct ste_likelihood *found = ste_xcalloc(pairs->n * each + 1, sizeof *found);
    struct ste_message **messages = ste_xcalloc(pairs->n + 1, sizeof *messages);
    size_t n = 0;
    for (size_t i = 0; i < pairs->n; i++) {
        const struct ste_answer_pair *p = &pairs->items[i];
        ste_outcome_begin(&out[i], p, !p->tied || s->ask_ties);
        if (!out[i].judged)
            continue;
        messages[i] = ste_chat_messages(&p->prompt);
        for (size_t k = 0; k < each; k++)
            given[n++] = (struct ste_given){.messages = k < 2 ? messages[i] : &none,
                                            .n_messages = k < 2 ? p->prompt.n : 1,
                                            .text = k % 2 ? p->second : p->first};
    }
    int rc = ste_likelihoods(llm, s, given, n, found, progress, err);
    if (rc)
        ste_err_wrap(err, "judging %s", pairs->path);
    const struct ste_likelihood *l = found;
    for (size_t i = 0; i < pairs->n && !rc; i++) {
        if (!out[i].judged)
            continue;
        const double first = score(s, l), second = score(s, l + 1);
        bool asked = true; /* what does not fit has no token */
        for (size_t k = 0; k < each; k++)
            asked &= !(isnan(l[k].sum) && l[k].tokens == 0);
        l += each;
        if (asked) {
            ste_outcome_of_scores(&out[i], first, second);
            continue;
        }
        ste_outcome_too_long(&out[i]);
        ste_warn("%s, pair %s counts as invalid: with an answer its prompt does not fit the context of %d", pairs->name,
                 pairs->items[i].id, ste_engine_ctx(ste_llm_engine(llm)));
    }
    for (size_t i = 0; i < pairs->n; i++)
        free(messages[i]);
    free(messages);
    free(found);
    free(given);
    return rc;
}
