#include "llm/wire.h"

#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/raw.h"

#define LABEL 16        /* tokens of a label that is written, */
#define THOUGHTS 4096   /* with what is thought before it */
#define TOP_LOGPROBS 20 /* as many as servers tell */
#define SOME_PROBS 256  /* of llama-server, before all of them */
#define LARGE_VOCABULARY (1 << 18)

/* All that decides a sample is said, since what a server takes by default is its own. temperature before top_p, as in
 * the other implementations. */
static void add_sampling(const struct ste_dialect *d, struct ste_raw_object *b, const struct ste_sampling *s,
                         uint64_t key)
{
    if (d->plain)
        return;
    ste_raw_set_real(b, "temperature", s->temperature);
    ste_raw_set_real(b, "top_p", s->top_p);
    ste_raw_set_int(b, "seed", (int64_t)(key & 0x7fffffff));
    if (d->api == STE_API_OPENAI)
        return;
    const bool llama = d->api == STE_API_LLAMA_SERVER;
    ste_raw_set_int(b, "top_k", s->top_k > 0 ? s->top_k : llama ? 0 : -1);
    ste_raw_set_real(b, "min_p", s->min_p);
    ste_raw_set_real(b, llama ? "repeat_penalty" : "repetition_penalty", 1);
    if (llama)
        ste_raw_set(b, "samplers", "[\"temperature\",\"top_k\",\"top_p\",\"min_p\"]");
}

static const char *chat(const struct ste_dialect *d, const struct ste_ask *a, struct ste_raw_object *b)
{
    ste_raw_set_text(b, "model", d->model);
    ste_raw_set(b, "messages", a->messages);
    ste_raw_set_int(b, d->limit, a->max_tokens);
    add_sampling(d, b, &a->sampling, a->key);
    if (a->stops)
        ste_raw_set(b, "stop", a->stops);
    if (d->api == STE_API_VLLM) {
        ste_raw_set(b, "return_token_ids", "true");
        ste_raw_set(b, "include_stop_str_in_output", "true");
    }
    return "/v1/chat/completions";
}

static void add_ids_so_far(struct ste_raw_object *b, const struct ste_ask *a, bool labels)
{
    const struct ste_raw_list lists[] = {{a->prompt.ids, a->prompt.n},
                                         {a->free.ids, a->n_written},
                                         {a->closing.ids, a->closing.n},
                                         {a->path.ids, a->path.n}};
    ste_raw_set_ids(b, "prompt", lists, labels ? 4 : 1);
}

static const char *go_on(const struct ste_dialect *d, const struct ste_ask *a, struct ste_raw_object *b)
{
    const bool llama = d->api == STE_API_LLAMA_SERVER;
    ste_raw_set_text(b, "model", d->model);
    add_ids_so_far(b, a, false);
    ste_raw_set_int(b, llama ? "n_predict" : "max_tokens", a->max_tokens);
    add_sampling(d, b, &a->sampling, a->key);
    if (a->stops)
        ste_raw_set(b, "stop", a->stops);
    ste_raw_set(b, llama ? "return_tokens" : "return_token_ids", "true");
    if (!llama)
        ste_raw_set(b, "include_stop_str_in_output", "true");
    return llama ? "/completion" : "/v1/completions";
}

