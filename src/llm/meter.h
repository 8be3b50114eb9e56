/*
 * What requests to a server's model take, what that costs by the user's prices, and the budget that they stay within.
 *
 * Before a question's first request the most that all of its requests may cost is held; with what is spent and what
 * others hold it must fit the budget. A reply says what it really took, and the rest is free again. What is held when
 * the process ends, and a request whose reply does not say what it took, stay counted at their most, since they may be
 * billed. So the budget is not exceeded, whatever happens, as long as the server counts no more tokens than a text has
 * bytes.
 */
#ifndef STE_LLM_METER_H
#define STE_LLM_METER_H

#include <jansson.h>

#include "core/buf.h"
#include "core/raw.h"
#include "llm/endpoint.h"
#include "llm/llm.h"
#include "store/spent.h"

/* Requests, and tokens that they read and write; numbers that may be guesses. */
struct ste_amount {
    double requests, read, written;
};

struct ste_meter {
    struct ste_price price;
    double budget; /* 0: none */
    char *name;    /* the endpoint's, for sentences */
    char *model;   /* URL#MODEL: the row in the ledger */
    struct ste_ledger *ledger;
    struct ste_spent now, all, unwritten; /* of this process; with the ledger; what the ledger does not have yet */
    double written;                       /* when the ledger was written last */
    bool reached;                         /* a question did not fit any more */
};
/* MODEL: as the server of E calls it. PATH: of the ledger, or NULL: what was spent is known of this process alone. The
 * caller closes M, whatever this returns. */
int ste_meter_open(struct ste_meter *m, const struct ste_endpoint *e, const char *model, const char *path,
                   struct ste_err *err);
void ste_meter_close(struct ste_meter *m);

double ste_price_of(const struct ste_price *p, const struct ste_amount *a);  /* nothing of it cached */
double ste_cost_of(const struct ste_price *p, const struct ste_spent *used); /* of its tokens */
/* What a reply, and the USAGE in it, say that it took, without its cost; false: they do not say. */
bool ste_usage_read(struct ste_raw reply, struct ste_raw usage, struct ste_spent *out);

/* Makes *HELD enough for MOST. 1: it is; 0: that does not fit the budget now. Without a budget nothing is held. */
int ste_meter_hold(struct ste_meter *m, const struct ste_amount *most, double *held, struct ste_err *err);
/* A reply took USED (NULL: it does not say, which counts at its most), and MOST is still to come. */
int ste_meter_settle(struct ste_meter *m, const struct ste_spent *used, const struct ste_amount *most, double *held,
                     struct ste_err *err);
/* Brings the ledger up to date, as nothing is on its way. */
int ste_meter_write(struct ste_meter *m, struct ste_err *err);
/* Says that MOST does not fit, though nothing is on its way; returns the code. */
int ste_meter_full(const struct ste_meter *m, const struct ste_amount *most, struct ste_err *err);

/* OUT gets "12 requests, 3400 tokens read (200 cached), 56 written; cost 0.0123". */
void ste_spent_text(const struct ste_llm_spent *s, struct ste_buf *out);
json_t *ste_spent_json(const struct ste_llm_spent *s);
json_t *ste_spent_counts(const struct ste_spent *x, bool priced); /* the same of one sum */
/* An amount of money, with as many digits as tell it apart from nothing. */
struct ste_money {
    char s[32];
};
struct ste_money ste_money(double x);

#endif
