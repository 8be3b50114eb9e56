/* What the transfers of libcurl have in common; for net/ alone. */
#ifndef STE_NET_CURL_H
#define STE_NET_CURL_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

/* Returns a fresh handle; ends the call where there is no memory for one. */
CURL *ste_curl_new(void);
/* Sets what holds for every transfer: certificates, the name that ste goes by, protocols, the time to connect, and
 * PROBLEM, CURL_ERROR_SIZE bytes that must stay as long as the handle. */
void ste_curl_prepare(CURL *c, char *problem);
long ste_curl_status(CURL *c); /* 0: none came yet */
/* HEADERS, NULL-ended, or NULL, as libcurl takes them; freed by curl_slist_free_all. */
struct curl_slist *ste_curl_headers(const char *const *headers);

/* Whether a later try may bring another answer than STATUS. */
bool ste_http_passes(long status);
/* Gives URL without user, password and query, which may hold secrets: for messages. Caller frees. */
char *ste_http_shown(const char *url);

#endif
