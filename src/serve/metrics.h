/* What a server did, as Prometheus reads it (text format 0.0.4). */
#ifndef STE_SERVE_METRICS_H
#define STE_SERVE_METRICS_H

#include "core/buf.h"
#include "serve/http.h"
#include "serve/work.h"

/* W NULL: there is no model. */
void ste_metrics_text(const struct ste_http_counts *h, const struct ste_work_state *w, struct ste_buf *out);

#endif
