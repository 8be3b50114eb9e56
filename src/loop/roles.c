#include "loop/roles.h"

#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "data/catalogue.h"
#include "llm/endpoint.h"
#include "llm/local.h"
#include "loop/internal.h"
#include "store/run.h"

struct ste_loop_model {
    char *name;
    struct ste_llm *llm;
};

const char *ste_loop_role_name(enum ste_loop_role role)
{
    static const char *const names[STE_LOOP_N_ROLES] = {"label", "answer", "modify", "weaker", "judge"};
    return names[role];
}

void ste_loop_models_close(struct ste_loop *l)
{
    ste_reward_close(l->reward);
    l->reward = NULL;
    for (size_t i = 0; i < l->n_models; i++) {
        ste_llm_close(l->models[i].llm);
        ste_xfree(l->models[i].name);
    }
    ste_xfree(l->models);
    l->models = NULL;
    l->n_models = 0;
}

int ste_loop_pin(struct ste_loop *l, const char *kind, const char *name, const char *hash, struct ste_err *err)
{
    char *key = ste_xasprintf("%s %s", kind, name), *was = NULL;
    int rc = ste_store_meta(l->store, key, &was, err);
    if (rc == 0 && !was)
        rc = ste_store_meta_set(l->store, key, hash, err);
    else if (rc == 0 && strcmp(was, hash) != 0)
        rc = ste_err_set(err, STE_EINPUT,
                         "the %s %s is another one than when the run in %s began (its SHA-256 was %.12s and is "
                         "%.12s): put the old one back or give another folder with --run",
                         kind, name, ste_store_dir(l->store), was, hash);
    ste_xfree(was);
    ste_xfree(key);
    return rc;
}

static int open_model(struct ste_loop *l, const char *name, struct ste_llm **out, struct ste_err *err)
{
    for (size_t i = 0; i < l->n_models; i++)
        if (strcmp(l->models[i].name, name) == 0) {
            *out = l->models[i].llm;
            return 0;
        }
    struct ste_llm_params p = l->recipe.engine;
    char *answers = ste_endpoint_is(name) ? ste_run_answers(ste_store_dir(l->store)) : NULL,
         *spent = ste_run_spent(ste_store_dir(l->store));
    p.cache = *l->recipe.cache ? l->recipe.cache : answers; /* what a server answered is not asked again */
    p.spent = spent;
    struct ste_llm *llm = NULL;
    int rc = l->open_llm(&llm, name, &p, err);
    ste_xfree(answers);
    ste_xfree(spent);
    if (rc != 0)
        return rc;
    if ((rc = ste_loop_pin(l, "model", name, ste_llm_about(llm)->model_hash, err)) != 0) {
        ste_llm_close(llm);
        return rc;
    }
    l->models = ste_xrealloc(l->models, (l->n_models + 1) * sizeof *l->models);
    l->models[l->n_models++] = (struct ste_loop_model){ste_xstrdup(name), llm};
    *out = llm;
    return 0;
}

int ste_loop_seed(struct ste_loop *l, struct ste_role_model *out, struct ste_err *err)
{
    *out = (struct ste_role_model){.name = l->recipe.seed_model};
    return open_model(l, out->name, &out->llm, err);
}

struct ste_engine *ste_loop_seed_engine(const struct ste_role_model *seed, struct ste_err *err)
{
    struct ste_engine *e = ste_local_engine(seed->llm);
    if (!e)
        ste_err_set(err, STE_EUSAGE, "the seed %s is no model of this machine: it cannot be trained here", seed->name);
    return e;
}

/* NAME of the option models.ROLE or train.adapter; REWARD: a reward model is wanted. The caller clears SPEC, whatever
 * this returns. */
static int spec_of(struct ste_judge_spec *spec, const char *section, const char *key, const char *name, bool reward,
                   struct ste_err *err)
{
    if (ste_judge_spec_parse(spec, name, err) != 0)
        return ste_err_wrap(err, "%s.%s", section, key);
    if (reward && !spec->reward)
        return ste_err_set(err, STE_EUSAGE, "%s.%s: %s is no reward model, and train.objective is reward", section, key,
                           name);
    if (!reward && (spec->likelihood || spec->reward))
        return ste_err_set(err, STE_EUSAGE, "%s.%s: %s writes nothing; name a model, a RUN[:N] or an adapter that does",
                           section, key, name);
    return ste_judge_spec_base(spec, NULL, "put a catalogue name, a .gguf path or a folder there", err);
}

