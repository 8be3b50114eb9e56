/* Exchanges without HTTP: a request of paper, and what was replied. */
#ifndef STE_TEST_FAKE_EXCHANGE_H
#define STE_TEST_FAKE_EXCHANGE_H

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/mem.h"
#include "serve/exchange.h"

struct ste_exchange {
    const char *body, *part, *client;
    atomic_bool gone, ended;
    int status;
    struct ste_buf out; /* the body, or all of the stream */
    bool streams;
    int writes;
};

const char *ste_exchange_body(const struct ste_exchange *x, size_t *n)
{
    *n = strlen(x->body);
    return x->body;
}

const char *ste_exchange_client(const struct ste_exchange *x)
{
    return x->client ? x->client : "127.0.0.1";
}

const char *ste_exchange_part(const struct ste_exchange *x, const char *name)
{
    return x->part;
}

bool ste_exchange_gone(const struct ste_exchange *x)
{
    return x->gone;
}

void ste_reply_json(struct ste_exchange *x, int status, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    x->status = status;
    ste_buf_adds(&x->out, text);
    ste_xfree(text);
    json_decref(body);
    x->ended = true;
}

void ste_reply_error(struct ste_exchange *x, int status, const char *code, const char *fmt, ...)
{
    char text[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ste_reply_json(x, status, json_pack("{s{ssss?}}", "error", "message", text, "code", code));
}

void ste_reply_failed(struct ste_exchange *x, const struct ste_err *err)
{
    ste_reply_error(x, err->code == STE_EBUSY ? 503 : 500, NULL, "%s", err->msg);
}

void ste_stream_begin(struct ste_exchange *x, int status, const char *type)
{
    x->status = status;
    x->streams = true;
}

bool ste_stream_write(struct ste_exchange *x, const char *bytes, size_t n)
{
    ste_buf_add(&x->out, bytes, n);
    x->writes++;
    return true;
}

void ste_stream_end(struct ste_exchange *x)
{
    x->ended = true;
}

#endif
