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

/* N bytes of S without their %XX (PLUS: and with + as a space). NULL: a wrong escape, a NUL, or no UTF-8. Caller frees.
 */
char *ste_percent_decode(const char *s, size_t n, bool plus);

/* Names and values, decoded. */
struct ste_fields {
    struct ste_strings names, values;
};
void ste_fields_clear(struct ste_fields *f);
const char *ste_fields_find(const struct ste_fields *f, const char *name); /* the first; NULL: not there */
/* The part of a target behind "?". False: it cannot be read, or has more than 64 fields. */
bool ste_query_read(struct ste_fields *out, const char *query);

/* Whether PATH (N bytes, not decoded) is what PATTERN ("/runs/{run}") means; PARTS gets what stands for {NAME}. A part
 * is never empty. */
bool ste_path_match(const char *pattern, const char *path, size_t n, struct ste_fields *parts);

#endif
