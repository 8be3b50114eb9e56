/* The HTTP client (libcurl). STE_EIO on transport errors and statuses of 400 and over, with the reason that the
 * server gives; retries with backoff on time-outs, resets, and statuses that pass (429, 500, 502 to 504). A wait that
 * the server asks for is kept up to a minute; a longer one is an error that says so. */
#ifndef STE_NET_HTTP_H
#define STE_NET_HTTP_H

#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"

/* Reads URL into memory, at most MAX_BYTES. HEADERS: NULL-ended "Name: value" strings, or NULL. */
int ste_http_get(const char *url, const char *const *headers, size_t max_bytes, struct ste_buf *out,
                 struct ste_err *err);
/* Reads URL into the file PATH. It keeps bytes that are there and asks for the rest (Range); a server that ignores the
 * range is read from the start. PROGRESS (may be NULL) is called with the bytes had so far and the whole, 0 if not
 * known. */
int ste_http_download(const char *url, const char *const *headers, const char *path,
                      void (*progress)(void *arg, uint64_t have, uint64_t total), void *arg, struct ste_err *err);
/* LINK as it stands on the page BASE, made whole; caller frees. NULL if it is no address. */
char *ste_http_join(const char *base, const char *link);
/* Gives what a server itself says of its refusal in the N bytes of BODY, as one short line in brackets; "" where it
 * says nothing. Caller frees. */
char *ste_http_reason(const char *body, size_t n);

#endif
