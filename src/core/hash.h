/* SHA-256 and the ids made from it. */
#ifndef STE_CORE_HASH_H
#define STE_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct ste_hasher; /* an incremental SHA-256 */
struct ste_hasher *ste_hasher_new(void);
void ste_hasher_add(struct ste_hasher *h, const void *p, size_t n);
void ste_hasher_adds(struct ste_hasher *h, const char *s);   /* with its NUL, so that fields stay apart */
void ste_hasher_addu(struct ste_hasher *h, uint64_t v);      /* 8 bytes, little endian */
void ste_hasher_done(struct ste_hasher *h, uint8_t out[32]); /* frees H */
void ste_hasher_hex(struct ste_hasher *h, char out[65]);     /* the same, as ste_hex gives it */

void ste_sha256(const void *p, size_t n, char out[65]); /* as ste_hex gives it */
void ste_hex(const uint8_t *p, size_t n, char *out);    /* 2n characters and a NUL */
uint64_t ste_hash_u64(const uint8_t digest[32]);        /* the first 8 bytes, little endian */

/* A row id: the first 16 bytes of the SHA-256 of the given strings (NULL ends the list), in hex. */
#define STE_ID_LEN 32
struct ste_id {
    char s[STE_ID_LEN + 1];
};
/* A number for these lists, in decimal. */
struct ste_digits {
    char s[24];
};
struct ste_digits ste_digits(long long n);
struct ste_id ste_id_of(const char *first, ...) __attribute__((sentinel));
/* The 64-bit random key of the given strings: for ste_rng_init. */
uint64_t ste_key_of(const char *first, ...) __attribute__((sentinel));
/* Gives KEY's place among all keys, in [0, 1) with 53 bits. */
double ste_key_share(uint64_t key);

/* SHA-256 of a file's bytes, as 64 hex characters and a NUL. */
int ste_sha256_file(const char *path, char out[65], struct ste_err *err);
/* Does the same and keeps the hash in PATH.sha256 ("HASH SIZE MTIME") where that may be written, and taken from there
 * while size and time of change are as they were. */
int ste_sha256_file_kept(const char *path, char out[65], struct ste_err *err);

/* Git's hash of a file of at most 64 MB: SHA-1 of "blob SIZE", a NUL and its bytes, as 40 hex characters and a NUL. */
int ste_git_hash_file(const char *path, char out[41], struct ste_err *err);

#endif
