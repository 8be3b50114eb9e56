#include "judge/session.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "llm/cache.h"
#include "llm/endpoint.h"
#include "llm/meter.h"

/* clang-format off */
#define OPTIONS_OF struct ste_judge_sampling
const struct ste_option ste_judge_sampling_options[] = {
    STE_REAL("temperature", temperature, "0.7", 0, 5, "of judgments that are drawn: in the loop, and votes"),
    STE_REAL("top_p", top_p, "0.9", 0.01, 1, "of their reasoning; in the loop the label is drawn without it"),
    STE_INT("max_tokens", max_tokens, "0", 0, 1 << 20, "longest reasoning; 0: the pack's"),
    {0},
};
#undef OPTIONS_OF
#define OPTIONS_OF struct ste_judge_options
const struct ste_option ste_judge_options[] = {
    STE_STRING("pack", pack, NULL, "PACK",
               "prompt pack: paper, small, direct, a YAML file (default: the run's, else direct)"),
    STE_INT("seed", seed, "0", 0, 9e15, "of fences, samples and intervals"),
    STE_INT("votes", votes, "0", 0, 4096, "the majority of N samples, half in each order"),
    STE_BOOL("all_votes", all_votes, NULL, "also votes that can change nothing any more"),
    STE_TABLE("", sampling, ste_judge_sampling_options),
    STE_STRING("rubric", rubric, NULL, "FILE", "a text in place of the pack's criteria"),
    STE_BOOL("reference", reference, NULL, "show each row's reference answers (reference or references)"),
    STE_CHOICE("score", score, "verdict", STE_NAMES("verdict", "likelihood", "logits"),
               "likelihood: as a judge written likelihood:JUDGE; eval also has logits: the log-odds of both orders, "
               "and how calibrated they are"),
    STE_CHOICE("normalise", normalise, "even", ste_normalise_names,
               "of likelihoods: what the prompt adds, by the fourth root of the answer's tokens, a token or in all, or "
               "that behind the prompt alone"),
    STE_BOOL("end_of_turn", end_of_turn, NULL, "of likelihoods: the end of the answer counts too"),
    STE_STRING("base", base, NULL, "MODEL",
               "of an adapter's folder: the model that it is for (default: the one that its adapter_config.json names)"),
    STE_BOOL("no_cache", no_cache, NULL, "do not use the cache of answers"),
    STE_TABLE("", engine, ste_llm_options),
    {0},
};
/* clang-format on */

/* What only a judge can be told that is asked something. */
static bool says_how_to_ask(const struct ste_judge_options *o)
{
    return o->votes || o->rubric || o->reference || o->pack;
}

int ste_judge_options_check(const struct ste_judge_options *o, struct ste_err *err)
{
    if (o->score == STE_SCORE_LOGITS)
        return ste_err_set(err, STE_EUSAGE, "--score logits is a figure of `ste eval`; here there is likelihood");
    if (o->score == STE_SCORE_LIKELIHOOD && says_how_to_ask(o))
        return ste_err_set(
            err, STE_EUSAGE,
            "--score likelihood asks nothing: it goes without --pack, --rubric, --reference and --votes");
    if (o->votes % 2)
        return ste_err_set(err, STE_EUSAGE, "--votes %lld: an even number, since each order gets half of them",
                           o->votes);
    return 0;
}

/* Without the line ends behind it: the pack says what follows. */
static int read_rubric(struct ste_session *j, const char *path, struct ste_err *err)
{
    struct ste_buf text = STE_BUF_INIT;
    int rc = ste_file_read(path, 1 << 20, &text, err);
    if (!rc && text.len && (ste_utf8_bad(text.s, text.len) < text.len || memchr(text.s, 0, text.len)))
        rc = ste_err_set(err, STE_EINPUT, "%s is no UTF-8 text", path);
    while (!rc && text.len && strchr("\r\n \t", text.s[text.len - 1]))
        text.s[--text.len] = 0;
    if (!rc && !text.len)
        rc = ste_err_set(err, STE_EINPUT, "%s is empty; it must say by what to judge", path);
    if (rc)
        ste_buf_clear(&text);
    else
        j->rubric = ste_buf_detach(&text);
    return rc;
}

