#include "llm/wire.h"

#include <math.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "engine/sampler.h"

#define LABEL 16        /* tokens of a label that is written, */
#define THOUGHTS 4096   /* with what is thought before it */
#define TOP_LOGPROBS 20 /* as many as servers tell */
#define SOME_PROBS 256  /* of llama-server, before all of them */
#define LARGE_VOCABULARY (1 << 18)

void ste_ask_free(struct ste_ask *a)
{
    json_decref(a->messages);
    json_decref(a->stops);
    for (int i = 0; i < STE_MAX_CHOICES; i++) {
        ste_xfree(a->choices[i]);
        ste_tokens_clear(&a->choice_ids[i]);
    }
    ste_tokens_clear(&a->closing);
    ste_tokens_clear(&a->prefill);
    ste_tokens_clear(&a->prompt);
    ste_tokens_clear(&a->free);
    ste_tokens_clear(&a->path);
    ste_xfree(a->rendered);
    ste_xfree(a->text);
    ste_xfree(a);
}

enum step { STEP_TEMPLATE, STEP_PROMPT, STEP_FREE, STEP_LABELS, STEP_DONE };

static enum step step_of(const struct ste_dialect *d, const struct ste_ask *a)
{
    const bool llama = d->api == STE_API_LLAMA_SERVER;
    if (d->way == STE_WAY_IDS && !a->have_prompt && (llama || !a->max_tokens || a->prefill.n))
        return llama && !a->rendered ? STEP_TEMPLATE : STEP_PROMPT;
    if (a->max_tokens && !a->have_free)
        return STEP_FREE;
    return a->n_choices && a->choice < 0 && a->free_finish != STE_FINISH_LENGTH ? STEP_LABELS : STEP_DONE;
}

/* ---- requests ---- */

static void set(json_t *b, const char *key, json_t *value)
{
    json_object_set_new(b, key, value);
}

/* All that decides a sample is said, since what a server takes by default is its own. temperature before top_p, as in
 * the other implementations. */
static void add_sampling(const struct ste_dialect *d, json_t *b, const struct ste_sampling *s, uint64_t key)
{
    if (d->plain)
        return;
    set(b, "temperature", json_real(s->temperature));
    set(b, "top_p", json_real(s->top_p));
    set(b, "seed", json_integer((json_int_t)(key & 0x7fffffff)));
    if (d->api == STE_API_OPENAI)
        return;
    const bool llama = d->api == STE_API_LLAMA_SERVER;
    set(b, "top_k", json_integer(s->top_k > 0 ? s->top_k : llama ? 0 : -1));
    set(b, "min_p", json_real(s->min_p));
    set(b, llama ? "repeat_penalty" : "repetition_penalty", json_real(1));
    if (llama)
        set(b, "samplers", json_pack("[ssss]", "temperature", "top_k", "top_p", "min_p"));
}

static const char *chat(const struct ste_dialect *d, const struct ste_ask *a, json_t **body)
{
    json_t *b = *body = json_object();
    set(b, "model", json_string(d->model));
    set(b, "messages", json_deep_copy(a->messages));
    set(b, d->limit, json_integer(a->max_tokens));
    add_sampling(d, b, &a->sampling, a->key);
    if (a->stops)
        set(b, "stop", json_deep_copy(a->stops));
    if (d->api == STE_API_VLLM) {
        set(b, "return_token_ids", json_true());
        set(b, "include_stop_str_in_output", json_true());
    }
    return "/v1/chat/completions";
}

static json_t *ids_so_far(const struct ste_ask *a, bool labels)
{
    json_t *ids = json_array();
    ste_json_add_ids(ids, a->prompt.ids, a->prompt.n);
    if (labels) {
        ste_json_add_ids(ids, a->free.ids, a->n_written);
        ste_json_add_ids(ids, a->closing.ids, a->closing.n);
        ste_json_add_ids(ids, a->path.ids, a->path.n);
    }
    return ids;
}

static const char *go_on(const struct ste_dialect *d, const struct ste_ask *a, json_t **body)
{
    const bool llama = d->api == STE_API_LLAMA_SERVER;
    json_t *b = *body = json_object();
    set(b, "model", json_string(d->model));
    set(b, "prompt", ids_so_far(a, false));
    set(b, llama ? "n_predict" : "max_tokens", json_integer(a->max_tokens));
    add_sampling(d, b, &a->sampling, a->key);
    if (a->stops)
        set(b, "stop", json_deep_copy(a->stops));
    set(b, llama ? "return_tokens" : "return_token_ids", json_true());
    if (!llama)
        set(b, "include_stop_str_in_output", json_true());
    return llama ? "/completion" : "/v1/completions";
}

