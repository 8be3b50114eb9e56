#include "eval/likelihood.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "eval/reward.h"
#include "llm/pump.h"

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
    const struct ste_likelihood_setting *setting;
    const struct ste_given *given;
    struct ste_likelihood *out; /* (n); an address here is a question's tag */
    size_t n, next;
    struct ste_progress *progress;
};

static int next(void *arg, struct ste_ask *ask, struct ste_err *err)
{
    struct asking *g = arg;
    if (g->next == g->n)
        return 0;
    const struct ste_given *given = &g->given[g->next];
    ask->messages = given->messages;
    ask->n_messages = given->n_messages;
    ask->given = given->text;
    ask->adapter = g->setting->adapter;
    ask->tag = &g->out[g->next++];
    return 1;
}

static void submitted(void *arg, void *tag, uint64_t ticket)
{
}

static int too_long(void *arg, void *tag, const char *why, struct ste_err *err)
{
    *(struct ste_likelihood *)tag = (struct ste_likelihood){.sum = NAN};
    ste_progress_add(((struct asking *)arg)->progress, 1);
    return 0;
}

static int answer(void *arg, struct ste_answer *a, struct ste_err *err)
{
    struct asking *g = arg;
    *(struct ste_likelihood *)a->tag = ste_answer_likelihood(a, g->setting->end || a->completion.n_free == 1);
    ste_progress_add(g->progress, 1);
    return 0;
}

int ste_likelihoods(struct ste_llm *llm, const struct ste_likelihood_setting *s, const struct ste_given *given,
                    size_t n, struct ste_likelihood *out, struct ste_progress *progress, struct ste_err *err)
{
    struct asking g = {.setting = s, .given = given, .out = out, .n = n, .progress = progress};
    const struct ste_pump pump = {
        .llm = llm, .arg = &g, .next = next, .submitted = submitted, .too_long = too_long, .answer = answer};
    return ste_pump_run(&pump, err);
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
                 pairs->items[i].id, ste_llm_about(llm)->ctx);
    }
    for (size_t i = 0; i < pairs->n; i++)
        free(messages[i]);
    free(messages);
    free(found);
    free(given);
    return rc;
}