int ste_loop_start_adapter(const struct ste_recipe *r, char **folder, struct ste_err *err)
{
    struct ste_judge_spec spec = {0};
    char *base = NULL, *seed = NULL;
    *folder = NULL;
    if (!*r->adapter)
        return 0;
    int rc = spec_of(&spec, "train", "adapter", r->adapter, r->objective == STE_TRAIN_REWARD, err);
    if (rc == 0 && !spec.adapter)
        rc = ste_err_set(err, STE_EUSAGE, "train.adapter: %s is no adapter; name a RUN:N or an adapter's folder",
                         r->adapter);
    if (rc == 0)
        rc = ste_model_resolve(spec.model, &base, err);
    if (rc == 0)
        rc = ste_model_resolve(r->seed_model, &seed, err);
    if (rc == 0 && strcmp(base, seed) != 0)
        rc = ste_err_set(err, STE_EUSAGE, "train.adapter: %s is an adapter on %s, and models.seed is %s", r->adapter,
                         spec.model, r->seed_model);
    if (rc == 0)
        *folder = ste_xstrdup(spec.adapter);
    ste_judge_spec_clear(&spec);
    ste_xfree(base);
    ste_xfree(seed);
    return rc;
}

static const char *name_of(const struct ste_recipe *r, enum ste_loop_role role)
{
    const char *const names[STE_LOOP_N_ROLES] = {r->label_model, r->answer_model, r->modify_model, r->weaker_model,
                                                 r->judge_model};
    return names[role];
}

int ste_loop_check_adapters(const struct ste_recipe *r, struct ste_err *err)
{
    char *folder = NULL;
    int rc = ste_loop_start_adapter(r, &folder, err);
    ste_xfree(folder);
    for (int role = 0; rc == 0 && role < STE_LOOP_N_ROLES; role++) {
        struct ste_judge_spec spec = {0};
        if (*name_of(r, role))
            rc = spec_of(&spec, "models", ste_loop_role_name(role), name_of(r, role), false, err);
        ste_judge_spec_clear(&spec);
    }
    return rc;
}

/* What the judge writes is trained on, by its ids: a server must tell them, and they must be the seed's. */
static int check_ids(struct ste_loop *l, const struct ste_role_model *m, struct ste_err *err)
{
    /* Rules for digits and blank lines are what conversions of tokenizers lose. */
    static const char text[] =
        "\nNa\xc3\xafve? The better answer, of 2 in 1234 words, is\n\n1. one\n\n  2. two\n\n[[A]].";
    if (!ste_endpoint_is(m->name))
        return 0;
    struct ste_role_model seed = {0};
    int32_t *ids[2] = {NULL, NULL};
    size_t n[2];
    int rc = ste_llm_about(m->llm)->can & STE_CAN_TOKEN_IDS
                 ? ste_loop_seed(l, &seed, err)
                 : ste_err_set(err, STE_EUSAGE,
                               "models.judge: %s tells no token ids, and what the judge writes is trained on; take a "
                               "server that tells them (vllm, llama-server) or a model of this machine",
                               m->name);
    if (rc == 0)
        rc = ste_llm_tokenize(seed.llm, text, &ids[0], &n[0], err);
    if (rc == 0)
        rc = ste_llm_tokenize(m->llm, text, &ids[1], &n[1], err);
    /* A server may put a space before a text, as SentencePiece does; what stands here goes on from another. */
    if (rc == 0 &&
        ((n[0] != n[1] && n[0] + 1 != n[1]) || memcmp(ids[0], ids[1] + (n[1] - n[0]), n[0] * sizeof *ids[0]) != 0))
        rc = ste_err_set(err, STE_EUSAGE,
                         "models.judge: %s has other token ids than the seed %s, which is trained on what the judge "
                         "writes; take a server of the seed's family",
                         m->name, l->recipe.seed_model);
    ste_xfree(ids[0]);
    ste_xfree(ids[1]);
    return rc;
}

