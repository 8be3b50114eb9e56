/*
 * A Python package index, asked for one file of one release: the simple API in its JSON form (PEP 691) or in HTML
 * (PEP 503). Its address is STE_INDEX_URL, PIP_INDEX_URL, pip.conf's index-url or the installed pip's own default.
 */
#ifndef STE_DATA_INDEX_H
#define STE_DATA_INDEX_H

#include <stddef.h>

#include "core/err.h"

/* The address without a slash at the end; caller frees. */
int ste_index_address(char **out, struct ste_err *err);

struct ste_index_file {
    char *name, *url;
    char sha256[65]; /* "" if the index does not say */
};
/* The wheel (or else the source archive) of PACKAGE at VERSION. */
int ste_index_find(struct ste_index_file *out, const char *index, const char *package, const char *version,
                   struct ste_err *err);
void ste_index_file_clear(struct ste_index_file *f);
/* The parts of ste_index_find, apart so that they can be tested: PAGE as the index at URL gave it. */
int ste_index_read_page(struct ste_index_file *out, const char *page, size_t n, const char *url, const char *package,
                        const char *version, struct ste_err *err);

#endif
