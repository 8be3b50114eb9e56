#include <math.h>
#include <string.h>
#include <strings.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/raw.h"
#include "engine/sampler.h"
#include "llm/wire.h"

/* A reply, what is asked of each in one pass; and a choice. */
struct reply {
    struct ste_raw whole, error, usage, choices, prompt_ids;
};
struct choice {
    struct ste_raw index, reason, stop, message, text, ids, logprobs;
};

static void look_into(struct ste_raw whole, struct reply *out)
{
    static const char *const keys[] = {"error", "usage", "choices", "prompt_token_ids"};
    struct ste_raw v[4];
    ste_raw_pick(whole, keys, 4, v);
    *out = (struct reply){whole, v[0], v[1], v[2], v[3]};
}

static void look_into_choice(struct ste_raw c, struct choice *out)
{
    static const char *const keys[] = {"index", "finish_reason", "stop_reason", "message",
                                       "text",  "token_ids",     "logprobs"};
    struct ste_raw v[7];
    ste_raw_pick(c, keys, 7, v);
    *out = (struct choice){v[0], v[1], v[2], v[3], v[4], v[5], v[6]};
}

static bool bad(char **why, const char *what)
{
    *why = ste_xstrdup(what);
    return false;
}

static bool read_ids(struct ste_raw list, struct ste_tokens *out)
{
    ste_tokens_clear(out);
    const bool read = ste_raw_ids(list, &out->ids, &out->n);
    out->cap = out->n;
    return read;
}

/* The only choice, with its reason to end. */
static bool only_choice(const struct reply *reply, struct choice *choice, enum ste_finish *finish, char **why)
{
    const struct ste_raw c = ste_raw_first(reply->choices);
    look_into_choice(c, choice);
    const struct ste_raw reason = choice->reason;
    if (!ste_raw_is_object(c) || ste_raw_after(reply->choices, c).s)
        return bad(why, "the reply has not the one choice that was asked for");
    if (!ste_raw_is(choice->index, "0"))
        return bad(why, "the reply's choice has another index than 0");
    if (ste_raw_is(reason, "\"stop\""))
        *finish = ste_raw_is_text(choice->stop) ? STE_FINISH_STOP : STE_FINISH_END;
    else if (ste_raw_is(reason, "\"length\""))
        *finish = STE_FINISH_LENGTH;
    else
        return bad(why, "the reply ended neither by itself nor at the limit (finish_reason)");
    return true;
}

static bool says_something(struct ste_raw v)
{
    return ste_raw_is_text(v) && !ste_raw_is(v, "\"\"");
}

/* The text of a chat's message M. Reasoning that a server keeps apart is no part of it; where the limit came before the
 * reasoning ended, there is no text, and the answer is one that was cut. */
static bool text_of_chat(struct ste_raw m, enum ste_finish finish, char **text, char **why)
{
    char *content = ste_raw_text(ste_raw_get(m, "content"));
    if (!content && !(finish == STE_FINISH_LENGTH && (says_something(ste_raw_get(m, "reasoning")) ||
                                                      says_something(ste_raw_get(m, "reasoning_content")))))
        return bad(why, "the reply has no text (content is null)");
    ste_xfree(*text);
    *text = content ? content : ste_xstrdup("");
    return true;
}

static bool take_chat(const struct ste_dialect *d, struct ste_ask *a, const struct reply *reply, char **why)
{
    struct choice c;
    if (!only_choice(reply, &c, &a->free_finish, why) || !text_of_chat(c.message, a->free_finish, &a->text, why))
        return false;
    if (d->way != STE_WAY_IDS)
        return true;
    if (!read_ids(reply->prompt_ids, &a->prompt) || !a->prompt.n || !read_ids(c.ids, &a->free))
        return bad(why, "the reply has no token ids");
    a->have_prompt = true;
    return true;
}

/* llama-server's own reply. Whether its ids have the end of the turn in them is another thing from one version to the
 * next; what it counts has it always. */
