#include "loop/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

struct cluster {
    size_t root, size;
    bool apart;
    struct ste_id key;
};

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct cluster *)a)->key.s, ((const struct cluster *)b)->key.s);
}

/* Clusters in an order drawn by the seed fill test, then dev; one that does not fit any more goes to train, so that a
 * large cluster cannot blow up a small part. */
void ste_loop_split(const char *const *ids, const size_t *cluster_of, const bool *apart, size_t n, double dev,
                    double test, uint64_t seed, const char **split)
{
    char key[32];
    snprintf(key, sizeof key, "%llu", (unsigned long long)seed);
    struct cluster *clusters = ste_xcalloc(n + 1, sizeof *clusters);
    size_t *size = ste_xcalloc(n + 1, sizeof *size), *others = ste_xcalloc(n + 1, sizeof *others), sum[2] = {0, 0};
    const char **part = ste_xcalloc(n + 1, sizeof *part);
    size_t n_clusters = 0;
    for (size_t i = 0; i < n; i++) {
        size[cluster_of[i]]++;
        others[cluster_of[i]] += !apart[i];
    }
    for (size_t i = 0; i < n; i++)
        if (cluster_of[i] == i) {
            clusters[n_clusters++] = (struct cluster){i, size[i], !others[i], ste_id_of("split", key, ids[i], NULL)};
            sum[!others[i]] += size[i];
        }
    qsort(clusters, n_clusters, sizeof *clusters, by_key);
    size_t want_test[2], want_dev[2];
    for (int a = 0; a < 2; a++) {
        want_test[a] = (size_t)floor(test * (double)sum[a] + 0.5);
        want_dev[a] = (size_t)floor(dev * (double)sum[a] + 0.5);
    }
    for (size_t c = 0; c < n_clusters; c++) {
        struct cluster *k = &clusters[c];
        if (k->size <= want_test[k->apart]) {
            part[k->root] = "test";
            want_test[k->apart] -= k->size;
        } else if (k->size <= want_dev[k->apart]) {
            part[k->root] = "dev";
            want_dev[k->apart] -= k->size;
        } else {
            part[k->root] = "train";
        }
    }
    for (size_t i = 0; i < n; i++)
        split[i] = part[cluster_of[i]];
    ste_xfree(clusters);
    ste_xfree(size);
    ste_xfree(others);
    ste_xfree(part);
}

struct candidate {
    size_t index;
    struct ste_id key;
};

static int candidate_by_key(const void *a, const void *b)
{
    return strcmp(((const struct candidate *)a)->key.s, ((const struct candidate *)b)->key.s);
}

void ste_loop_balance(const char *const *ids, const char *labels, size_t n, const char *key, double share,
                      double deviations, bool *keep, size_t *a, size_t *b)
{
    size_t count[2] = {0, 0}, most[2];
    for (size_t i = 0; i < n; i++)
        count[labels[i] == 'B']++;
    *a = most[0] = count[0];
    *b = most[1] = count[1];
    for (;;) {
        const double of = (double)(most[0] + most[1]), over = (double)most[0] - share * of;
        if (fabs(over) <= deviations * sqrt(of * share * (1 - share)))
            break;
        most[over < 0]--;
    }
    struct candidate *order = ste_xcalloc(n + 1, sizeof *order);
    for (size_t i = 0; i < n; i++)
        order[i] = (struct candidate){i, ste_id_of("balance", key, ids[i], NULL)};
    qsort(order, n, sizeof *order, candidate_by_key);
    size_t taken[2] = {0, 0};
    for (size_t k = 0; k < n; k++) {
        size_t i = order[k].index;
        int class = labels[i] == 'B';
        keep[i] = taken[class] < most[class];
        taken[class] += keep[i];
    }
    ste_xfree(order);
}