static const char *labels_by_ids(const struct ste_dialect *d, const struct ste_ask *a, struct ste_raw_object *b)
{
    ste_raw_set_text(b, "model", d->model);
    add_ids_so_far(b, a, true);
    ste_raw_set_real(b, "temperature", 0);
    if (d->api == STE_API_LLAMA_SERVER) {
        const int all = d->n_vocab ? d->n_vocab : LARGE_VOCABULARY;
        ste_raw_set_int(b, "n_predict", 1);
        ste_raw_set_int(b, "n_probs", a->all_probs ? all : SOME_PROBS);
        ste_raw_set(b, "return_tokens", "true");
        return "/completion";
    }
    int32_t ids[STE_MAX_CHOICES];
    size_t n = 0;
    for (int i = 0; i < a->n_choices; i++)
        if (a->alive[i])
            ids[n++] = ste_ask_wanted(a, i);
    ste_raw_set_int(b, "max_tokens", 1);
    ste_raw_set_int(b, "logprobs", 0);
    ste_raw_set_ids(b, "logprob_token_ids", &(struct ste_raw_list){ids, n}, 1);
    ste_raw_set(b, "return_tokens_as_token_ids", "true");
    ste_raw_set(b, "add_special_tokens", "false");
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
static char *messages_for_label(const struct ste_ask *a)
{
    json_t *m = json_loads(a->messages, JSON_ALLOW_NUL, NULL), *last = json_array_get(m, json_array_size(m) - 1);
    char *request = request_for_label(a);
    const char *text = a->text ? a->text + strspn(a->text, " \t\r\n") : "";
    if (*text) {
        json_array_append_new(m, json_pack("{ssss}", "role", "assistant", "content", a->text));
        json_array_append_new(m, json_pack("{ssss}", "role", "user", "content", request));
    } else {
        char *both = ste_xasprintf("%s\n\n%s", json_string_value(json_object_get(last, "content")), request);
        json_object_set_new(last, "content", json_string(both));
        ste_xfree(both);
    }
    char *all = ste_json_canonical(m);
    json_decref(m);
    ste_xfree(request);
    return all;
}

/* *MESSAGES are freed once B is done. */
static const char *labels_by_turn(const struct ste_dialect *d, const struct ste_ask *a, struct ste_raw_object *b,
                                  char **messages)
{
    const bool vote = d->way == STE_WAY_VOTE;
    struct ste_sampling how = {.temperature = vote && a->sample_choice ? a->sampling.temperature : 0, .top_p = 1};
    *messages = messages_for_label(a);
    ste_raw_set_text(b, "model", d->model);
    ste_raw_set(b, "messages", *messages);
    ste_raw_set_int(b, d->limit, !vote ? 1 : d->plain ? THOUGHTS : LABEL);
    add_sampling(d, b, &how, a->key);
    if (!vote) {
        ste_raw_set(b, "logprobs", "true");
        ste_raw_set_int(b, "top_logprobs", TOP_LOGPROBS);
    }
    return "/v1/chat/completions";
}

static const char *fill(const struct ste_dialect *d, const struct ste_ask *a, struct ste_raw_object *b, char **messages)
{
    switch (ste_ask_step(d, a)) {
    case STE_STEP_TEMPLATE:
        ste_raw_set(b, "messages", a->messages);
        return "/apply-template";
    case STE_STEP_PROMPT:
        if (d->api == STE_API_LLAMA_SERVER) {
            ste_raw_set_text(b, "content", a->rendered);
            ste_raw_set(b, "add_special", "true");
            ste_raw_set(b, "parse_special", "true");
        } else {
            ste_raw_set_text(b, "model", d->model);
            ste_raw_set(b, "messages", a->messages);
            ste_raw_set(b, "add_generation_prompt", "true");
        }
        return "/tokenize";
    case STE_STEP_FREE:
        return a->have_prompt ? go_on(d, a, b) : chat(d, a, b);
    default:
        return d->way == STE_WAY_IDS ? labels_by_ids(d, a, b) : labels_by_turn(d, a, b, messages);
    }
}

const char *ste_wire_request(const struct ste_dialect *d, const struct ste_ask *a, const struct ste_weights *w,
                             char **body)
{
    struct ste_raw_object b = STE_RAW_OBJECT;
    struct ste_dialect of = *d;
    if (w && w->model)
        of.model = w->model;
    char *messages = NULL;
    const char *path = fill(&of, a, &b, &messages);
    if (w && w->lora && ste_ask_step(d, a) >= STE_STEP_FREE) {
        ste_raw_set(&b, "lora", w->lora);
        ste_raw_set(&b, "cache_prompt", "false"); /* its store of prompts mixes what adapters made of them */
    }
    *body = ste_raw_done(&b);
    ste_xfree(messages);
    return path;
}

/* ---- amounts ---- */

#define FRAME 16  /* tokens, at most, that a template puts around a message, */
#define HEAD 64   /* and before all of them */
#define REQUEST 8 /* of the words that ask for a label */

static double prompt_tokens(const struct ste_ask *a, bool most)
{
    const struct ste_raw messages = {a->messages, strlen(a->messages)};
    double chars = 0;
    if (a->have_prompt)
        return (double)a->prompt.n;
    for (struct ste_raw m = ste_raw_first(messages); m.s; m = ste_raw_after(messages, m))
        chars += (double)ste_raw_get(m, "content").n - 2 + (most ? FRAME : 0); /* 2: its quotes */
    return (double)a->prefill.n + (most ? HEAD + chars : STE_TEMPLATE_TOKENS + chars / STE_CHARS_PER_TOKEN);
}

void ste_wire_amount(const struct ste_dialect *d, const struct ste_ask *a, bool most, struct ste_amount *out)
{
    const enum ste_step step = ste_ask_step(d, a);
    const double prompt = prompt_tokens(a, most),
                 written = most || a->max_tokens == 1 ? a->max_tokens : STE_LENGTH_SHARE * a->max_tokens;
    size_t tokens = 1; /* of a label */
    *out = (struct ste_amount){0};
    if (a->max_tokens && step < STE_STEP_LABELS)
        *out = (struct ste_amount){1, prompt, written};
    if (!a->n_choices || step == STE_STEP_DONE)
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
