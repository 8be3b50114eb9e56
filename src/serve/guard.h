/*
 * Who may ask, and what: pure functions over what a request says of itself. A page of another site that a browser shows
 * can send requests to a server on this machine (it says so in Origin and Sec-Fetch-Site), and can bring its own name
 * to point here (Host then says that name): both are refused.
 */
#ifndef STE_SERVE_GUARD_H
#define STE_SERVE_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include "core/strings.h"
#include "serve/exchange.h"

/* HOST ("name", "name:port", "[v6]:port") names this machine's loopback, or is one of NAMES, whatever its port. NULL:
 * not said, which only an HTTP/1.0 client leaves out: true. */
bool ste_guard_host(const char *host, const struct ste_strings *names);
/* A request that a browser sends for a page of another site: ORIGIN (NULL: none) is not that of HOST, or SITE
 * (Sec-Fetch-Site, NULL: none) says so. */
bool ste_guard_foreign(const char *origin, const char *site, const char *host);
/* AUTHORIZATION (NULL: none) carries TOKEN, as "Bearer TOKEN", or as the password of "Basic ...", which browsers ask
 * for. How long it takes does not depend on where the two differ. */
bool ste_guard_token(const char *authorization, const char *token);
/* ADDRESS is one that no other machine reaches: 127.0.0.0/8, ::1, localhost. */
bool ste_guard_is_loopback(const char *address);

#define STE_MAX_PARTS 8
struct ste_part {
    const char *name; /* as the route has it, up to its brace */
    size_t n_name;
    char *value; /* caller frees */
};
/* PATH is ROUTE, in which each {NAME} stands for one part that is not empty. PARTS[STE_MAX_PARTS] gets those; *N how
 * many. On false there are none. */
bool ste_route_matches(const char *route, const char *path, struct ste_part *parts, size_t *n);

#endif
