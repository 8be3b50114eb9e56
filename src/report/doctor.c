#include "report/doctor.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "core/context.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/machine.h"
#include "core/mem.h"
#include "core/options.h"
#include "core/sandbox.h"
#include "engine/cpu/isa.h"
#include "loop/fits.h"
#include "report/fields.h"
#include "store/memo.h"

enum state { OK, WARNING, BROKEN };

struct findings {
    json_t *list;
    int broken;
};

/* SAYS belongs to this; MEND may be NULL. */
static void found(struct findings *f, const char *check, enum state state, char *says, const char *mend)
{
    static const char *const names[] = {"ok", "warning", "broken"};
    json_t *row = json_pack("{s:s, s:s, s:s, s:s}", "check", check, "state", names[state], "says", says, "mend",
                            state != OK && mend ? mend : "");
    json_array_append_new(f->list, row ? row
                                       : json_pack("{s:s, s:s, s:s, s:s}", "check", check, "state", names[state],
                                                   "says", "a name that is not UTF-8", "mend", ""));
    f->broken += state == BROKEN;
    ste_xfree(says);
}

static void look_at_cpu(struct findings *f)
{
    char name[128];
    enum ste_isa isa = STE_ISA_PORTABLE;
    ste_machine_cpu(name, sizeof name);
    ste_isa_choose(NULL, &isa, NULL);
    found(f, "cpu", isa == STE_ISA_PORTABLE ? WARNING : OK,
          ste_xasprintf("%s: kernels %s; generates with %s, trains with %s, gradients %s", *name ? name : "unknown",
                        ste_isa_name(isa), ste_activations_name(ste_cpu_activations(false)),
                        ste_activations_name(ste_cpu_activations(true)), ste_gradients_names[ste_cpu_gradients()]),
          "without AVX2 the portable kernels are many times slower: take a newer machine, or a virtual one that shows "
          "its processor's instructions");
}

static void look_at_cores(struct findings *f)
{
    struct ste_machine_cores c;
    ste_machine_cores(&c);
    const int best = c.quota > 0 && c.quota < c.allowed ? (c.quota < 1 ? 1 : (int)c.quota) : c.allowed;
    char quota[64] = "", *mend = ste_xasprintf("give --threads %d: more threads than cores wait for each other", best);
    if (c.quota > 0)
        snprintf(quota, sizeof quota, ", time for %.2g of them", c.quota);
    found(f, "cores", best < c.online ? WARNING : OK,
          ste_xasprintf("%d of %d may be used%s", c.allowed, c.online, quota), mend);
    ste_xfree(mend);
}

static void look_at_memory(struct findings *f)
{
    size_t whole, free;
    struct rlimit space;
    ste_machine_memory(&whole, &free);
    const bool limited = getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY;
    char limit[64] = "";
    if (limited)
        snprintf(limit, sizeof limit, ", address space limited to %.1f GB", (double)space.rlim_cur / 1e9);
    found(f, "memory", free < (size_t)1 << 30 || limited ? WARNING : OK,
          ste_xasprintf("%.1f GB, %.1f GB free%s", (double)whole / 1e9, (double)free / 1e9, limit),
          limited ? "`ulimit -v unlimited`: models are mapped, and the address space holds their files too"
                  : "a judge of 135M parameters takes 1 GB: end other programs, or give this container more");
}

static void look_at_disk(struct findings *f, const char *check, const char *folder, const char *mend)
{
    struct ste_err err = {0};
    struct statvfs v;
    if (ste_folder_try(folder, &err) != 0) {
        found(f, check, BROKEN, ste_xstrdup(err.msg), mend);
        return;
    }
    char *at = ste_xstrdup(folder); /* or the nearest folder above that is there */
    for (char *slash; statvfs(at, &v) != 0; *slash = 0)
        if (!(slash = strrchr(at, '/')) || slash == at)
            break;
    const double left = statvfs(*at ? at : "/", &v) == 0 ? (double)v.f_bavail * (double)v.f_frsize : 0;
    found(
        f, check, left < 2e9 ? WARNING : OK, ste_xasprintf("%s: %.1f GB free", folder, left / 1e9),
        "a model takes 0.1 to 30 GB and a run up to a few: free some space, or take another folder (STE_HOME, --run)");
    ste_xfree(at);
}