static bool take_native(const struct ste_dialect *d, struct ste_ask *a, const struct reply *reply, char **why)
{
    const struct ste_raw type = ste_raw_get(reply->whole, "stop_type");
    const bool word = ste_raw_is(type, "\"word\"");
    char *text = ste_raw_text(ste_raw_get(reply->whole, "content")),
         *stop = word ? ste_raw_text(ste_raw_get(reply->whole, "stopping_word")) : NULL;
    int64_t counted = 0;
    a->free_finish = word                            ? STE_FINISH_STOP
                     : ste_raw_is(type, "\"eos\"")   ? STE_FINISH_END
                     : ste_raw_is(type, "\"limit\"") ? STE_FINISH_LENGTH
                                                     : STE_FINISH_FAILED;
    const char *wrong =
        !text || !read_ids(ste_raw_get(reply->whole, "tokens"), &a->free) ? "the reply has no text or no token ids"
        : ste_raw_is(ste_raw_get(reply->whole, "truncated"), "true")      ? "the server cut the prompt"
        : a->free_finish == STE_FINISH_FAILED ? "the reply ended neither by itself nor at the limit (stop_type)"
                                              : NULL;
    if (!wrong) {
        ste_xfree(a->text);
        a->text = ste_xasprintf("%s%s", text, stop ? stop : "");
        a->n_written = a->free.n;
        if (a->free_finish == STE_FINISH_END && a->free.n &&
            ste_raw_int(ste_raw_get(reply->whole, "tokens_predicted"), &counted) && counted == (int64_t)a->free.n)
            a->n_written--;
        else if (a->free_finish == STE_FINISH_END && d->end_of_turn >= 0)
            ste_tokens_add(&a->free, d->end_of_turn);
    }
    ste_xfree(text);
    ste_xfree(stop);
    return wrong ? bad(why, wrong) : true;
}

static bool take_completion(struct ste_ask *a, const struct reply *reply, char **why)
{
    struct choice c;
    if (!only_choice(reply, &c, &a->free_finish, why))
        return false;
    char *text = ste_raw_text(c.text);
    if (!text || !read_ids(c.ids, &a->free)) {
        ste_xfree(text);
        return bad(why, "the reply has no text or no token ids");
    }
    ste_xfree(a->text);
    a->text = text;
    return true;
}

static bool take_free(const struct ste_dialect *d, struct ste_ask *a, const struct reply *reply, char **why)
{
    if (a->have_prompt && d->api == STE_API_LLAMA_SERVER) {
        a->have_free = take_native(d, a, reply, why);
        return a->have_free;
    }
    if (!(a->have_prompt ? take_completion(a, reply, why) : take_chat(d, a, reply, why)))
        return false;
    a->n_written = a->free.n - (a->free_finish == STE_FINISH_END && a->free.n ? 1 : 0);
    a->have_free = true;
    return true;
}

/* ---- labels ---- */

/* Draws among the choices that have the log-probabilities LP; -inf: not had. */
static int draw(const struct ste_ask *a, const double *lp, int n)
{
    int taken = 0;
    double total = 0, run = 0;
    for (int i = 1; i < n; i++)
        taken = lp[i] > lp[taken] ? i : taken;
    if (!a->sample_choice || !(a->sampling.temperature > 0) || isinf(lp[taken]))
        return taken;
    const double best = lp[taken], t = a->sampling.temperature;
    for (int i = 0; i < n; i++)
        total += exp((lp[i] - best) / t);
    const double u = ste_sample_uniform(a->key, a->free.n + a->closing.n + a->path.n) * total;
    for (taken = 0; taken + 1 < n && (run += exp((lp[taken] - best) / t)) <= u;)
        taken++;
    return taken;
}

/* The log-probability of ID in the reply to a request of one token; NAN: it is not in there. */
static double logprob_of_id(const struct ste_dialect *d, const struct reply *reply, const struct choice *choice,
                            int32_t id)
{
    char key[32];
    double p = (double)NAN;
    if (d->api != STE_API_LLAMA_SERVER) {
        snprintf(key, sizeof key, "token_id:%d", id);
        const struct ste_raw top = ste_raw_get(choice->logprobs, "top_logprobs");
        ste_raw_real(ste_raw_get(ste_raw_first(top), key), &p);
        return p;
    }
    const struct ste_raw first = ste_raw_first(ste_raw_get(reply->whole, "completion_probabilities")),
                         top = ste_raw_get(first, "top_logprobs");
    snprintf(key, sizeof key, "%d", id);
    for (struct ste_raw one = ste_raw_first(top); one.s; one = ste_raw_after(top, one))
        if (ste_raw_is(ste_raw_get(one, "id"), key)) {
            ste_raw_real(ste_raw_get(one, "logprob"), &p);
            return p;
        }
    return p;
}

