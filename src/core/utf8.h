/* UTF-8 checks. */
#ifndef STE_CORE_UTF8_H
#define STE_CORE_UTF8_H

#include <stddef.h>

/* The offset of the first byte that is not valid UTF-8 (surrogates and overlong forms are not), or N. */
size_t ste_utf8_bad(const char *s, size_t n);
/* Characters of a text that is valid UTF-8. */
size_t ste_utf8_length(const char *s);
/* How many bytes of S..S+N form whole characters: a trailing start of a character is left out. */
size_t ste_utf8_whole(const char *s, size_t n);

#endif