static void look_at_cache(struct findings *f)
{
    struct ste_memo_size m;
    struct ste_err err = {0};
    char *path = ste_home_path("cache.db");
    if (ste_memo_measure(path, &m, &err) != 0)
        found(f, "cache", BROKEN, ste_xstrdup(err.msg), "remove the file: it saves time, and nothing is lost with it");
    else
        found(f, "cache", m.bytes > (int64_t)20e9 ? WARNING : OK,
              ste_xasprintf("%lld answers, %.1f MB", (long long)m.answers, (double)m.bytes / 1e6),
              "`ste cache --prune`");
    ste_xfree(path);
}

/* A model that is here, by its size, or FULL by its bytes. */
static void look_at_model(struct findings *f, const struct ste_catalogue_entry *e, const char *path, bool full)
{
    struct stat st;
    char got[65] = "";
    struct ste_err err = {0};
    char *mend = ste_xasprintf("remove %s, then `ste pull %s`", path, e->name);
    if (stat(path, &st) != 0)
        found(f, "model", BROKEN, ste_xasprintf("%s cannot be read", path), mend);
    else if (!S_ISDIR(st.st_mode) && e->size && (uint64_t)st.st_size != e->size)
        found(f, "model", BROKEN,
              ste_xasprintf("%s: %s has %lld bytes where %llu are expected", e->name, path, (long long)st.st_size,
                            (unsigned long long)e->size),
              mend);
    else if (full && *e->sha256 && !S_ISDIR(st.st_mode) && ste_sha256_file(path, got, &err) != 0)
        found(f, "model", BROKEN, ste_xasprintf("%s: %s", e->name, err.msg), mend);
    else if (*got && strcmp(got, e->sha256) != 0)
        found(f, "model", BROKEN,
              ste_xasprintf("%s: %s has the SHA-256 %s where %s is expected", e->name, path, got, e->sha256), mend);
    else
        found(f, "model", OK,
              ste_xasprintf("%s: %s", e->name,
                            *got      ? "its SHA-256 is right"
                            : e->size ? "its size is right"
                                      : "here"),
              NULL);
    ste_xfree(mend);
}

static void look_at_models(struct findings *f, const struct ste_catalogue *c, bool full)
{
    size_t n = 0, done = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < c->n; i++) {
        char *path = ste_model_here(c->entries[i].name);
        n += path != NULL;
        bytes += path ? c->entries[i].size : 0;
        ste_xfree(path);
    }
    if (!n)
        found(f, "model", WARNING, ste_xstrdup("none is here yet"),
              "`ste pull smollm2-135m-instruct` fetches a small one, `ste models` lists all");
    struct ste_progress *p = full ? ste_progress_new("hash", "bytes", bytes) : NULL;
    for (size_t i = 0; i < c->n && done < n && !ste_cancelled(); i++) {
        char *path = ste_model_here(c->entries[i].name);
        if (path) {
            look_at_model(f, &c->entries[i], path, full);
            ste_progress_add(p, c->entries[i].size);
            done++;
        }
        ste_xfree(path);
    }
    if (p)
        ste_progress_end(p);
}

#define TOKENS 2048 /* of context: enough for most pairs */

static void look_at_fits(struct findings *f, const struct ste_catalogue *c)
{
    struct ste_fits fits;
    struct ste_buf judges = STE_BUF_INIT;
    size_t judge = 0, train = 0;
    if (ste_fits_find(&fits, c, TOKENS, NULL, NULL) != 0)
        return;
    for (size_t i = 0; i < fits.n; i++) {
        const struct ste_model_fit *m = &fits.models[i];
        const struct ste_catalogue_entry *e = ste_catalogue_find(c, m->name);
        if (m->problem && e && e->size)
            continue; /* its bytes were looked at */
        if (m->problem)
            found(f, "model", WARNING, ste_xasprintf("%s: %s", m->name, m->problem), "it cannot be used as it is");
        else if (m->judge.tokens) {
            train += m->train.tokens != 0;
            ste_buf_addf(&judges, "%s%s%s", judge++ ? ", " : "", m->name, m->train.tokens ? "" : " (not to train)");
        }
    }
    found(f, "fits", judge ? OK : WARNING,
          ste_xasprintf("with %d tokens %zu models can judge here and %zu of them be trained: %s", TOKENS, judge, train,
                        judge ? judges.s : "none"),
          "free some memory; `ste models --fits` says what each takes");
    ste_buf_clear(&judges);
    ste_fits_clear(&fits);
}