int ste_loop_role_model(struct ste_loop *l, enum ste_loop_role role, int iteration, struct ste_role_model *out,
                        struct ste_err *err)
{
    if (role == STE_LOOP_JUDGE && iteration > 1)
        return ste_loop_judge_after(l, iteration - 1, out, err);
    const char *name = name_of(&l->recipe, role);
    if (!*name)
        return ste_loop_seed(l, out, err);
    struct ste_judge_spec spec = {0};
    int rc = spec_of(&spec, "models", ste_loop_role_name(role), name, false, err);
    *out = (struct ste_role_model){.name = name};
    if (rc == 0)
        rc = open_model(l, spec.model, &out->llm, err);
    if (rc == 0 && spec.adapter)
        rc = ste_llm_load_adapter(out->llm, spec.adapter, &out->adapter, err);
    if (rc == 0 && spec.adapter)
        rc = ste_loop_pin(l, "adapter", name, ste_llm_adapter_hash(out->llm, out->adapter), err);
    ste_judge_spec_clear(&spec);
    return rc == 0 && role == STE_LOOP_JUDGE ? check_ids(l, out, err) : rc;
}

int ste_loop_provenance_of(struct ste_loop *l, const char *role, const struct ste_role_model *m, json_t *how,
                           int iteration, struct ste_id *id, struct ste_err *err)
{
    char *how_text = ste_json_canonical(how);
    json_decref(how);
    const struct ste_digits seed = ste_digits(l->recipe.seed);
    const char *adapter = *m->hash ? m->hash : ste_llm_adapter_hash(m->llm, m->adapter),
               *hash = ste_llm_about(m->llm)->model_hash;
    const char *numerics = ste_llm_about(m->llm)->numerics;
    *id = ste_id_of("provenance", role, m->name, hash, adapter, l->pack->hash, numerics, how_text, seed.s,
                    ste_digits(iteration).s, NULL);
    const struct ste_provenance_row row = {id->s,         role,     m->name,  hash,   adapter,
                                           l->pack->hash, numerics, how_text, seed.s, iteration};
    int rc = ste_put_provenance(l->store, &row, err);
    ste_xfree(how_text);
    return rc;
}

int ste_loop_provenance_plain(struct ste_loop *l, const char *role, json_t *how, struct ste_id *id, struct ste_err *err)
{
    char *text = how ? ste_json_canonical(how) : NULL;
    json_decref(how);
    *id = ste_id_of("provenance", role, text, NULL); /* without a text it ends the list */
    const struct ste_provenance_row row = {.id = id->s, .role = role, .sampling = text, .iteration = STE_NO_INT};
    int rc = ste_put_provenance(l->store, &row, err);
    ste_xfree(text);
    return rc;
}

int ste_loop_provenance(struct ste_loop *l, const char *role, const struct ste_role_model *m,
                        const struct ste_sampling *sampling, int max_tokens, const char *mode, int iteration,
                        struct ste_id *id, struct ste_err *err)
{
    json_t *how =
        json_pack("{s:f, s:i, s:f, s:f, s:i, s:s}", "temperature", sampling->temperature, "top_k", sampling->top_k,
                  "top_p", sampling->top_p, "min_p", sampling->min_p, "max_tokens", max_tokens, "mode", mode);
    return ste_loop_provenance_of(l, role, m, how, iteration, id, err);
}

void ste_loop_judge_setting(struct ste_loop *l, const struct ste_role_model *m, bool evaluation,
                            struct ste_judge_setting *out)
{
    const struct ste_recipe *r = &l->recipe;
    *out = (struct ste_judge_setting){
        .pack = l->pack,
        .secret = l->secret,
        .mode = ste_loop_mode(l),
        .sampling = {.temperature = evaluation ? r->eval_temperature : r->judge.temperature, .top_p = r->judge.top_p},
        .max_tokens = (int)r->judge.max_tokens,
        .sample_label = !evaluation,
        .seed = (uint64_t)r->seed,
        .adapter = m->adapter,
    };
}
