#include "judge/fence.h"

#include <stdbool.h>
#include <string.h>

#include "core/hash.h"

void ste_fence(const char *secret, const char *pair_id, const char *const *texts, size_t n, char out[STE_FENCE_LEN + 1])
{
    /* Ends: finite texts hold finitely many of the 2^32 strings, and the counter goes on until one is in none. */
    for (uint64_t counter = 0;; counter++) {
        struct ste_hasher *h = ste_hasher_new();
        uint8_t digest[32];
        ste_hasher_adds(h, "fence");
        ste_hasher_adds(h, secret);
        ste_hasher_adds(h, pair_id);
        ste_hasher_addu(h, counter);
        ste_hasher_done(h, digest);
        ste_hex(digest, STE_FENCE_LEN / 2, out);
        bool found = false;
        for (size_t i = 0; i < n && !found; i++)
            found = texts[i] && strstr(texts[i], out);
        if (!found)
            return;
    }
}