static int set_likelihood(struct ste_session *j, const struct ste_judge_options *o, bool beside, struct ste_err *err)
{
    if (o->score == STE_SCORE_LIKELIHOOD && j->spec.reward)
        return ste_err_set(err, STE_EUSAGE, "%s is a reward model; --score likelihood takes a model that writes text",
                           j->name);
    j->spec.likelihood |= o->score == STE_SCORE_LIKELIHOOD;
    if (!j->spec.likelihood && !beside && (o->normalise != STE_NORMALISE_EVEN || o->end_of_turn))
        return ste_err_set(err, STE_EUSAGE, "--normalise and --end-of-turn are for --score likelihood; add that");
    j->likelihood.end = o->end_of_turn;
    j->likelihood.normalise = o->normalise;
    return 0;
}

static int open_judge(struct ste_session *j, const char *judge, const struct ste_judge_options *o,
                      enum ste_judge_use use, struct ste_err *err)
{
    const bool scoring = use == STE_JUDGE_SCORES, beside = use == STE_JUDGE_BESIDE;
    *j = (struct ste_session){.name = judge};
    int rc = ste_judge_spec_parse(&j->spec, judge, err);
    if (!rc)
        rc = ste_judge_spec_base(&j->spec, beside && !j->spec.named_by ? NULL : o->base,
                                 "--base MODEL says which it is: a catalogue name, a .gguf path or a folder", err);
    if (!rc)
        rc = set_likelihood(j, o, beside, err);
    if (rc)
        return rc;
    if (j->spec.reward || j->spec.likelihood)
        return scoring || (says_how_to_ask(o) && !beside)
                   ? ste_err_set(err, STE_EUSAGE,
                                 "%s is %s, which is asked nothing: --pack, --rubric, --reference, --votes and "
                                 "`ste score` are for judges",
                                 judge, j->spec.reward ? "a reward model" : "a judge by likelihood")
                   : 0;
    const char *pack = o->pack ? o->pack : j->spec.pack ? j->spec.pack : "direct";
    rc = ste_pack_load(&j->pack, pack, j->spec.pack_folder, err);
    if (!rc)
        rc = ste_judge_can_show(j->pack, scoring, o->rubric, o->reference, err);
    if (!rc && o->rubric)
        rc = read_rubric(j, o->rubric, err);
    if (rc)
        return rc;
    j->secret = ste_xstrdup(ste_id_of("evaluation", ste_digits(o->seed).s, NULL).s);
    j->setting = (struct ste_judge_setting){.pack = j->pack,
                                            .secret = j->secret,
                                            .mode = j->pack->mode,
                                            .sampling = {.temperature = 0, .top_p = 1},
                                            .max_tokens = (int)o->sampling.max_tokens,
                                            .seed = (uint64_t)o->seed,
                                            .rubric = j->rubric};
    if (o->votes) {
        j->votes = (int)o->votes / 2;
        j->all_votes = o->all_votes;
        j->setting.sampling = (struct ste_sampling){.temperature = o->sampling.temperature, .top_p = o->sampling.top_p};
        j->setting.sample_label = true;
    }
    if (!o->pack && j->spec.mode != STE_MODE_PACK)
        j->setting.mode = j->spec.mode;
    return 0;
}

int ste_session_open(struct ste_session *j, const char *judge, const struct ste_judge_options *o,
                     enum ste_judge_use use, struct ste_err *err)
{
    int rc = open_judge(j, judge, o, use, err);
    if (rc)
        ste_session_close(j);
    return rc;
}

/* By files, or counted. */
static int load_batch(struct ste_session *j, const char *cache, const char *spent, struct ste_err *err)
{
    if (j->spec.reward)
        return ste_err_set(err, STE_EUSAGE, "%s is a reward model, which is asked nothing", j->name);
    if (j->votes && !j->all_votes && (j->batch->in || j->batch->out))
        return ste_err_set(err, STE_EUSAGE, "requests by files are made before any vote is known: add --all-votes");
    int rc = ste_batch_open(&j->llm, j->spec.model, j->batch, spent, err);
    if (!rc && cache && spent)
        j->llm = ste_cache_wrap(j->llm, cache);
    return rc;
}

int ste_session_load(struct ste_session *j, const struct ste_judge_options *o, struct ste_err *err)
{
    struct ste_llm_params how = o->engine;
    if (!how.chat_template || !*how.chat_template)
        how.chat_template = j->spec.chat_template;
    if (!how.chat_date || !*how.chat_date)
        how.chat_date = j->spec.chat_date;
    if (j->spec.reward && !j->batch)
        return ste_reward_open(&j->reward, j->spec.model, j->spec.adapter, &how, err);
    char *cache = o->no_cache ? NULL : ste_cache_at_home(),
         *spent = ste_endpoint_is(j->spec.model) ? ste_home_path("spent.db") : NULL;
    j->cached = cache != NULL;
    how.cache = cache;
    how.spent = spent;
    int rc = j->batch ? load_batch(j, cache, spent, err)
                      : ste_llm_open_with(&j->llm, j->spec.model, j->spec.adapter, &how, &j->setting.adapter, err);
    j->likelihood.adapter = j->setting.adapter;
    ste_xfree(cache);
    ste_xfree(spent);
    return rc;
}