/* Reads one token of the choices' and takes the path on; a choice is made once one is whole. */
static bool take_ids_labels(const struct ste_dialect *d, struct ste_ask *a, const struct reply *reply, char **why)
{
    struct choice c = {0};
    enum ste_finish ignored;
    double lp[STE_MAX_CHOICES];
    int32_t id[STE_MAX_CHOICES];
    int n = 0, of[STE_MAX_CHOICES];
    if (d->api != STE_API_LLAMA_SERVER && !only_choice(reply, &c, &ignored, why))
        return false;
    for (int i = 0; i < a->n_choices; i++) {
        if (!a->alive[i])
            continue;
        const double p = logprob_of_id(d, reply, &c, ste_ask_wanted(a, i));
        if (isnan(p) && d->api == STE_API_LLAMA_SERVER && !a->all_probs) {
            a->all_probs = true; /* it is asked again, for all of the vocabulary */
            return true;
        }
        if (isnan(p) || p > 0.001)
            return bad(why, "the reply has no log-probability of a label");
        int k = 0;
        while (k < n && id[k] != ste_ask_wanted(a, i))
            k++;
        id[k] = ste_ask_wanted(a, i);
        lp[k] = p;
        n += k == n;
        of[i] = k;
    }
    const int taken = draw(a, lp, n);
    for (int i = 0; i < a->n_choices; i++) {
        if (!a->alive[i])
            continue;
        const bool whole = a->path.n + 1 == a->choice_ids[i].n;
        a->logprobs[i] += (float)lp[of[i]];
        a->alive[i] = of[i] == taken;
        if (a->alive[i] && whole)
            a->choice = a->choice < 0 ? i : a->choice;
        else if (!a->alive[i] && !whole)
            a->logprobs[i] = -INFINITY; /* its path was left */
    }
    ste_tokens_add(&a->path, id[taken]);
    return true;
}

/* The place of the label that the N bytes of TEXT are, spaces and marks around it aside; -1: none. */
static int label_of(const struct ste_ask *a, const char *text, bool begins)
{
    static const char around[] = " \t\r\n.,;!*_`\"'()[]:";
    text += strspn(text, around);
    for (int i = 0; i < a->n_choices; i++) {
        const size_t n = strlen(a->choices[i]);
        if (strncmp(text, a->choices[i], n) == 0 &&
            (!text[n + strspn(text + n, around)] || (begins && strchr(around, text[n]))))
            return i;
    }
    return -1;
}

static bool take_vote(struct ste_ask *a, const struct choice *c, enum ste_finish finish, char **why)
{
    char *text = NULL;
    if (!text_of_chat(c->message, finish, &text, why))
        return false;
    const int label = label_of(a, text, true);
    ste_xfree(text);
    for (int i = 0; i < a->n_choices; i++)
        a->logprobs[i] = label < 0 ? -INFINITY : (float)log((i == label ? 2.0 : 1.0) / (a->n_choices + 1));
    a->choice = label < 0 ? 0 : label; /* without a label there is no mass, so that it is no verdict */
    return true;
}

static bool take_turn_labels(const struct ste_dialect *d, struct ste_ask *a, const struct reply *reply, char **why)
{
    struct choice c;
    enum ste_finish finish;
    double lp[STE_MAX_CHOICES];
    if (!only_choice(reply, &c, &finish, why))
        return false;
    if (d->way == STE_WAY_VOTE)
        return take_vote(a, &c, finish, why);
    const struct ste_raw first = ste_raw_first(ste_raw_get(c.logprobs, "content")),
                         top = ste_raw_get(first, "top_logprobs");
    if (!ste_raw_first(top).s)
        return bad(why, "the reply has no log-probabilities");
    for (int i = 0; i < a->n_choices; i++)
        lp[i] = 0;
    for (struct ste_raw one = ste_raw_first(top); one.s; one = ste_raw_after(top, one)) {
        char *token = ste_raw_text(ste_raw_get(one, "token"));
        const int label = token ? label_of(a, token, false) : -1;
        double p = 0;
        ste_raw_real(ste_raw_get(one, "logprob"), &p);
        if (label >= 0)
            lp[label] += exp(p);
        ste_xfree(token);
    }
    for (int i = 0; i < a->n_choices; i++) {
        lp[i] = lp[i] > 0 ? log(lp[i]) : -INFINITY;
        a->logprobs[i] = (float)lp[i];
    }
    a->choice = draw(a, lp, a->n_choices);
    return true;
}