/* The id that choice I has next. */
static int32_t wanted(const struct ste_ask *a, int i)
{
    return a->choice_ids[i].ids[a->path.n];
}

static const char *labels_by_ids(const struct ste_dialect *d, const struct ste_ask *a, json_t **body)
{
    json_t *b = *body = json_object();
    set(b, "model", json_string(d->model));
    set(b, "prompt", ids_so_far(a, true));
    set(b, "temperature", json_real(0));
    if (d->api == STE_API_LLAMA_SERVER) {
        const int all = d->n_vocab ? d->n_vocab : LARGE_VOCABULARY;
        set(b, "n_predict", json_integer(1));
        set(b, "n_probs", json_integer(a->all_probs ? all : SOME_PROBS));
        set(b, "return_tokens", json_true());
        return "/completion";
    }
    json_t *ids = json_array();
    for (int i = 0; i < a->n_choices; i++)
        if (a->alive[i])
            json_array_append_new(ids, json_integer(wanted(a, i)));
    set(b, "max_tokens", json_integer(1));
    set(b, "logprobs", json_integer(0));
    set(b, "logprob_token_ids", ids);
    set(b, "return_tokens_as_token_ids", json_true());
    set(b, "add_special_tokens", json_false());
    return "/v1/completions";
}

/* "Reply with A or B and nothing else." */
static char *request_for_label(const struct ste_ask *a)
{
    struct ste_buf b = STE_BUF_INIT;
    ste_buf_adds(&b, "Reply with ");
    for (int i = 0; i < a->n_choices; i++)
        ste_buf_addf(&b, "%s%s", i == 0 ? "" : i + 1 < a->n_choices ? ", " : " or ", a->choices[i]);
    ste_buf_adds(&b, " and nothing else.");
    return ste_buf_detach(&b);
}

/* Behind what was written, a turn of the user's; without it, at the end of the user's last one. */
static json_t *messages_for_label(const struct ste_ask *a)
{
    json_t *m = json_deep_copy(a->messages), *last = json_array_get(m, json_array_size(m) - 1);
    char *request = request_for_label(a);
    const char *text = a->text ? a->text + strspn(a->text, " \t\r\n") : "";
    if (*text) {
        json_array_append_new(m, json_pack("{ssss}", "role", "assistant", "content", a->text));
        json_array_append_new(m, json_pack("{ssss}", "role", "user", "content", request));
    } else {
        char *both = ste_xasprintf("%s\n\n%s", json_string_value(json_object_get(last, "content")), request);
        set(last, "content", json_string(both));
        ste_xfree(both);
    }
    ste_xfree(request);
    return m;
}

static const char *labels_by_turn(const struct ste_dialect *d, const struct ste_ask *a, json_t **body)
{
    const bool vote = d->way == STE_WAY_VOTE;
    struct ste_sampling how = {.temperature = vote && a->sample_choice ? a->sampling.temperature : 0, .top_p = 1};
    json_t *b = *body = json_object();
    set(b, "model", json_string(d->model));
    set(b, "messages", messages_for_label(a));
    set(b, d->limit, json_integer(!vote ? 1 : d->plain ? THOUGHTS : LABEL));
    add_sampling(d, b, &how, a->key);
    if (!vote) {
        set(b, "logprobs", json_true());
        set(b, "top_logprobs", json_integer(TOP_LOGPROBS));
    }
    return "/v1/chat/completions";
}

const char *ste_wire_request(const struct ste_dialect *d, const struct ste_ask *a, json_t **body)
{
    const bool llama = d->api == STE_API_LLAMA_SERVER;
    switch (step_of(d, a)) {
    case STEP_TEMPLATE:
        *body = json_pack("{sO}", "messages", a->messages);
        return "/apply-template";
    case STEP_PROMPT:
        *body = llama ? json_pack("{sssbsb}", "content", a->rendered, "add_special", 1, "parse_special", 1)
                      : json_pack("{sssOsb}", "model", d->model, "messages", a->messages, "add_generation_prompt", 1);
        return "/tokenize";
    case STEP_FREE:
        return a->have_prompt ? go_on(d, a, body) : chat(d, a, body);
    default:
        return d->way == STE_WAY_IDS ? labels_by_ids(d, a, body) : labels_by_turn(d, a, body);
    }
}

/* ---- amounts ---- */

#define FRAME 16  /* tokens, at most, that a template puts around a message, */
#define HEAD 64   /* and before all of them */
#define REQUEST 8 /* of the words that ask for a label */

