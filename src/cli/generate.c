/* ste generate: samples from a model, from the shell. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "llm/local.h"
#include "llm/pump.h"

struct options {
    char *model, *adapter, *prompt, *chat, *system;
    long long max_tokens, top_k, seed, samples;
    double temperature, top_p, min_p;
    bool json;
    struct ste_llm_params engine;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_STRING("model", model, NULL, "NAME", "a catalogue name, a .gguf file, or a server's: URL#MODEL or a YAML file"),
    STE_STRING("adapter", adapter, NULL, "DIR", "a PEFT folder"),
    STE_STRING("prompt", prompt, NULL, "TEXT", "go on from this text as it is; - reads standard input"),
    STE_STRING("chat", chat, NULL, "TEXT", "a user's message, in the model's chat template"),
    STE_STRING("system", system, NULL, "TEXT", "with --chat: the system message"),
    STE_INT("max_tokens", max_tokens, "256", 1, 1 << 20, "at most so many tokens a sample"),
    STE_REAL("temperature", temperature, "0.7", 0, STE_LARGE, "0 takes the likeliest token"),
    STE_INT("top_k", top_k, "0", 0, STE_LARGE, "only the N likeliest tokens; 0: off"),
    STE_REAL("top_p", top_p, "1", 0, 1, "only the likeliest tokens that hold X; 1: off"),
    STE_REAL("min_p", min_p, "0", 0, 1, "only tokens X times as likely as the likeliest; 0: off"),
    STE_INT("seed", seed, "0", 0, 9e15, "equal seeds give equal samples"),
    STE_INT("n", samples, "1", 1, 4096, "how many samples"),
    STE_BOOL("json", json, NULL, "texts, token ids and log-probabilities as JSON"),
    STE_TABLE("", engine, ste_llm_options),
    {0},
};
/* clang-format on */

static int read_text(const char *given, struct ste_buf *out, struct ste_err *err)
{
    if (strcmp(given, "-") == 0)
        return ste_file_read("/dev/stdin", 64u << 20, out, err);
    ste_buf_adds(out, given);
    return 0;
}

static int read_prompt(const struct options *o, const struct ste_model *m, struct ste_tokens *out, struct ste_err *err)
{
    struct ste_buf text = STE_BUF_INIT;
    int rc = read_text(o->chat ? o->chat : o->prompt, &text, err);
    if (!rc && o->chat) {
        struct ste_message messages[2] = {{"system", o->system}, {"user", text.s}};
        rc = ste_chat_tokenize(m, o->system ? messages : messages + 1, o->system ? 2 : 1, NULL, out, err);
    } else if (!rc) {
        rc = ste_tokenize(m->tokenizer, text.s, text.len, true, out, err);
    }
    if (rc)
        ste_err_wrap(err, "cannot read the prompt");
    ste_buf_clear(&text);
    return rc;
}

static const char *finish_name(enum ste_finish f)
{
    return f == STE_FINISH_LENGTH ? "length" : f == STE_FINISH_STOP ? "stop" : "end";
}

static json_t *sample_json(const struct ste_model *m, const struct ste_completion *c)
{
    struct ste_buf text = STE_BUF_INIT;
    json_t *tokens = json_array(), *logprobs = json_array();
    ste_detokenize(m->tokenizer, c->tokens, c->n, false, &text);
    for (size_t i = 0; i < c->n; i++) {
        json_array_append_new(tokens, json_integer(c->tokens[i]));
        json_array_append_new(logprobs, json_real((double)c->logprobs[i]));
    }
    size_t good = ste_utf8_bad(text.s, text.len);
    json_t *j = json_pack("{ss#sososs}", "text", text.s, (int)good, "tokens", tokens, "logprobs", logprobs, "finish",
                          finish_name(c->finish));
    ste_buf_clear(&text);
    return j;
}

static void print_text(const struct ste_model *m, const struct ste_completion *c, const struct options *o, int sample)
{
    struct ste_buf text = STE_BUF_INIT;
    ste_detokenize(m->tokenizer, c->tokens, c->n, false, &text);
    if (o->samples > 1)
        printf("%s--- %d\n", sample ? "\n" : "", sample);
    fwrite(text.s, 1, text.len, stdout);
    putchar('\n');
    ste_buf_clear(&text);
}

/* Samples come back in any order and are shown in that of their numbers. */
static int sample_all(const struct options *o, struct ste_llm *llm, int adapter, const struct ste_tokens *prompt,
                      struct ste_completion *done, struct ste_err *err)
{
    struct ste_engine *e = ste_local_engine(llm);
    struct ste_request r = {.prompt = prompt->ids,
                            .n_prompt = prompt->n,
                            .adapter = ste_local_adapter(llm, adapter),
                            .sampling = {o->temperature, (int)o->top_k, o->top_p, o->min_p},
                            .max_tokens = (int)o->max_tokens};
    uint64_t first = 0, ticket = 0;
    int rc = 0, got = 0;
    for (int i = 0; i < o->samples && !rc; i++) {
        r.key = ste_key_of("generate", ste_digits(o->seed).s, ste_digits(i).s, NULL);
        rc = ste_engine_submit(e, &r, &ticket, err);
        first = i == 0 ? ticket : first;
    }
    struct ste_completion c;
    while (!rc && (got = ste_engine_next(e, &c, err)) == 1)
        done[c.ticket - first] = c;
    return rc ? rc : got;
}