/* ---- all of it ---- */

static bool take_prompt(struct ste_ask *a, const struct reply *reply, char **why)
{
    if (!read_ids(ste_raw_get(reply->whole, "tokens"), &a->prompt) || !a->prompt.n)
        return bad(why, "the reply has no token ids");
    for (size_t i = 0; i < a->prefill.n; i++)
        ste_tokens_add(&a->prompt, a->prefill.ids[i]);
    a->have_prompt = true;
    return true;
}

static bool take(const struct ste_dialect *d, struct ste_ask *a, const struct reply *reply, char **why)
{
    switch (ste_ask_step(d, a)) {
    case STE_STEP_TEMPLATE:
        a->rendered = ste_raw_text(ste_raw_get(reply->whole, "prompt"));
        return a->rendered || bad(why, "the reply has no prompt");
    case STE_STEP_PROMPT:
        return take_prompt(a, reply, why);
    case STE_STEP_FREE:
        return take_free(d, a, reply, why);
    case STE_STEP_LABELS:
        return d->way == STE_WAY_IDS ? take_ids_labels(d, a, reply, why) : take_turn_labels(d, a, reply, why);
    case STE_STEP_DONE:
        break;
    }
    return bad(why, "nothing was asked");
}

enum ste_wire ste_wire_take(const struct ste_dialect *d, struct ste_ask *a, const char *body, size_t n, char **why)
{
    struct ste_raw whole;
    struct reply reply;
    *why = NULL;
    if (!ste_raw_read(&whole, body, n) || !ste_raw_is_object(whole)) {
        a->heard = false;
        bad(why, "the reply is no JSON object");
        return STE_WIRE_BAD;
    }
    look_into(whole, &reply);
    a->heard = ste_usage_read(whole, reply.usage, &a->used) || ste_ask_step(d, a) < STE_STEP_FREE;
    const struct ste_raw error = reply.error;
    if (error.s && !ste_raw_is(error, "null")) {
        char *said = ste_raw_text(ste_raw_is_text(error) ? error : ste_raw_get(error, "message"));
        *why = ste_xasprintf("the reply holds an error (%.200s)", said ? said : "without a reason");
        ste_xfree(said);
    } else {
        take(d, a, &reply, why);
    }
    return *why ? STE_WIRE_BAD : ste_ask_step(d, a) == STE_STEP_DONE ? STE_WIRE_DONE : STE_WIRE_MORE;
}

void ste_wire_answer(struct ste_ask *a, struct ste_answer *out)
{
    struct ste_completion *c = &out->completion;
    *c = (struct ste_completion){.finish = a->choice >= 0 ? STE_FINISH_CHOICE : a->free_finish,
                                 .free_finish = a->free_finish,
                                 .choice = a->choice,
                                 .n_free = a->free.n};
    struct ste_tokens all = a->free;
    a->free = (struct ste_tokens){0};
    for (size_t i = 0; a->choice >= 0 && i < a->closing.n; i++)
        ste_tokens_add(&all, a->closing.ids[i]);
    for (size_t i = 0; i < a->path.n; i++)
        ste_tokens_add(&all, a->path.ids[i]);
    c->n = all.n;
    c->tokens = all.ids ? all.ids : ste_xcalloc(1, sizeof *c->tokens);
    c->logprobs = ste_xcalloc(all.n + 1, sizeof *c->logprobs);
    for (int i = 0; i < STE_MAX_CHOICES; i++)
        c->choice_logprobs[i] = i < a->n_choices ? a->logprobs[i] : -INFINITY;
    if (a->choice >= 0 && a->path.n == 1)
        c->logprobs[all.n - 1] = a->logprobs[a->choice];
    out->n_written = a->n_written;
    out->text = a->text ? a->text : ste_xstrdup("");
    a->text = NULL;
    out->prompt = a->prompt.ids;
    out->n_prompt = a->prompt.n;
    a->prompt = (struct ste_tokens){0};
}