/* What a server took, whatever came of it. */
static void say_spent(const struct ste_session *j)
{
    struct ste_llm_spent s;
    struct ste_buf text = STE_BUF_INIT;
    if (!ste_llm_spent(j->llm, &s) || !s.now.requests)
        return;
    ste_spent_text(&s, &text);
    ste_info("%s: %s", j->name, text.s);
    ste_buf_clear(&text);
}

void ste_session_close(struct ste_session *j)
{
    if (j->llm) {
        say_spent(j);
        ste_llm_close(j->llm);
    }
    ste_reward_close(j->reward);
    ste_pack_free(j->pack);
    ste_judge_spec_clear(&j->spec);
    ste_xfree(j->secret);
    ste_xfree(j->rubric);
    *j = (struct ste_session){0};
}

const char *ste_session_pack_name(const struct ste_session *j)
{
    return j->pack ? j->pack->name : "none";
}

char *ste_session_title(const struct ste_session *j)
{
    return j->pack ? ste_xasprintf("%s with pack %s", j->name, j->pack->name)
                   : ste_xasprintf("%s, %s", j->name, j->reward ? "a reward model" : "by likelihood");
}

json_t *ste_session_provenance(const struct ste_session *j)
{
    json_t *p = json_object();
    json_object_set_new(p, "model", json_string(j->spec.model));
    if (j->spec.run)
        json_object_set_new(p, "in_training", json_integer((json_int_t)j->in_training));
    if (j->reward) {
        json_object_set_new(p, "model_hash", json_string(ste_reward_model_hash(j->reward)));
        json_object_set_new(p, "adapter_hash", json_string(ste_reward_hash(j->reward)));
        json_object_set_new(p, "mode", json_string("reward model"));
        return p;
    }
    json_object_set_new(p, "model_hash", json_string(ste_llm_about(j->llm)->model_hash));
    json_object_set_new(p, "adapter_hash", json_string(ste_llm_adapter_hash(j->llm, j->setting.adapter)));
    if (j->spec.likelihood) {
        json_object_set_new(p, "mode", json_string("likelihood"));
        json_object_set_new(p, "normalise", json_string(ste_normalise_names[j->likelihood.normalise]));
        json_object_set_new(p, "end_of_turn", json_boolean(j->likelihood.end));
        json_object_set_new(p, "numerics", json_string(ste_llm_about(j->llm)->numerics));
        return p;
    }
    json_object_set_new(p, "pack_hash", json_string(j->pack->hash));
    if (j->rubric) {
        char hash[65];
        ste_sha256(j->rubric, strlen(j->rubric), hash);
        json_object_set_new(p, "rubric_hash", json_string(hash));
    }
    json_object_set_new(p, "mode", json_string(ste_mode_names[j->setting.mode]));
    json_object_set_new(p, "max_tokens",
                        json_integer(j->setting.max_tokens ? j->setting.max_tokens : j->pack->max_tokens));
    json_object_set_new(p, "seed", json_integer((json_int_t)j->setting.seed));
    if (j->votes > 1) {
        json_object_set_new(p, "votes", json_integer(2 * j->votes));
        json_object_set_new(p, "temperature", json_real(j->setting.sampling.temperature));
        json_object_set_new(p, "top_p", json_real(j->setting.sampling.top_p));
    }
    json_object_set_new(p, "numerics", json_string(ste_llm_about(j->llm)->numerics));
    return p;
}

void ste_session_usage(const struct ste_session *j, json_t *about)
{
    struct ste_llm_spent s;
    if (j->llm && ste_llm_spent(j->llm, &s))
        json_object_set_new(about, "usage", ste_spent_json(&s));
}

void ste_session_about(const struct ste_session *j, json_t *about)
{
    json_object_set_new(about, "judge", json_string(j->name));
    json_object_set_new(about, "pack", json_string(ste_session_pack_name(j)));
    json_object_set_new(about, "provenance", ste_session_provenance(j));
    ste_session_usage(j, about);
}
