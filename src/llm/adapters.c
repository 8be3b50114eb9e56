#include "llm/adapters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/process.h"

#define SAME 1e-4 /* log-probabilities this near are those of the same weights */

struct ste_served {
    char *folder; /* as the server sees it */
    char name[32], hash[65];
    int uses;
};

static bool is_llama(const struct ste_server *s)
{
    return s->dialect.api == STE_API_LLAMA_SERVER;
}

static bool by_command(const struct ste_server *s)
{
    return s->at.on_adapter.n > 0;
}

static const char *route(const struct ste_server *s, bool load)
{
    return s->dialect.api == STE_API_SGLANG ? load ? "/load_lora_adapter" : "/unload_lora_adapter"
           : load                           ? "/v1/load_lora_adapter"
                                            : "/v1/unload_lora_adapter";
}

/* ---- what an address has ---- */

/* llama-server's own id of an adapter; NULL: it was not started with it. */
static const json_t *item_of(const json_t *list, const struct ste_served *a)
{
    const json_t *found = NULL;
    char *gguf = ste_path_join(a->folder, "adapter.gguf");
    for (size_t i = 0; i < json_array_size(list) && !found; i++) {
        const json_t *item = json_array_get(list, i);
        const char *path = json_string_value(json_object_get(item, "path"));
        if (path && (strcmp(path, gguf) == 0 || strstr(path, a->name)))
            found = item;
    }
    ste_xfree(gguf);
    return found;
}

static int look_up(struct ste_server *s, size_t which, json_t **list, struct ste_err *err)
{
    long status;
    int rc = ste_server_call(s, which, is_llama(s) ? "/lora-adapters" : "/v1/models", NULL, list, &status, err);
    if (!rc && s->listed)
        json_array_set(s->listed, which, *list);
    return rc;
}

static int list_anew(struct ste_server *s, size_t which, struct ste_err *err)
{
    json_t *list;
    int rc = look_up(s, which, &list, err);
    json_decref(list);
    return rc;
}

/* 1: the address has it; 0: it has not. */
static int has(struct ste_server *s, const struct ste_served *a, size_t which, struct ste_err *err)
{
    json_t *list;
    int rc = look_up(s, which, &list, err);
    const json_t *data = json_object_get(list, "data");
    if (!rc && is_llama(s))
        rc = item_of(list, a) != NULL;
    for (size_t i = 0; rc == 0 && i < json_array_size(data); i++) {
        const char *id = json_string_value(json_object_get(json_array_get(data, i), "id"));
        rc = id && strcmp(id, a->name) == 0;
    }
    json_decref(list);
    return rc;
}

/* ---- giving it ---- */

static int load_at(struct ste_server *s, const struct ste_served *a, size_t which, struct ste_err *err)
{
    json_t *reply, *body = json_pack("{ssss}", "lora_name", a->name, "lora_path", a->folder);
    long status;
    struct ste_err why = {0};
    int rc = body ? ste_server_call(s, which, route(s, true), body, &reply, &status, &why)
                  : ste_err_set(err, STE_EUSAGE, "the adapter's folder %s is not UTF-8", a->folder);
    json_decref(body);
    if (!body)
        return rc;
    json_decref(reply);
    if (!rc || (status == 400 && strstr(why.msg, "already")))
        return 0;
    const char *mend = strstr(why.msg, "No adapter found") ? "; where the server sees the folder under another path, "
                                                             "adapter_root in a YAML file says so"
                       : status == 404 ? "; vLLM takes adapters with --enable-lora and the environment variable "
                                         "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"
                                       : "";
    return ste_err_set(err, why.code, "the adapter %s is not taken at %s: %s%s", a->folder, s->at.urls.items[which],
                       why.msg, mend);
}

static int run_command(struct ste_server *s, const struct ste_served *a, struct ste_err *err)
{
    const struct ste_strings *words = &s->at.on_adapter;
    char **argv = ste_xcalloc(words->n + 3, sizeof *argv);
    memcpy(argv, words->items, words->n * sizeof *argv);
    argv[words->n] = a->folder;
    argv[words->n + 1] = (char *)a->name;
    int rc = ste_process_run(argv, err);
    ste_xfree(argv);
    return rc && rc != STE_EINTERRUPTED ? ste_err_wrap(err, "%s: on_adapter", s->at.name) : rc;
}

/* Behind the command, as long as the patience goes. */
static int wait_for(struct ste_server *s, const struct ste_served *a, struct ste_err *err)
{
    const double until = ste_now() + s->at.patience;
    for (size_t i = 0; i < s->at.urls.n; i++) {
        int rc;
        while ((rc = has(s, a, i, err)) != 1) {
            if (rc != STE_EINTERRUPTED && ste_now() > until)
                return rc ? ste_err_wrap(err, "after on_adapter")
                          : ste_err_set(err, STE_EIO, "%s: on_adapter ended, and %s lists no %s %s", s->at.name,
                                        s->at.urls.items[i], is_llama(s) ? "adapter" : "model", a->name);
            if (rc == STE_EINTERRUPTED || (rc = ste_server_wait(s, 0.25, err)) != 0)
                return rc;
        }
    }
    return 0;
}