static double prompt_tokens(const struct ste_ask *a, bool most)
{
    double chars = 0;
    if (a->have_prompt)
        return (double)a->prompt.n;
    for (size_t i = 0; i < json_array_size(a->messages); i++)
        chars +=
            (double)json_string_length(json_object_get(json_array_get(a->messages, i), "content")) + (most ? FRAME : 0);
    return (double)a->prefill.n + (most ? HEAD + chars : STE_TEMPLATE_TOKENS + chars / STE_CHARS_PER_TOKEN);
}

void ste_wire_amount(const struct ste_dialect *d, const struct ste_ask *a, bool most, struct ste_amount *out)
{
    const enum step step = step_of(d, a);
    const double prompt = prompt_tokens(a, most),
                 written = most || a->max_tokens == 1 ? a->max_tokens : STE_LENGTH_SHARE * a->max_tokens;
    size_t tokens = 1; /* of a label */
    *out = (struct ste_amount){0};
    if (a->max_tokens && step < STEP_LABELS)
        *out = (struct ste_amount){1, prompt, written};
    if (!a->n_choices || step == STEP_DONE)
        return;
    if (d->way == STE_WAY_IDS) {
        for (int i = 0; i < a->n_choices && most; i++)
            tokens = a->choice_ids[i].n > tokens ? a->choice_ids[i].n : tokens;
        tokens += most && d->api == STE_API_LLAMA_SERVER ? tokens : 0; /* each is asked for once more, for all ids */
        tokens -= a->path.n < tokens ? a->path.n : tokens - 1;
        out->written += (double)tokens;
    } else {
        out->written += d->way == STE_WAY_TURN ? 1 : !most ? 1 : d->plain ? THOUGHTS : LABEL;
    }
    const double around = d->way == STE_WAY_IDS ? (double)(a->closing.n + tokens) : REQUEST + (most ? 5 * FRAME : 8);
    out->requests += (double)tokens;
    out->read += (double)tokens * (prompt + written + around);
}

/* ---- replies ---- */

static bool bad(char **why, const char *what)
{
    *why = ste_xstrdup(what);
    return false;
}

static bool read_ids(const json_t *list, struct ste_tokens *out)
{
    out->n = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        const json_int_t id = json_integer_value(v);
        if (!json_is_integer(v) || id < 0 || id > INT32_MAX)
            return false;
        ste_tokens_add(out, (int32_t)id);
    }
    return json_is_array(list);
}

/* The only choice, with its reason to end. */
static bool only_choice(const json_t *reply, const json_t **choice, enum ste_finish *finish, char **why)
{
    const json_t *list = json_object_get(reply, "choices"), *c = *choice = json_array_get(list, 0),
                 *index = json_object_get(c, "index");
    const char *reason = json_string_value(json_object_get(c, "finish_reason"));
    if (json_array_size(list) != 1 || !json_is_object(c))
        return bad(why, "the reply has not the one choice that was asked for");
    if (!json_is_integer(index) || json_integer_value(index) != 0)
        return bad(why, "the reply's choice has another index than 0");
    if (reason && strcmp(reason, "stop") == 0)
        *finish = json_is_string(json_object_get(c, "stop_reason")) ? STE_FINISH_STOP : STE_FINISH_END;
    else if (reason && strcmp(reason, "length") == 0)
        *finish = STE_FINISH_LENGTH;
    else
        return bad(why, "the reply ended neither by itself nor at the limit (finish_reason)");
    return true;
}

static bool says_something(const json_t *v)
{
    return json_is_string(v) && *json_string_value(v);
}

/* The text of a chat's choice. Reasoning that a server keeps apart is no part of it; where the limit came before the
 * reasoning ended, there is no text, and the answer is one that was cut. */
static bool text_of_chat(const json_t *choice, enum ste_finish finish, char **text, char **why)
{
    const json_t *m = json_object_get(choice, "message"), *content = json_object_get(m, "content");
    const bool reasons =
        says_something(json_object_get(m, "reasoning")) || says_something(json_object_get(m, "reasoning_content"));
    if (!json_is_string(content) && !(finish == STE_FINISH_LENGTH && reasons))
        return bad(why, "the reply has no text (content is null)");
    ste_xfree(*text);
    *text = ste_xstrdup(json_is_string(content) ? json_string_value(content) : "");
    return true;
}

static bool take_chat(const struct ste_dialect *d, struct ste_ask *a, const json_t *reply, char **why)
{
    const json_t *c;
    if (!only_choice(reply, &c, &a->free_finish, why) || !text_of_chat(c, a->free_finish, &a->text, why))
        return false;
    if (d->way != STE_WAY_IDS)
        return true;
    if (!read_ids(json_object_get(reply, "prompt_token_ids"), &a->prompt) || !a->prompt.n ||
        !read_ids(json_object_get(c, "token_ids"), &a->free))
        return bad(why, "the reply has no token ids");
    a->have_prompt = true;
    return true;
}

