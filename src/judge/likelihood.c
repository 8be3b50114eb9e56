#include "judge/likelihood.h"

#include <math.h>

#include "core/mem.h"

const char *const ste_normalise_names[] = {"even", "token", "sum", "plain", "plain-sum", NULL};

double ste_normalised(enum ste_normalise n, double sum, int tokens)
{
    if (n == STE_NORMALISE_SUM || n == STE_NORMALISE_PLAIN_SUM)
        return sum;
    return sum / (n == STE_NORMALISE_EVEN ? sqrt(sqrt(tokens)) : tokens);
}

int ste_likelihood_texts(enum ste_normalise n)
{
    return n == STE_NORMALISE_PLAIN || n == STE_NORMALISE_PLAIN_SUM ? 2 : STE_LIKELIHOOD_MOST;
}

double ste_likelihood_score(enum ste_normalise n, const struct ste_likelihood *l)
{
    const double sum = l[0].sum - (ste_likelihood_texts(n) == STE_LIKELIHOOD_MOST ? l[2].sum : 0);
    return ste_normalised(n, sum, l[0].tokens);
}

/* ---- many texts ---- */

struct ste_likelihoods_asked {
    const struct ste_likelihood_setting *setting;
    const struct ste_given *given;
    struct ste_likelihood *out; /* (n); an address here is a question's tag */
    size_t n, next;
    struct ste_progress *progress;
};

static int next(void *arg, struct ste_question *question, struct ste_err *err)
{
    struct ste_likelihoods_asked *g = arg;
    if (g->next == g->n)
        return 0;
    const struct ste_given *given = &g->given[g->next];
    question->messages = given->messages;
    question->n_messages = given->n_messages;
    question->given = given->text;
    question->adapter = g->setting->adapter;
    question->tag = &g->out[g->next++];
    return 1;
}

static void submitted(void *arg, void *tag, uint64_t ticket)
{
}

static int too_long(void *arg, void *tag, const char *why, struct ste_err *err)
{
    *(struct ste_likelihood *)tag = (struct ste_likelihood){.sum = NAN};
    ste_progress_add(((struct ste_likelihoods_asked *)arg)->progress, 1);
    return 0;
}

static int answer(void *arg, struct ste_answer *a, struct ste_err *err)
{
    struct ste_likelihoods_asked *g = arg;
    *(struct ste_likelihood *)a->tag = ste_answer_likelihood(a, g->setting->end || a->completion.n_free == 1);
    ste_progress_add(g->progress, 1);
    return 0;
}

struct ste_likelihoods_asked *ste_likelihoods_ask(struct ste_llm *llm, const struct ste_likelihood_setting *s,
                                                  const struct ste_given *given, size_t n, struct ste_likelihood *out,
                                                  struct ste_progress *progress, struct ste_pump *pump)
{
    struct ste_likelihoods_asked *g = ste_xcalloc(1, sizeof *g);
    *g = (struct ste_likelihoods_asked){.setting = s, .given = given, .out = out, .n = n, .progress = progress};
    *pump = (struct ste_pump){
        .llm = llm, .arg = g, .next = next, .submitted = submitted, .too_long = too_long, .answer = answer};
    return g;
}

void ste_likelihoods_done(struct ste_likelihoods_asked *g)
{
    ste_xfree(g);
}

int ste_likelihoods(struct ste_llm *llm, const struct ste_likelihood_setting *s, const struct ste_given *given,
                    size_t n, struct ste_likelihood *out, struct ste_progress *progress, struct ste_err *err)
{
    struct ste_pump pump;
    struct ste_likelihoods_asked *g = ste_likelihoods_ask(llm, s, given, n, out, progress, &pump);
    int rc = ste_pump_run(&pump, err);
    ste_likelihoods_done(g);
    return rc;
}