/* The addresses from FROM up to TO have it. FRESH: llama-server may have another one by the same path. */
static int give(struct ste_server *s, const struct ste_served *a, size_t from, size_t to, bool fresh,
                struct ste_err *err)
{
    int rc = 0;
    for (size_t i = from; i < to && rc == 0 && !by_command(s); i++)
        rc = load_at(s, a, i, err);
    if (!by_command(s))
        return rc;
    bool there = !fresh || !is_llama(s);
    for (size_t i = from; i < to && there; i++)
        there = (rc = has(s, a, i, err)) == 1;
    if (there || rc == STE_EINTERRUPTED)
        return there ? 0 : rc;
    rc = run_command(s, a, err);
    return rc ? rc : wait_for(s, a, err);
}

/* ---- is it in force? ---- */

static double apart(const float x[2], const float y[2])
{
    double most = 0;
    for (int i = 0; i < 2; i++)
        most = x[i] == y[i] ? most : fmax(most, fabs((double)x[i] - (double)y[i]));
    return most;
}

/* The base is asked before and behind it, so that what differs by itself, under a server's load, is no proof. */
static int prove(struct ste_server *s, int handle, size_t which, long *status, struct ste_err *err)
{
    static const char *const texts[] = {"Hi", "Which of the two answers is the better one, A or B?"};
    const char *folder = s->served[handle - 1].folder;
    double moved = 0, noise = 0;
    float p[3][2];
    if (s->dialect.way == STE_WAY_VOTE) {
        ste_warn("%s tells no log-probabilities, so nothing shows whether the adapter %s is in force", s->at.name,
                 folder);
        return 0;
    }
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
        for (int k = 0; k < 3; k++) {
            int rc = ste_server_labels(s, which, k == 1 ? handle : 0, texts[t], p[k], status, err);
            if (rc)
                return rc;
        }
        moved = fmax(moved, apart(p[0], p[1]));
        noise = fmax(noise, apart(p[0], p[2]));
    }
    return moved > SAME + 2 * noise
               ? 0
               : ste_err_set(err, STE_EIO, "%s answers with the adapter %s as without it: it is not in force there",
                             s->at.urls.items[which], folder);
}

/* ---- by handle ---- */

static int takes_none(const struct ste_server *s, const char *peft_dir, struct ste_err *err)
{
    const enum ste_api api = s->dialect.api;
    const char *why = !s->at.adapters         ? "its file says adapters: false"
                      : api == STE_API_VLLM   ? "vLLM does with --enable-lora and the environment variable "
                                                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"
                      : api == STE_API_SGLANG ? "SGLang does with --enable-lora"
                                              : "a command that restarts it with one can be named as on_adapter in a "
                                                "YAML file (docs/cluster.md)";
    return ste_err_set(err, STE_EUSAGE, "%s takes no adapters, such as %s: %s", s->at.name, peft_dir, why);
}

static char *real_path(const char *path)
{
    char *real = realpath(path, NULL);
    return real ? ste_xtake(real, 0) : NULL;
}

/* PEFT_DIR as the server sees it. */
static int find_folder(const struct ste_server *s, const char *peft_dir, char **out, struct ste_err *err)
{
    char *real = real_path(peft_dir), *root = s->at.adapter_root.n ? real_path(s->at.adapter_root.items[0]) : NULL;
    const size_t n = root ? strlen(root) : 0;
    int rc = 0;
    *out = NULL;
    if (!real)
        rc = ste_err_errno(err, "cannot read the adapter %s", peft_dir);
    else if (!s->at.adapter_root.n)
        *out = ste_xstrdup(real);
    else if (root && strncmp(real, root, n) == 0 && real[n] == '/')
        *out = ste_xasprintf("%s%s", s->at.adapter_root.items[1], real + n);
    else
        rc = ste_err_set(err, STE_EUSAGE, "%s: the adapter %s is not below %s, which adapter_root names", s->at.name,
                         real, s->at.adapter_root.items[0]);
    ste_xfree(real);
    ste_xfree(root);
    return rc;
}

/* A name for these bytes. */
static int identify(const struct ste_server *s, const char *peft_dir, struct ste_served *a, struct ste_err *err)
{
    static const char *const files[] = {"adapter_config.json", "adapter_model.safetensors"};
    struct ste_hasher *h = ste_hasher_new();
    int rc = 0;
    ste_hasher_adds(h, "ste served adapter 1");
    for (size_t i = 0; i < sizeof files / sizeof *files && !rc; i++) {
        char *path = ste_path_join(peft_dir, files[i]), hash[65];
        rc = ste_sha256_file(path, hash, err);
        ste_hasher_adds(h, rc ? "" : hash);
        ste_xfree(path);
    }
    ste_hasher_hex(h, a->hash);
    snprintf(a->name, sizeof a->name, "ste-%.16s", a->hash);
    char *gguf = ste_path_join(peft_dir, "adapter.gguf");
    if (!rc && is_llama(s) && !ste_file_exists(gguf))
        rc = ste_err_set(err, STE_EINPUT, "there is no %s, the form in which llama-server takes an adapter", gguf);
    ste_xfree(gguf);
    return rc ? rc : find_folder(s, peft_dir, &a->folder, err);
}

