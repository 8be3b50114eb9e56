#include "core/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/context.h"
#include "core/domain.h"
#include "core/mem.h"

struct ste_hasher {
    EVP_MD_CTX *ctx;
};

static void end_context(void *of, size_t n)
{
    EVP_MD_CTX_free(of);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256; /* looked up once: libcrypto's search for it takes longer than a short text; NULL: no memory */

static void find_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* libcrypto always has SHA-256, so that what fails is its memory. */
struct ste_hasher *ste_hasher_new(void)
{
    struct ste_hasher *h = ste_xmalloc(sizeof *h);
    h->ctx = EVP_MD_CTX_new();
    if (!h->ctx)
        ste_no_memory(0);
    ste_own(h->ctx, 0, end_context);
    pthread_once(&once, find_sha256);
    if (!EVP_DigestInit_ex(h->ctx, sha256 ? sha256 : EVP_sha256(), NULL))
        ste_no_memory(0);
    return h;
}

void ste_hasher_add(struct ste_hasher *h, const void *p, size_t n)
{
    EVP_DigestUpdate(h->ctx, p, n);
}

void ste_hasher_adds(struct ste_hasher *h, const char *s)
{
    ste_hasher_add(h, s, strlen(s) + 1);
}

void ste_hasher_addu(struct ste_hasher *h, uint64_t v)
{
    uint8_t b[8];
    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)(v >> (8 * i));
    ste_hasher_add(h, b, 8);
}

void ste_hasher_done(struct ste_hasher *h, uint8_t out[32])
{
    EVP_DigestFinal_ex(h->ctx, out, NULL);
    ste_disown(h->ctx, end_context);
    EVP_MD_CTX_free(h->ctx);
    ste_xfree(h);
}

void ste_hex(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = 0;
}

void ste_hasher_hex(struct ste_hasher *h, char out[65])
{
    uint8_t digest[32];
    ste_hasher_done(h, digest);
    ste_hex(digest, 32, out);
}

void ste_sha256(const void *p, size_t n, char out[65])
{
    struct ste_hasher *h = ste_hasher_new();
    ste_hasher_add(h, p, n);
    ste_hasher_hex(h, out);
}

uint64_t ste_hash_u64(const uint8_t digest[32])
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | digest[i];
    return v;
}

static void hash_strings(const char *first, va_list ap, uint8_t digest[32])
{
    struct ste_hasher *h = ste_hasher_new();
    for (const char *s = first; s; s = va_arg(ap, const char *))
        ste_hasher_adds(h, s);
    ste_hasher_done(h, digest);
}

struct ste_digits ste_digits(long long n)
{
    struct ste_digits d;
    snprintf(d.s, sizeof d.s, "%lld", n);
    return d;
}

struct ste_id ste_id_of(const char *first, ...)
{
    uint8_t digest[32];
    struct ste_id id;
    va_list ap;
    va_start(ap, first);
    hash_strings(first, ap, digest);
    va_end(ap);
    ste_hex(digest, STE_ID_LEN / 2, id.s);
    return id;
}

uint64_t ste_key_of(const char *first, ...)
{
    uint8_t digest[32];
    va_list ap;
    va_start(ap, first);
    hash_strings(first, ap, digest);
    va_end(ap);
    return ste_hash_u64(digest);
}

int ste_sha256_file(const char *path, char out[65], struct ste_err *err)
{
    int fd = ste_open(path, O_RDONLY);
    if (fd < 0)
        return ste_err_errno(err, "cannot open %s", path);
    struct ste_hasher *h = ste_hasher_new();
    size_t cap = 1 << 20;
    char *chunk = ste_xmalloc(cap);
    ssize_t n;
    while ((n = read(fd, chunk, cap)) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0)
            ste_hasher_add(h, chunk, (size_t)n);
        if (ste_cancelled())
            break;
    }
    int rc = n < 0 ? ste_err_errno(err, "cannot read %s", path) : n > 0 ? ste_cancel_check(err) : 0;
    ste_hasher_hex(h, out);
    ste_xfree(chunk);
    ste_close(fd);
    return rc;
}

int ste_git_hash_file(const char *path, char out[41], struct ste_err *err)
{
    struct ste_buf b = STE_BUF_INIT, all = STE_BUF_INIT;
    uint8_t digest[EVP_MAX_MD_SIZE];
    int rc = ste_file_read(path, (size_t)64 << 20, &b, err);
    ste_buf_addf(&all, "blob %zu", b.len);
    ste_buf_addc(&all, 0);
    ste_buf_add(&all, b.s, b.len);
    if (!rc && !EVP_Digest(all.s, all.len, digest, NULL, EVP_sha1(), NULL))
        rc = ste_err_set(err, STE_EFAIL, "libcrypto does not give the SHA-1 of %s", path);
    if (!rc)
        ste_hex(digest, 20, out);
    ste_buf_clear(&b);
    ste_buf_clear(&all);
    return rc;
}

/* "SIZE MTIME": what changes when the file does. */
static int state_of(const char *path, char state[64], struct ste_err *err)
{
    struct stat st;
    if (stat(path, &st))
        return ste_err_errno(err, "cannot open %s", path);
    snprintf(state, 64, "%" PRId64 " %" PRId64 ".%09ld", (int64_t)st.st_size, (int64_t)st.st_mtim.tv_sec,
             st.st_mtim.tv_nsec);
    return 0;
}

int ste_sha256_file_kept(const char *path, char out[65], struct ste_err *err)
{
    char state[64], line[160];
    int rc = state_of(path, state, err);
    if (rc)
        return rc;
    char *side = ste_xasprintf("%s.sha256", path);
    struct ste_buf b = STE_BUF_INIT;
    bool kept = ste_file_exists(side) && ste_file_read(side, 4096, &b, NULL) == 0 && b.len > 65 && b.s[64] == ' ' &&
                strspn(b.s, "0123456789abcdef") == 64;
    if (kept) {
        b.s[strcspn(b.s, "\n")] = 0;
        kept = strcmp(b.s + 65, state) == 0;
    }
    if (kept) {
        memcpy(out, b.s, 64);
        out[64] = 0;
    } else {
        rc = ste_sha256_file(path, out, err);
        if (!rc) {
            int n = snprintf(line, sizeof line, "%s %s\n", out, state);
            ste_file_write(side, line, (size_t)n, NULL); /* only a saving: a folder that is read-only does without */
        }
    }
    ste_buf_clear(&b);
    ste_xfree(side);
    return rc;
}

double ste_key_share(uint64_t key)
{
    return (double)(key >> 11) * 0x1p-53;
}
