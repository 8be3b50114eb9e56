/* Replies whose form does not depend on what carries them. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/buf.h"
#include "core/json.h"
#include "core/mem.h"
#include "serve/exchange.h"

void ste_reply_json(struct ste_exchange *x, int status, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(body);
    if (text)
        ste_reply(x, status, "application/json", text, strlen(text));
    else
        ste_reply_error(x, 500, NULL, "the reply cannot be written as JSON");
}

static const char *type_of(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 429:
        return "rate_limit_error";
    default:
        return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

void ste_reply_error(struct ste_exchange *x, int status, const char *code, const char *fmt, ...)
{
    struct ste_buf text = STE_BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    ste_buf_vaddf(&text, fmt, ap);
    va_end(ap);
    if (status == 503)
        ste_reply_header(x, "Retry-After", "1");
    ste_reply_json(x, status,
                   json_pack("{s:{s:s, s:s, s:n, s:s?}}", "error", "message", text.s, "type", type_of(status), "param",
                             "code", code));
    ste_buf_clear(&text);
}

void ste_reply_failed(struct ste_exchange *x, const struct ste_err *err)
{
    switch (err->code) {
    case STE_EUSAGE:
    case STE_EINPUT:
        ste_reply_error(x, 400, NULL, "%s", err->msg);
        break;
    case STE_ENOTFOUND:
        ste_reply_error(x, 404, NULL, "%s", err->msg);
        break;
    case STE_ETOOLONG:
        ste_reply_error(x, 400, "context_length_exceeded", "%s", err->msg);
        break;
    case STE_EBUSY:
    case STE_EINTERRUPTED:
        ste_reply_error(x, 503, NULL, "%s", err->msg);
        break;
    default:
        ste_reply_error(x, 500, NULL, "%s", err->msg);
    }
}
