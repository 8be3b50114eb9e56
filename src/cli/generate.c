/* ste generate: samples from a model, from the shell. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
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

/* Ids of a text as it is: by our own tokenizer, which knows the names of control tokens, or by the server. */
static int plain_ids(struct ste_llm *llm, const struct ste_buf *text, struct ste_tokens *out, struct ste_err *err)
{
    struct ste_engine *e = ste_local_engine(llm);
    return e ? ste_tokenize_prompt(ste_engine_model(e)->tokenizer, text->s, text->len, true, out, err)
             : ste_llm_tokenize(llm, text->s, &out->ids, &out->n, err);
}

/* Samples come in any order and are shown in that of their numbers. */
struct samples {
    const struct options *o;
    int adapter;
    struct ste_message messages[2]; /* of --chat */
    struct ste_tokens ids;          /* of --prompt */
    struct ste_answer *answers;
    int next;
};

static int ask_next(void *arg, struct ste_question *question, struct ste_err *err)
{
    struct samples *s = arg;
    const struct options *o = s->o;
    if (s->next == o->samples)
        return 0;
    *question = (struct ste_question){.adapter = s->adapter,
                                      .sampling = {o->temperature, (int)o->top_k, o->top_p, o->min_p},
                                      .max_tokens = (int)o->max_tokens,
                                      .seed = (uint64_t)o->seed,
                                      .sample = s->next,
                                      .tag = &s->answers[s->next]};
    if (o->chat) {
        question->messages = o->system ? s->messages : s->messages + 1;
        question->n_messages = o->system ? 2 : 1;
    } else {
        question->ids = s->ids.ids;
        question->n_ids = s->ids.n;
    }
    s->next++;
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

static int ask_all(struct samples *s, struct ste_llm *llm, struct ste_err *err)
{
    const struct options *o = s->o;
    struct ste_buf text = STE_BUF_INIT;
    int rc = read_text(o->chat ? o->chat : o->prompt, &text, err);
    s->messages[0] = (struct ste_message){"system", o->system};
    s->messages[1] = (struct ste_message){"user", text.s};
    if (!rc && o->prompt)
        rc = plain_ids(llm, &text, &s->ids, err);
    if (rc)
        ste_err_wrap(err, "cannot read the prompt");
    const struct ste_pump pump = {.llm = llm,
                                  .arg = s,
                                  .next = ask_next,
                                  .submitted = ask_submitted,
                                  .too_long = ask_too_long,
                                  .answer = ask_answer};
    if (!rc)
        rc = ste_pump_run(&pump, err);
    ste_buf_clear(&text);
    return rc;
}

static const char *finish_name(enum ste_finish f)
{
    return f == STE_FINISH_LENGTH ? "length" : f == STE_FINISH_STOP ? "stop" : "end";
}

static json_t *ids_json(const int32_t *ids, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_integer(ids[i]));
    return list;
}

/* HERE: of a model of this machine. A server tells no log-probabilities of what it wrote, and perhaps no ids. */
static json_t *sample_json(const struct ste_answer *a, bool here)
{
    const struct ste_completion *c = &a->completion;
    json_t *j = json_pack("{ssss}", "text", a->text, "finish", finish_name(c->finish));
    if (here || c->n)
        json_object_set_new(j, "tokens", ids_json(c->tokens, c->n));
    if (here) {
        json_t *logprobs = json_array();
        for (size_t i = 0; i < c->n; i++)
            json_array_append_new(logprobs, json_real((double)c->logprobs[i]));
        json_object_set_new(j, "logprobs", logprobs);
    }
    return j;
}

static void print_json(const struct ste_answer *answers, int n, bool here)
{
    json_t *list = json_array(), *all = json_object();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, sample_json(&answers[i], here));
    if (answers[0].prompt)
        json_object_set_new(all, "prompt_tokens", ids_json(answers[0].prompt, answers[0].n_prompt));
    json_object_set_new(all, "samples", list);
    char *s = ste_json_canonical(all);
    puts(s);
    ste_xfree(s);
    json_decref(all);
}

static void print_texts(const struct ste_answer *answers, int n)
{
    for (int i = 0; i < n; i++) {
        if (n > 1)
            printf("%s--- %d\n", i ? "\n" : "", i);
        puts(answers[i].text);
    }
}

static int run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    if (!o->model || !o->prompt == !o->chat)
        return ste_err_set(err, STE_EUSAGE, "generate needs --model and one of --prompt and --chat");
    const int n = (int)o->samples;
    struct ste_llm *llm = NULL;
    struct samples s = {.o = o, .answers = ste_xcalloc((size_t)n, sizeof *s.answers)};
    int rc = ste_llm_open_with(&llm, o->model, o->adapter, &o->engine, &s.adapter, err);
    if (!rc)
        rc = ask_all(&s, llm, err);
    if (!rc && o->json)
        print_json(s.answers, n, ste_local_engine(llm) != NULL);
    else if (!rc)
        print_texts(s.answers, n);
    for (int i = 0; i < n; i++)
        ste_answer_clear(&s.answers[i]);
    ste_xfree(s.answers);
    ste_tokens_clear(&s.ids);
    ste_llm_close(llm);
    return rc;
}

STE_COMMAND(generate, "generate", "--model NAME (--prompt TEXT | --chat TEXT) [flags]",
            "Text from a model, with or without an adapter.", options, 0, NULL, run);
