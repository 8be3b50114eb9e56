#include "engine/sequence.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"

void ste_completion_clear(struct ste_completion *c)
{
    ste_xfree(c->tokens);
    ste_xfree(c->logprobs);
    memset(c, 0, sizeof *c);
}

static int check(const struct ste_request *r, int n_ctx, int n_vocab, size_t *n_max, struct ste_err *err)
{
    size_t longest = 0;
    if (r->n_prompt == 0)
        return ste_err_set(err, STE_EINPUT, "cannot generate from an empty prompt");
    if (r->max_tokens < 0 || r->n_choices < 0 || r->n_choices > STE_MAX_CHOICES || r->n_stops < 0 ||
        r->n_stops > STE_MAX_STOPS || (r->max_tokens == 0 && r->n_choices == 0) != (r->n_given > 0))
        return ste_err_set(err, STE_EUSAGE, "a request needs max_tokens above 0 or choices, or given tokens alone");
    for (size_t i = 0; i < r->n_prompt; i++)
        if (r->prompt[i] < 0 || r->prompt[i] >= n_vocab)
            return ste_err_set(err, STE_EINPUT, "token %d of the prompt is not in the vocabulary", r->prompt[i]);
    for (size_t i = 0; i < r->n_given; i++)
        if (r->given[i] < 0 || r->given[i] >= n_vocab)
            return ste_err_set(err, STE_EINPUT, "token %d of those given is not in the vocabulary", r->given[i]);
    for (int i = 0; i < r->n_choices; i++) {
        if (r->choice_len[i] == 0)
            return ste_err_set(err, STE_EUSAGE, "choice %d is empty", i);
        for (size_t k = 0; k < r->choice_len[i]; k++)
            if (r->choices[i][k] < 0 || r->choices[i][k] >= n_vocab)
                return ste_err_set(err, STE_EINPUT, "token %d of choice %d is not in the vocabulary", r->choices[i][k],
                                   i);
        longest = r->choice_len[i] > longest ? r->choice_len[i] : longest;
    }
    for (size_t i = 0; i < r->n_closing; i++)
        if (r->closing[i] < 0 || r->closing[i] >= n_vocab)
            return ste_err_set(err, STE_EINPUT, "token %d of the closing words is not in the vocabulary",
                               r->closing[i]);
    *n_max = r->n_prompt + r->n_given + (size_t)r->max_tokens + r->n_closing + longest;
    if (*n_max > (size_t)n_ctx)
        return ste_err_set(err, STE_ETOOLONG,
                           "the prompt has %zu tokens; with up to %zu more it does not fit the context of %d",
                           r->n_prompt, *n_max - r->n_prompt, n_ctx);
    return 0;
}

/* Behind the free part: the closing words, and the choice is next. */
static void begin_choice(struct ste_sequence *s)
{
    struct ste_completion *o = &s->out;
    for (size_t i = 0; i < s->r.n_closing; i++) {
        s->ids[s->n++] = s->r.closing[i];
        o->tokens[o->n] = s->r.closing[i];
        o->logprobs[o->n++] = 0;
    }
    s->choosing = true;
    s->depth = 0;
    for (int i = 0; i < s->r.n_choices; i++)
        s->alive[i] = true;
}

int ste_sequence_new(struct ste_sequence **out, const struct ste_request *r, uint64_t ticket, int n_ctx, int n_vocab,
                     struct ste_err *err)
{
    size_t n_max = 0;
    int rc = check(r, n_ctx, n_vocab, &n_max, err);
    if (rc)
        return rc;
    struct ste_sequence *s = ste_xcalloc(1, sizeof *s);
    s->text = (struct ste_buf)STE_BUF_INIT;
    s->r = *r;
    s->n_max = n_max;
    s->ids = ste_xmalloc(n_max * sizeof *s->ids);
    memcpy(s->ids, r->prompt, r->n_prompt * sizeof *s->ids);
    s->n = r->n_prompt;
    s->r.prompt = s->ids;
    s->r.closing = ste_xmemdup(r->closing, r->n_closing * sizeof *r->closing);
    for (int i = 0; i < r->n_choices; i++)
        s->r.choices[i] = ste_xmemdup(r->choices[i], r->choice_len[i] * sizeof *r->choices[i]);
    for (int i = 0; i < r->n_stops; i++)
        s->r.stops[i] = ste_xstrdup(r->stops[i]);
    s->out.ticket = ticket;
    s->out.choice = -1;
    s->out.free_finish = STE_FINISH_END;
    /* One more than the context needs: an end-of-turn token is handed back but not kept in the context. */
    s->out.tokens = ste_xmalloc((n_max - r->n_prompt + 1) * sizeof *s->out.tokens);
    s->out.logprobs = ste_xmalloc((n_max - r->n_prompt + 1) * sizeof *s->out.logprobs);
    if (r->n_given) {
        s->r.given = s->ids + s->n;
        memcpy(s->ids + s->n, r->given, r->n_given * sizeof *s->ids);
        memcpy(s->out.tokens, r->given, r->n_given * sizeof *s->ids);
        s->out.n = s->out.n_free = r->n_given;
        s->n += r->n_given - 1;
    }
    for (int i = 0; i < STE_MAX_CHOICES; i++)
        s->out.choice_logprobs[i] = i < r->n_choices ? 0 : -INFINITY;
    if (r->max_tokens == 0 && r->n_choices)
        begin_choice(s);
    *out = s;
    return 0;
}