static void look_at_files(struct findings *f)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        found(f, "open files", files.rlim_cur < 1024 ? WARNING : OK,
              files.rlim_cur == RLIM_INFINITY ? ste_xstrdup("no limit")
                                              : ste_xasprintf("up to %llu", (unsigned long long)files.rlim_cur),
              "`ulimit -n 4096`: a server's questions take a connection each");
}

/* Which settings there are; never what they are. */
static void look_at_network(struct findings *f)
{
    static const char *const names[] = {"https_proxy",   "HTTPS_PROXY",   "http_proxy",   "all_proxy",
                                        "no_proxy",      "HF_TOKEN",      "HF_ENDPOINT",  "STE_INDEX_URL",
                                        "PIP_INDEX_URL", "SSL_CERT_FILE", "SSL_CERT_DIR", "STE_API_KEY"};
    struct ste_buf set = STE_BUF_INIT;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ste_setting(names[i]))
            ste_buf_addf(&set, "%s%s", set.len ? ", " : "", names[i]);
    found(f, "network", OK, ste_xasprintf("set: %s", set.len ? set.s : "no proxy, no token"), NULL);
    ste_buf_clear(&set);
}

static void look_at_sandbox(struct findings *f)
{
    static const char *const program[] = {"true", NULL};
    const struct ste_sandbox_limits limits = {.seconds = 5, .memory_mb = 512, .disk_mb = 16, .processes = 8};
    struct ste_err err = {0};
    struct ste_buf said = STE_BUF_INIT;
    int status = 0;
    const int rc = ste_sandbox_run(program, &limits, &status, &said, &err);
    if (said.len)
        ste_buf_cut(&said, strcspn(said.s, "\n"));
    if (rc == 0 && status == 0)
        found(f, "sandbox", OK, ste_xstrdup("bubblewrap runs code that models write (pair kind `verified`)"), NULL);
    else
        found(f, "sandbox", WARNING,
              ste_xasprintf("code that models write cannot be run: %s", rc         ? err.msg
                                                                        : said.len ? said.s
                                                                                   : "bwrap failed"),
              "only the pair kind `verified` needs it: install bubblewrap, and allow user namespaces");
    ste_buf_clear(&said);
}

json_t *ste_doctor(bool full, int *broken)
{
    struct findings f = {.list = json_array()};
    struct ste_catalogue c;
    struct ste_err err = {0};
    char *home = ste_home_path(NULL);
    look_at_cpu(&f);
    look_at_cores(&f);
    look_at_memory(&f);
    look_at_disk(&f, "home", home, "set STE_HOME to a folder that may be written");
    look_at_disk(&f, "folder", ".",
                 "runs are made in the current folder: go to one that may be written, or give --run");
    look_at_cache(&f);
    if (ste_catalogue_load(&c, &err) == 0) {
        look_at_models(&f, &c, full);
        look_at_fits(&f, &c);
        ste_catalogue_clear(&c);
    } else {
        found(&f, "catalogue", BROKEN, ste_xstrdup(err.msg), "mend or remove that file");
    }
    look_at_files(&f);
    look_at_network(&f);
    look_at_sandbox(&f);
    ste_xfree(home);
    *broken = f.broken;
    return f.list;
}

#define COLUMN 21 /* of what is said */

void ste_doctor_text(const json_t *list, struct ste_buf *out)
{
    size_t i;
    json_t *row;
    json_array_foreach(list, i, row)
    {
        ste_buf_addf(out, "%-8s %-11s ", ste_field_text(row, "state"), ste_field_text(row, "check"));
        ste_wrap(out, ste_field_text(row, "says"), COLUMN, COLUMN, 80);
        if (*ste_field_text(row, "mend")) {
            ste_buf_addf(out, "%*s-> ", COLUMN, "");
            ste_wrap(out, ste_field_text(row, "mend"), COLUMN + 3, COLUMN + 3, 80);
        }
    }
}
