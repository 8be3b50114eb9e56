/* ste tokenize: text on stdin, token ids on stdout. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/json.h"
#include "core/mem.h"
#include "data/catalogue.h"
#include "model/chat.h"

static int read_stdin(struct ste_buf *text, struct ste_err *err)
{
    for (;;) {
        ste_buf_reserve(text, 1 << 16);
        ssize_t n = read(STDIN_FILENO, text->s + text->len, 1 << 16);
        if (n < 0)
            return ste_err_errno(err, "cannot read standard input");
        if (n == 0)
            return 0;
        text->len += (size_t)n;
        text->s[text->len] = 0;
    }
}

static int print_ids(const struct ste_tokenizer *t, const char *s, size_t n, bool special, struct ste_err *err)
{
    struct ste_tokens ids = {0};
    int rc = ste_tokenize(t, s, n, special, &ids, err);
    for (size_t i = 0; i < ids.n && !rc; i++)
        printf(i ? " %d" : "%d", ids.ids[i]);
    ste_tokens_clear(&ids);
    if (!rc && putchar('\n') == EOF)
        rc = ste_err_errno(err, "cannot write the ids");
    return rc;
}

static int print_lines(const struct ste_tokenizer *t, const struct ste_buf *text, bool special, struct ste_err *err)
{
    int rc = 0;
    long line = 0;
    for (size_t at = 0; at < text->len && !rc; line++) {
        const char *end = memchr(text->s + at, '\n', text->len - at);
        size_t n = end ? (size_t)(end - text->s) - at : text->len - at;
        rc = print_ids(t, text->s + at, n, special, err);
        at += n + 1;
    }
    if (rc)
        ste_err_wrap(err, "line %ld of standard input", line);
    return rc;
}

static int chat_ids(const struct ste_model *m, const json_t *row, const char *where, struct ste_tokens *ids,
                    struct ste_err *err)
{
    struct ste_dialogue d = {0};
    int rc = ste_dialogue_add_messages(&d, json_object_get(row, "messages"), where, err);
    struct ste_message *messages = ste_chat_messages(&d);
    if (!rc && (rc = ste_chat_tokenize(m, messages, d.n, json_string_value(json_object_get(row, "prefill")), ids, err)))
        ste_err_wrap(err, "%s", where);
    ste_xfree(messages);
    ste_dialogue_clear(&d);
    return rc;
}

/* {"text": "..."} or {"messages": [...]} a line; the ids as a JSON array a line, so that texts with newlines keep their
 * places. */
static int print_jsonl(const struct ste_model *m, bool special, struct ste_err *err)
{
    struct ste_jsonl *f = NULL;
    int rc = ste_jsonl_open(&f, "-", err);
    json_t *row = NULL;
    while (!rc && (rc = ste_jsonl_next(f, &row, err)) == 1) {
        struct ste_tokens ids = {0};
        const char *text;
        char where[64];
        snprintf(where, sizeof where, "line %ld of standard input", ste_jsonl_line(f));
        if (json_object_get(row, "messages"))
            rc = chat_ids(m, row, where, &ids, err);
        else if ((rc = ste_json_string(row, "text", true, &text, where, err)) == 0 &&
                 (rc = ste_tokenize(m->tokenizer, text, strlen(text), special, &ids, err)) < 0)
            ste_err_wrap(err, "%s", where);
        for (size_t i = 0; i < ids.n && !rc; i++)
            printf(i ? ", %d" : "[%d", ids.ids[i]);
        if (!rc)
            puts(ids.n ? "]" : "[]");
        ste_tokens_clear(&ids);
        json_decref(row);
    }
    ste_jsonl_close(f);
    return rc;
}

struct options {
    char *model, *chat_template, *chat_date;
    bool raw, jsonl, special;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_STRING("model", model, NULL, "NAME", "a catalogue name, a .gguf file or a folder"),
    STE_BOOL("raw", raw, NULL, "all of standard input is one text (default: a text a line)"),
    STE_BOOL("jsonl", jsonl, NULL,
             "a JSON object with a \"text\" a line, or with \"messages\", whose prompt is tokenized, and perhaps a \"prefill\" of "
             "the answer; ids as a JSON array a line"),
    STE_BOOL("special", special, NULL, "control tokens such as <|im_end|> are read as tokens, not as text"),
    STE_STRING("chat_template", chat_template, "", "NAME", "of messages: a chat template by name (docs/models.md)"),
    STE_STRING("chat_date", chat_date, "", "DATE", "the date that chat templates see; empty: 2024-07-26"),
    {0},
};
/* clang-format on */

static int run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    if (!o->model)
        return ste_err_set(err, STE_EUSAGE, "tokenize needs a model: --model NAME");
    struct ste_buf text = STE_BUF_INIT;
    struct ste_model m = {0}; /* without its weights */
    char *path = NULL;
    int rc;
    if ((rc = ste_model_resolve(o->model, &path, err)) == 0 && (rc = ste_model_read(&m.gguf, path, err)) == 0 &&
        (rc = ste_gguf_check_model(m.gguf, err)) == 0 && (rc = ste_tokenizer_new(&m.tokenizer, m.gguf, err)) == 0 &&
        (rc = ste_chat_choose(&m, o->chat_template, o->chat_date, err)) == 0 &&
        (o->jsonl || (rc = read_stdin(&text, err)) == 0))
        rc = o->jsonl ? print_jsonl(&m, o->special, err)
             : o->raw ? print_ids(m.tokenizer, text.s, text.len, o->special, err)
                      : print_lines(m.tokenizer, &text, o->special, err);
    if (fflush(stdout) && !rc)
        rc = ste_err_errno(err, "cannot write the ids");
    ste_buf_clear(&text);
    ste_chat_free(m.chat);
    ste_tokenizer_free(m.tokenizer);
    ste_gguf_close(m.gguf);
    ste_xfree(path);
    return rc;
}

STE_COMMAND(tokenize, "tokenize", "--model NAME [--raw | --jsonl] [--special] < TEXT",
            "token ids of a text, one line a line", options, 0, NULL, run);
