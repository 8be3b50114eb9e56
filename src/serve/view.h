/*
 * The viewer: the runs of a folder as pages that a server writes, in HTML that needs no script. Runs are read as they
 * stand, each page by a connection of its own that only reads, so that a run which goes on is neither held up nor
 * changed. What the judged texts hold is shown as text.
 */
#ifndef STE_SERVE_VIEW_H
#define STE_SERVE_VIEW_H

#include <stddef.h>

#include "serve/exchange.h"

struct ste_view;
/* FOLDER: the runs are the folders in it; it is read at each request. */
struct ste_view *ste_view_new(const char *folder);
void ste_view_free(struct ste_view *v); /* NULL is allowed */
/* The pages: N routes, which belong to V. */
const struct ste_route *ste_view_routes(const struct ste_view *v, size_t *n);

#endif