/* The place of the same bytes, or a free one. */
static int place_of(struct ste_server *s, const struct ste_served *a)
{
    for (int i = 0; i < s->n_served; i++)
        if (s->served[i].uses && strcmp(s->served[i].hash, a->hash) == 0)
            return i;
    for (int i = 0; i < s->n_served; i++)
        if (!s->served[i].uses)
            return i;
    s->served = ste_xrealloc(s->served, (size_t)(s->n_served + 1) * sizeof *s->served);
    s->served[s->n_served] = (struct ste_served){0};
    return s->n_served++;
}

int ste_server_load_adapter(struct ste_server *s, const char *peft_dir, int *handle, struct ste_err *err)
{
    struct ste_served a = {0};
    int rc = s->takes_adapters ? identify(s, peft_dir, &a, err) : takes_none(s, peft_dir, err);
    if (rc)
        return rc;
    const int at = place_of(s, &a);
    struct ste_served *here = &s->served[at];
    const bool fresh = !here->uses;
    ste_xfree(here->folder);
    a.uses = here->uses + 1;
    *here = a;
    s->patient = true;
    rc = give(s, here, 0, s->at.urls.n, fresh, err);
    s->patient = false;
    for (size_t i = 0; i < s->at.urls.n && !rc; i++)
        rc = ste_server_have_adapter(s, at + 1, i, err);
    if (rc)
        here->uses--;
    *handle = rc ? 0 : at + 1;
    return rc;
}

int ste_server_have_adapter(struct ste_server *s, int handle, size_t which, struct ste_err *err)
{
    long status = handle ? 404 : 0;
    int rc = 0;
    s->patient = true;
    if (!handle && s->listed)
        rc = list_anew(s, which, err);
    for (int try = 0; try < 2 && status == 404; try++) { /* a server may be started anew just then */
        status = 0;
        rc = give(s, &s->served[handle - 1], which, which + 1, false, err);
        if (!rc)
            rc = prove(s, handle, which, &status, err);
    }
    s->patient = false;
    return rc;
}

void ste_server_drop_adapter(struct ste_server *s, int handle)
{
    struct ste_served *a = &s->served[handle - 1];
    if (!a->uses || --a->uses || by_command(s))
        return;
    json_t *body = json_pack("{ss}", "lora_name", a->name);
    for (size_t i = 0; i < s->at.urls.n; i++)
        ste_server_try(s, i, route(s, false), body); /* one that stays is found by its name the next time */
    json_decref(body);
}

const char *ste_server_adapter_hash(const struct ste_server *s, int handle)
{
    return handle ? s->served[handle - 1].hash : "";
}

void ste_server_weights(const struct ste_server *s, int handle, size_t which, struct ste_weights *out)
{
    const struct ste_served *a = handle ? &s->served[handle - 1] : NULL;
    const json_t *list = json_array_get(s->listed, which), *mine = a && list ? item_of(list, a) : NULL;
    *out = (struct ste_weights){0};
    if (json_array_size(list)) { /* an empty list would ask for what the server was started with */
        json_t *scales = json_array();
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *item = json_array_get(list, i);
            json_array_append_new(
                scales, json_pack("{sOsf}", "id", json_object_get(item, "id"), "scale", item == mine ? 1.0 : 0.0));
        }
        out->lora = ste_json_canonical(scales);
        json_decref(scales);
    }
    if (a && !is_llama(s))
        out->model = s->dialect.api == STE_API_SGLANG && !by_command(s)
                         ? ste_xasprintf("%s:%s", s->dialect.model, a->name)
                         : ste_xstrdup(a->name);
}

void ste_weights_clear(struct ste_weights *w)
{
    ste_xfree(w->model);
    ste_xfree(w->lora);
    *w = (struct ste_weights){0};
}

/* ---- opening and closing ---- */

int ste_server_open_adapters(struct ste_server *s, struct ste_err *err)
{
    const enum ste_api api = s->dialect.api;
    s->takes_adapters = s->at.adapters && by_command(s);
    if (s->takes_adapters && is_llama(s))
        s->listed = json_array();
    int rc = 0;
    for (size_t i = 0; i < s->at.urls.n && s->listed && !rc; i++) {
        json_array_append_new(s->listed, json_array());
        rc = list_anew(s, i, err);
    }
    if (s->at.adapters && !by_command(s) && (api == STE_API_VLLM || api == STE_API_SGLANG)) {
        json_t *nothing = json_object();
        const long status = ste_server_try(s, 0, route(s, true), nothing);
        s->takes_adapters = status == 400 || status == 422; /* 404: there is no such route */
        json_decref(nothing);
    }
    return rc;
}

void ste_server_close_adapters(struct ste_server *s)
{
    for (int i = 0; i < s->n_served; i++) {
        if (s->served[i].uses) {
            s->served[i].uses = 1;
            ste_server_drop_adapter(s, i + 1);
        }
        ste_xfree(s->served[i].folder);
    }
    ste_xfree(s->served);
    json_decref(s->listed);
}