/* ---- a server's model: the template is the server's, and so are the tokens */

struct asked {
    const struct options *o;
    struct ste_message messages[2];
    struct ste_answer *answers;
    int next, adapter;
};

static int ask_next(void *arg, struct ste_question *question, struct ste_err *err)
{
    struct asked *a = arg;
    const struct options *o = a->o;
    if (a->next == o->samples)
        return 0;
    *question = (struct ste_question){.messages = o->system ? a->messages : a->messages + 1,
                                      .n_messages = o->system ? 2 : 1,
                                      .adapter = a->adapter,
                                      .sampling = {o->temperature, (int)o->top_k, o->top_p, o->min_p},
                                      .max_tokens = (int)o->max_tokens,
                                      .seed = (uint64_t)o->seed,
                                      .sample = a->next,
                                      .tag = &a->answers[a->next]};
    a->next++;
    return 1;
}

static void ask_submitted(void *arg, void *tag, uint64_t ticket)
{
}

static int ask_too_long(void *arg, void *tag, const char *why, struct ste_err *err)
{
    return ste_err_set(err, STE_ETOOLONG, "%s", why);
}

static int ask_answer(void *arg, struct ste_answer *answer, struct ste_err *err)
{
    if (answer->completion.finish == STE_FINISH_FAILED)
        return ste_err_set(err, STE_EIO, "a sample did not come");
    *(struct ste_answer *)answer->tag = *answer;
    *answer = (struct ste_answer){0};
    return 0;
}

static void print_answer(const struct options *o, const struct ste_answer *a, int i)
{
    if (o->json) {
        json_t *j = json_pack("{ssss}", "text", a->text, "finish", finish_name(a->completion.finish));
        char *s = ste_json_canonical(j);
        puts(s);
        ste_xfree(s);
        json_decref(j);
    } else {
        if (o->samples > 1)
            printf("%s--- %d\n", i ? "\n" : "", i);
        puts(a->text);
    }
}

static int from_server(const struct options *o, struct ste_llm *llm, int adapter, struct ste_err *err)
{
    struct ste_buf text = STE_BUF_INIT;
    int rc = o->chat ? 0 : ste_local_need(llm, "--prompt", err);
    if (!rc)
        rc = read_text(o->chat, &text, err);
    struct asked a = {
        o, {{"system", o->system}, {"user", text.s}}, ste_xcalloc((size_t)o->samples, sizeof *a.answers), 0, adapter};
    const struct ste_pump pump = {.llm = llm,
                                  .arg = &a,
                                  .next = ask_next,
                                  .submitted = ask_submitted,
                                  .too_long = ask_too_long,
                                  .answer = ask_answer};
    if (!rc)
        rc = ste_pump_run(&pump, err);
    for (int i = 0; i < o->samples; i++) {
        if (!rc)
            print_answer(o, &a.answers[i], i);
        ste_answer_clear(&a.answers[i]);
    }
    ste_xfree(a.answers);
    ste_buf_clear(&text);
    return rc;
}

static int run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    int rc;
    if (!o->model || !o->prompt == !o->chat)
        return ste_err_set(err, STE_EUSAGE, "generate needs --model and one of --prompt and --chat");
    struct ste_llm *llm = NULL;
    const struct ste_model *m = NULL;
    int adapter = 0;
    struct ste_tokens prompt = {0};
    struct ste_completion *done = ste_xcalloc((size_t)o->samples, sizeof *done);
    rc = ste_llm_open_with(&llm, o->model, o->adapter, &o->engine, &adapter, err);
    if (!rc && !ste_local_engine(llm)) {
        rc = from_server(o, llm, adapter, err);
        ste_llm_close(llm);
        ste_xfree(done);
        return rc;
    }
    if (!rc) {
        m = ste_engine_model(ste_local_engine(llm));
        rc = read_prompt(o, m, &prompt, err);
    }
    if (!rc)
        rc = sample_all(o, llm, adapter, &prompt, done, err);
    if (!rc && o->json) {
        json_t *list = json_array(), *ids = json_array();
        for (size_t i = 0; i < prompt.n; i++)
            json_array_append_new(ids, json_integer(prompt.ids[i]));
        for (int i = 0; i < o->samples; i++)
            json_array_append_new(list, sample_json(m, &done[i]));
        json_t *all = json_pack("{soso}", "prompt_tokens", ids, "samples", list);
        char *s = ste_json_canonical(all);
        puts(s);
        ste_xfree(s);
        json_decref(all);
    }
    for (int i = 0; i < o->samples; i++) {
        if (!rc && !o->json)
            print_text(m, &done[i], o, i);
        ste_completion_clear(&done[i]);
    }
    ste_xfree(done);
    ste_tokens_clear(&prompt);
    ste_llm_close(llm);
    return rc;
}

STE_COMMAND(generate, "generate", "--model NAME (--prompt TEXT | --chat TEXT) [flags]",
            "Text from a model, with or without an adapter.", options, 0, NULL, run);