/* llama-server's own reply. Whether its ids have the end of the turn in them is another thing from one version to the
 * next; what it counts has it always. */
static bool take_native(const struct ste_dialect *d, struct ste_ask *a, const json_t *reply, char **why)
{
    const char *type = json_string_value(json_object_get(reply, "stop_type")),
               *text = json_string_value(json_object_get(reply, "content"));
    if (!text || !read_ids(json_object_get(reply, "tokens"), &a->free))
        return bad(why, "the reply has no text or no token ids");
    if (json_is_true(json_object_get(reply, "truncated")))
        return bad(why, "the server cut the prompt");
    a->free_finish = !type                        ? STE_FINISH_FAILED
                     : strcmp(type, "eos") == 0   ? STE_FINISH_END
                     : strcmp(type, "word") == 0  ? STE_FINISH_STOP
                     : strcmp(type, "limit") == 0 ? STE_FINISH_LENGTH
                                                  : STE_FINISH_FAILED;
    if (a->free_finish == STE_FINISH_FAILED)
        return bad(why, "the reply ended neither by itself nor at the limit (stop_type)");
    const char *word = json_string_value(json_object_get(reply, "stopping_word"));
    ste_xfree(a->text);
    a->text = ste_xasprintf("%s%s", text, a->free_finish == STE_FINISH_STOP && word ? word : "");
    const json_t *counted = json_object_get(reply, "tokens_predicted");
    const bool there = json_is_integer(counted) && (json_int_t)a->free.n == json_integer_value(counted);
    if (a->free_finish == STE_FINISH_END && !there && d->end_of_turn >= 0)
        ste_tokens_add(&a->free, d->end_of_turn);
    return true;
}

static bool take_completion(struct ste_ask *a, const json_t *reply, char **why)
{
    const json_t *c;
    if (!only_choice(reply, &c, &a->free_finish, why))
        return false;
    const char *text = json_string_value(json_object_get(c, "text"));
    if (!text || !read_ids(json_object_get(c, "token_ids"), &a->free))
        return bad(why, "the reply has no text or no token ids");
    ste_xfree(a->text);
    a->text = ste_xstrdup(text);
    return true;
}

