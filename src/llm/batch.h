/*
 * Requests by files in place of a server, as hosted services and vLLM take them (OpenAI's batch files): each request's
 * reply is looked for in files of results, and a request without one is written to another file. A question that takes
 * two requests, the second with what came of the first, takes two rounds: all files of results are given each time.
 * A request's custom_id derives from its question's address. Without any files this counts what would be asked.
 *
 * A question whose request is written or counted has an answer that failed: its caller finishes the batch, and makes
 * nothing of its answers where some are not there.
 */
#ifndef STE_LLM_BATCH_H
#define STE_LLM_BATCH_H

#include "llm/llm.h"
#include "llm/meter.h"

struct ste_batch {
    const struct ste_strings *in; /* files of results; NULL: none */
    const char *out;              /* where requests are written that have no reply, or one that failed; NULL: nowhere */
    size_t max_requests, max_bytes; /* of one file; 0: as many as services take, 50,000 and 200 MB */
    /* What came of it. The caller clears it by ste_batch_clear. */
    size_t questions, known; /* all; of these, answered before (from the cache) */
    size_t replies, failed;  /* taken from files; failed ones, which count as failed answers */
    size_t written;          /* requests */
    struct ste_amount most,
        likely;                    /* of what the questions still need, of which some requests may not be written yet */
    struct ste_spent used, before; /* by the replies; as the ledger has it */
    struct ste_price price;
    double budget;
    struct ste_strings files; /* that were written: OUT, then OUT with .2, .3 before its ending */
};
void ste_batch_clear(struct ste_batch *b);

/* MODEL: on a server (endpoint.h) that is not asked who it is; to count, any. B must outlive *OUT. PATH: as
 * ste_llm_params.spent. */
int ste_batch_open(struct ste_llm **out, const char *model, struct ste_batch *b, const char *spent,
                   struct ste_err *err);
/* When all was asked, or RC says that something failed, which is then returned: the files appear, unless a result is of
 * no question, a reply is missing that nobody asks for again, or the requests might cost more than is left of the
 * budget. *WHOLE: every question has its answer. */
int ste_batch_finish(struct ste_llm *l, int rc, bool *whole, struct ste_err *err);
/* Adds lines on what would be asked, of the judge (or other) that TITLE names. */
void ste_batch_estimate(const struct ste_batch *b, const char *title, struct ste_buf *out);

#endif
