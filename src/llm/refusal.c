#include <string.h>
#include <strings.h>

#include "llm/wire.h"

enum ste_refusal ste_wire_refusal(long status, const char *body, size_t n)
{
    static const char *const too_long[] = {"context length",
                                           "context size",
                                           "context_length_exceeded",
                                           "context window",
                                           "exceed_context_size",
                                           "maximum context",
                                           NULL};
    const bool said = n > 0;
    if (status == 429 || status == 503)
        return said && (strstr(body, "insufficient_quota") || strstr(body, "billing_hard_limit")) ? STE_REFUSAL_ALL
                                                                                                  : STE_REFUSAL_BUSY;
    for (size_t i = 0; said && too_long[i] && (status == 400 || status == 413 || status == 422); i++)
        if (strcasestr(body, too_long[i]))
            return STE_REFUSAL_TOO_LONG;
    if (status == 408 || status == 409 || status == 425 || (status >= 500 && status != 501 && status != 505))
        return STE_REFUSAL_FAULT;
    return status == 400 || status == 413 || status == 422 ? STE_REFUSAL_QUESTION : STE_REFUSAL_ALL;
}