void ste_sequence_free(struct ste_sequence *s)
{
    if (!s)
        return;
    ste_xfree((void *)s->r.closing);
    for (int i = 0; i < s->r.n_choices; i++)
        ste_xfree((void *)s->r.choices[i]);
    for (int i = 0; i < s->r.n_stops; i++)
        ste_xfree((void *)s->r.stops[i]);
    ste_xfree(s->ids);
    ste_completion_clear(&s->out);
    ste_buf_clear(&s->text);
    ste_xfree(s);
}

/* Whether the text, of which the last ADDED bytes are new, now holds a stop. */
static bool has_stop(const struct ste_sequence *s, size_t added)
{
    for (int i = 0; i < s->r.n_stops; i++) {
        size_t len = strlen(s->r.stops[i]), back = added + len - 1;
        size_t from = s->text.len > back ? s->text.len - back : 0;
        if (len && memmem(s->text.s + from, s->text.len - from, s->r.stops[i], len))
            return true;
    }
    return false;
}

static bool end_free(struct ste_sequence *s, enum ste_finish why)
{
    s->out.free_finish = s->out.finish = why;
    s->out.n_free = s->out.n;
    if (s->r.n_choices == 0 || why == STE_FINISH_LENGTH)
        return true;
    begin_choice(s);
    return false;
}

static bool advance_free(struct ste_sequence *s, struct ste_sampler *sampler, const struct ste_ops *ops,
                         const struct ste_tokenizer *tok, const float *logits, int n_vocab)
{
    struct ste_completion *o = &s->out;
    double u = ste_sample_uniform(s->r.key, o->n);
    int32_t id = ste_sample(sampler, ops, logits, n_vocab, &s->r.sampling, u, &o->logprobs[o->n]);
    o->tokens[o->n++] = id;
    if (!s->r.ignore_end_of_turn && ste_token_ends_turn(tok, id))
        return end_free(s, STE_FINISH_END);
    s->ids[s->n++] = id;
    if (s->r.n_stops) {
        size_t before = s->text.len;
        ste_detokenize(tok, &id, 1, false, &s->text);
        if (s->text.len > before && has_stop(s, s->text.len - before))
            return end_free(s, STE_FINISH_STOP);
    }
    return o->n == (size_t)s->r.max_tokens ? end_free(s, STE_FINISH_LENGTH) : false;
}

/* The token that choice I asks for next. One that is whole and begins another that is still possible competes as the
 * end of the turn; -1 when there is nothing to ask. */
static int32_t wanted(const struct ste_sequence *s, int i, const struct ste_tokenizer *tok)
{
    if (s->depth < s->r.choice_len[i])
        return s->r.choices[i][s->depth];
    return ste_token_end_of_turn(tok);
}

static bool advance_choice(struct ste_sequence *s, const struct ste_ops *ops, const struct ste_tokenizer *tok,
                           const float *logits, int n_vocab)
{
    struct ste_completion *o = &s->out;
    double log_sum = ste_log_sum(ops, logits, n_vocab);
    int32_t allowed[STE_MAX_CHOICES] = {0};
    int n_allowed = 0, taken = 0;
    float best = -INFINITY;
    for (int i = 0; i < s->r.n_choices; i++) {
        if (!s->alive[i])
            continue;
        int32_t id = wanted(s, i, tok);
        o->choice_logprobs[i] += (float)(logits[id] - log_sum);
        int k = 0;
        while (k < n_allowed && allowed[k] != id)
            k++;
        if (k < n_allowed)
            continue;
        allowed[n_allowed++] = id;
        if (logits[id] > best) {
            best = logits[id];
            taken = k;
        }
    }
    if (s->r.sample_choice && s->r.sampling.temperature > 0) {
        float weight[STE_MAX_CHOICES];
        double total = 0, run = 0;
        for (int k = 0; k < n_allowed; k++)
            weight[k] = (float)((logits[allowed[k]] - best) / s->r.sampling.temperature);
        ops->exp(weight, weight, (size_t)n_allowed);
        for (int k = 0; k < n_allowed; k++)
            total += weight[k];
        double u = ste_sample_uniform(s->r.key, o->n) * total;
        for (taken = 0; taken + 1 < n_allowed && (run += weight[taken]) <= u;)
            taken++;
    }
    int32_t id = allowed[taken];
    int whole = -1;       /* the choice that this token completes */
    bool goes_on = false; /* another one could still follow */
    for (int i = 0; i < s->r.n_choices; i++) {
        if (!s->alive[i])
            continue;
        size_t len = s->r.choice_len[i];
        if (wanted(s, i, tok) != id) {
            s->alive[i] = false;
            if (s->depth + 1 < len)
                o->choice_logprobs[i] = -INFINITY; /* its path was left */
        } else if (s->depth >= len) {
            o->choice = i; /* the end of the turn: the shorter choice it is */
        } else if (s->depth + 1 == len) {
            whole = whole < 0 ? i : whole;
        } else {
            goes_on = true;
        }
    }
    if (o->choice < 0) {
        o->tokens[o->n] = id;
        o->logprobs[o->n++] = (float)(logits[id] - log_sum);
        s->ids[s->n++] = id;
        if (whole >= 0 && !goes_on)
            o->choice = whole;
    }
    s->depth++;
    if (o->choice < 0)
        return false;
    o->finish = STE_FINISH_CHOICE;
    return true;
}

bool ste_sequence_advance(struct ste_sequence *s, struct ste_sampler *sampler, const struct ste_ops *ops,
                          const struct ste_tokenizer *tok, const float *logits, int n_vocab)
{
    if (!s->choosing && advance_free(s, sampler, ops, tok, logits, n_vocab))
        return true;
    /* With no closing words behind the end of the turn, which is not kept, the logits that ended it decide the choice
     * as well. */
    return s->choosing && s->done == s->n && advance_choice(s, ops, tok, logits, n_vocab);
}