static bool take_free(const struct ste_dialect *d, struct ste_ask *a, const json_t *reply, char **why)
{
    const bool llama = d->api == STE_API_LLAMA_SERVER;
    if (!(!a->have_prompt ? take_chat(d, a, reply, why)
          : llama         ? take_native(d, a, reply, why)
                          : take_completion(a, reply, why)))
        return false;
    a->n_written = a->free.n;
    const bool end = a->free_finish == STE_FINISH_END && a->free.n && (!llama || d->end_of_turn >= 0);
    a->n_written -= end ? 1 : 0;
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
static double logprob_of_id(const struct ste_dialect *d, const json_t *reply, const json_t *choice, int32_t id)
{
    if (d->api != STE_API_LLAMA_SERVER) {
        char key[32];
        snprintf(key, sizeof key, "token_id:%d", id);
        const json_t *top = json_object_get(json_object_get(choice, "logprobs"), "top_logprobs"),
                     *v = json_object_get(json_array_get(top, 0), key);
        return json_is_number(v) ? json_number_value(v) : (double)NAN;
    }
    const json_t *first = json_array_get(json_object_get(reply, "completion_probabilities"), 0),
                 *top = json_object_get(first, "top_logprobs");
    for (size_t i = 0; i < json_array_size(top); i++) {
        const json_t *one = json_array_get(top, i), *of = json_object_get(one, "id");
        if (json_is_integer(of) && json_integer_value(of) == id)
            return json_number_value(json_object_get(one, "logprob"));
    }
    return (double)NAN;
}

/* Reads one token of the choices' and takes the path on; a choice is made once one is whole. */
static bool take_ids_labels(const struct ste_dialect *d, struct ste_ask *a, const json_t *reply, char **why)
{
    const json_t *c = NULL;
    enum ste_finish ignored;
    double lp[STE_MAX_CHOICES];
    int32_t id[STE_MAX_CHOICES];
    int n = 0, of[STE_MAX_CHOICES];
    if (d->api != STE_API_LLAMA_SERVER && !only_choice(reply, &c, &ignored, why))
        return false;
    for (int i = 0; i < a->n_choices; i++) {
        if (!a->alive[i])
            continue;
        const double p = logprob_of_id(d, reply, c, wanted(a, i));
        if (isnan(p) && d->api == STE_API_LLAMA_SERVER && !a->all_probs) {
            a->all_probs = true; /* it is asked again, for all of the vocabulary */
            return true;
        }
        if (isnan(p) || p > 0.001)
            return bad(why, "the reply has no log-probability of a label");
        int k = 0;
        while (k < n && id[k] != wanted(a, i))
            k++;
        id[k] = wanted(a, i);
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

static bool take_vote(struct ste_ask *a, const json_t *choice, enum ste_finish finish, char **why)
{
    char *text = NULL;
    if (!text_of_chat(choice, finish, &text, why))
        return false;
    const int label = label_of(a, text, true);
    ste_xfree(text);
    for (int i = 0; i < a->n_choices; i++)
        a->logprobs[i] = label < 0 ? -INFINITY : (float)log((i == label ? 2.0 : 1.0) / (a->n_choices + 1));
    a->choice = label < 0 ? 0 : label; /* without a label there is no mass, so that it is no verdict */
    return true;
}

static bool take_turn_labels(const struct ste_dialect *d, struct ste_ask *a, const json_t *reply, char **why)
{
    const json_t *c;
    enum ste_finish finish;
    double lp[STE_MAX_CHOICES];
    if (!only_choice(reply, &c, &finish, why))
        return false;
    if (d->way == STE_WAY_VOTE)
        return take_vote(a, c, finish, why);
    const json_t *first = json_array_get(json_object_get(json_object_get(c, "logprobs"), "content"), 0),
                 *top = json_object_get(first, "top_logprobs");
    if (!json_array_size(top))
        return bad(why, "the reply has no log-probabilities");
    for (int i = 0; i < a->n_choices; i++)
        lp[i] = 0;
    for (size_t k = 0; k < json_array_size(top); k++) {
        const json_t *one = json_array_get(top, k);
        const char *token = json_string_value(json_object_get(one, "token"));
        const int label = token ? label_of(a, token, false) : -1;
        if (label >= 0)
            lp[label] += exp(json_number_value(json_object_get(one, "logprob")));
    }
    for (int i = 0; i < a->n_choices; i++) {
        lp[i] = lp[i] > 0 ? log(lp[i]) : -INFINITY;
        a->logprobs[i] = (float)lp[i];
    }
    a->choice = draw(a, lp, a->n_choices);
    return true;
}

/* ---- all of it ---- */

static bool take_prompt(const struct ste_dialect *d, struct ste_ask *a, const json_t *reply, char **why)
{
    if (!read_ids(json_object_get(reply, "tokens"), &a->prompt) || !a->prompt.n)
        return bad(why, "the reply has no token ids");
    for (size_t i = 0; i < a->prefill.n; i++)
        ste_tokens_add(&a->prompt, a->prefill.ids[i]);
    a->have_prompt = true;
    return true;
}

static bool take(const struct ste_dialect *d, struct ste_ask *a, const json_t *reply, char **why)
{
    const char *text = json_string_value(json_object_get(reply, "prompt"));
    switch (step_of(d, a)) {
    case STEP_TEMPLATE:
        if (!text)
            return bad(why, "the reply has no prompt");
        a->rendered = ste_xstrdup(text);
        return true;
    case STEP_PROMPT:
        return take_prompt(d, a, reply, why);
    case STEP_FREE:
        return take_free(d, a, reply, why);
    case STEP_LABELS:
        return d->way == STE_WAY_IDS ? take_ids_labels(d, a, reply, why) : take_turn_labels(d, a, reply, why);
    case STEP_DONE:
        break;
    }
    return bad(why, "nothing was asked");
}

enum ste_wire ste_wire_take(const struct ste_dialect *d, struct ste_ask *a, const char *body, size_t n, char **why)
{
    json_t *reply = json_loadb(body, n, JSON_ALLOW_NUL, NULL);
    const json_t *error = json_object_get(reply, "error");
    *why = NULL;
    a->heard = ste_usage_read(reply, &a->used) || step_of(d, a) < STEP_FREE;
    if (!json_is_object(reply))
        bad(why, "the reply is no JSON object");
    else if (error && !json_is_null(error))
        *why = ste_xasprintf("the reply holds an error (%.200s)",
                             json_is_string(error) ? json_string_value(error)
                             : json_is_string(json_object_get(error, "message"))
                                 ? json_string_value(json_object_get(error, "message"))
                                 : "without a reason");
    else
        take(d, a, reply, why);
    json_decref(reply);
    return *why ? STE_WIRE_BAD : step_of(d, a) == STEP_DONE ? STE_WIRE_DONE : STE_WIRE_MORE;
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
