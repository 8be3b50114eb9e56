#include "cli/judging.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/opening.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "data/verifiable.h"
#include "loop/loop.h"

/* What only a judge can be told that is asked something. */
static bool says_how_to_ask(const struct ste_judging_flags *f)
{
    return f->votes || f->rubric || f->reference || f->pack;
}

int ste_judging_flags_check(const struct ste_judging_flags *f, struct ste_err *err)
{
    enum ste_normalise normalise;
    if (f->score && strcmp(f->score, "likelihood") != 0)
        return ste_err_set(err, STE_EUSAGE, "--score %s: there is likelihood, and logits in `ste eval`", f->score);
    if (f->score && says_how_to_ask(f))
        return ste_err_set(
            err, STE_EUSAGE,
            "--score likelihood asks nothing: it goes without --pack, --rubric, --reference and --votes");
    if (f->normalise && ste_normalise_by_name(f->normalise, &normalise, err))
        return STE_EUSAGE;
    if (f->limit < 0)
        return ste_err_set(err, STE_EUSAGE, "--limit must not be negative");
    if (f->seed < 0)
        return ste_err_set(err, STE_EUSAGE, "--seed must not be negative");
    if (f->sample < 0 || (f->sample && f->limit))
        return ste_err_set(err, STE_EUSAGE, "--sample must not be negative, and goes without --limit");
    if (f->votes < 0 || f->votes > 4096 || f->votes % 2)
        return ste_err_set(err, STE_EUSAGE,
                           "--votes %lld: an even number up to 4096, since each order gets half of them", f->votes);
    if (!(f->temperature >= 0 && f->temperature <= 5) || !(f->top_p > 0 && f->top_p <= 1))
        return ste_err_set(err, STE_EUSAGE, "--temperature goes from 0 to 5, --top-p from above 0 to 1");
    if (f->max_tokens < 0 || f->max_tokens > 1 << 20)
        return ste_err_set(err, STE_EUSAGE, "--max-tokens must be a number from 1 to 1048576");
    return 0;
}

/* Without the line ends behind it: the pack says what follows. */
static int read_rubric(struct ste_open_judge *j, const char *path, struct ste_err *err)
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

static int set_likelihood(struct ste_open_judge *j, const struct ste_judging_flags *f, struct ste_err *err)
{
    if (f->score && j->spec.reward)
        return ste_err_set(err, STE_EUSAGE, "%s is a reward model; --score likelihood takes a model that writes text",
                           j->name);
    j->spec.likelihood |= f->score != NULL;
    if (!j->spec.likelihood && !f->several && (f->normalise || f->end_of_turn))
        return ste_err_set(err, STE_EUSAGE, "--normalise and --end-of-turn are for --score likelihood; add that");
    j->likelihood.end = f->end_of_turn;
    return f->normalise ? ste_normalise_by_name(f->normalise, &j->likelihood.normalise, err) : 0;
}

int ste_judge_open(struct ste_open_judge *j, const char *judge, const struct ste_judging_flags *f, struct ste_err *err)
{
    *j = (struct ste_open_judge){.name = judge, .scoring = j->scoring};
    int rc = ste_judge_spec_parse(&j->spec, judge, err);
    if (!rc)
        rc = ste_judge_spec_base(&j->spec, f->several && !j->spec.named_by ? NULL : f->base,
                                 "--base MODEL says which it is: a catalogue name or a .gguf path", err);
    if (rc) {
        ste_judge_close(j);
        return rc;
    }
    if ((rc = set_likelihood(j, f, err)) || j->spec.reward || j->spec.likelihood) {
        if (!rc && (j->scoring || (says_how_to_ask(f) && !f->several)))
            rc = ste_err_set(err, STE_EUSAGE,
                             "%s is %s, which is asked nothing: --pack, --rubric, --reference, --votes and "
                             "`ste score` are for judges",
                             judge, j->spec.reward ? "a reward model" : "a judge by likelihood");
        if (rc)
            ste_judge_close(j);
        return rc;
    }
    const char *pack = f->pack ? f->pack : j->spec.pack ? j->spec.pack : "direct";
    rc = ste_pack_load(&j->pack, pack, j->spec.pack_folder, err);
    if (!rc)
        rc = ste_judge_can_show(j->pack, j->scoring, f->rubric, f->reference, err);
    if (!rc && f->rubric)
        rc = read_rubric(j, f->rubric, err);
    if (rc) {
        ste_judge_close(j);
        return rc;
    }
    char seed[32];
    snprintf(seed, sizeof seed, "%lld", f->seed);
    j->secret = ste_xstrdup(ste_id_of("evaluation", seed, NULL).s);
    j->setting = (struct ste_judge_setting){.pack = j->pack,
                                            .secret = j->secret,
                                            .mode = j->pack->mode,
                                            .sampling = {.temperature = 0, .top_p = 1},
                                            .max_tokens = (int)f->max_tokens,
                                            .seed = (uint64_t)f->seed,
                                            .rubric = j->rubric};
    if (f->votes) {
        j->evaluation.votes = (int)f->votes / 2;
        j->evaluation.all_votes = f->all_votes;
        j->setting.sampling = (struct ste_sampling){.temperature = f->temperature, .top_p = f->top_p};
        j->setting.sample_label = true;
    }
    if (!f->pack && j->spec.mode)
        j->setting.mode = strcmp(j->spec.mode, "free") == 0 ? STE_MODE_FREE : STE_MODE_CLOSED;
    return 0;
}

static int load_reward(struct ste_open_judge *j, const struct ste_judging_flags *f, struct ste_err *err)
{
    enum ste_isa isa;
    enum ste_activations activations;
    int rc = ste_isa_choose(f->engine.isa, &isa, err);
    if (!rc)
        rc = ste_activations_by_name(f->engine.activations ? f->engine.activations : "auto", false, &activations, err);
    if (rc)
        return rc;
    j->pool = ste_pool_new((int)f->engine.threads);
    return ste_reward_open(&j->reward, j->spec.model, j->spec.adapter, j->pool, isa, activations, err);
}

/* NULL, with a warning, where its folder cannot be made or written. */
static char *cache_path(void)
{
    struct ste_err why = {0};
    char *home = ste_home_path(NULL);
    const bool there = ste_mkdirs(home, &why) == 0 && ste_folder_try(home, &why) == 0;
    free(home);
    if (there)
        return ste_home_path("cache.db");
    ste_warn("%s; going on without the cache of answers (STE_HOME names another folder for it, --no-cache asks for "
             "none)",
             why.msg);
    return NULL;
}

int ste_judge_load(struct ste_open_judge *j, const struct ste_judging_flags *f, struct ste_err *err)
{
    if (j->spec.reward)
        return load_reward(j, f, err);
    char *cache = f->no_cache ? NULL : cache_path();
    j->cached = cache != NULL;
    int rc = ste_open_model(&j->llm, j->spec.model, j->spec.adapter, &f->engine, cache, &j->setting.adapter, err);
    j->likelihood.adapter = j->setting.adapter;
    free(cache);
    return rc;
}

void ste_judge_close(struct ste_open_judge *j)
{
    if (j->llm)
        ste_llm_close(j->llm);
    ste_reward_close(j->reward);
    ste_pool_free(j->pool);
    ste_pack_free(j->pack);
    ste_judge_spec_clear(&j->spec);
    free(j->secret);
    free(j->rubric);
    *j = (struct ste_open_judge){0};
}

#define VERIFIABLE_PAIRS 400

static void pairs_of_our_own(struct ste_pair_files *p, const struct ste_judging_flags *f)
{
    const long long n = f->limit ? f->limit : f->sample ? f->sample : VERIFIABLE_PAIRS;
    *p = (struct ste_pair_files){.files = ste_xcalloc(1, sizeof *p->files), .n = 1, .pairs = (size_t)n};
    ste_verifiable_pairs(&p->files[0], (size_t)n, (uint64_t)f->seed);
}

int ste_pair_files_read(struct ste_pair_files *p, const struct ste_strings *paths, enum ste_pairs_kind kind,
                        const struct ste_judging_flags *f, struct ste_err *err)
{
    if (kind == STE_PAIRS_VERIFIABLE) {
        pairs_of_our_own(p, f);
        return 0;
    }
    struct ste_strings names;
    *p = (struct ste_pair_files){.files = ste_xcalloc(paths->n ? paths->n : 1, sizeof *p->files)};
    int rc = ste_pairs_names(paths, &names, err);
    for (size_t i = 0; i < paths->n && !rc; i++) {
        rc = ste_answer_pairs_read(&p->files[i], paths->items[i], names.items[i], kind, (size_t)f->limit, err);
        p->n = i + 1;
        if (!rc && f->sample)
            ste_answer_pairs_sample(&p->files[i], (size_t)f->sample, (uint64_t)f->seed);
        if (!rc && f->reference)
            rc = ste_answer_pairs_references(&p->files[i], err);
        if (!rc && p->files[i].n == 0)
            rc = ste_err_set(err, STE_EINPUT, "%s has no row; it needs prompt, chosen and rejected in each line",
                             paths->items[i]);
        for (size_t k = 0; k < p->files[i].n && !rc; k++) {
            p->pairs += !p->files[i].items[k].tied || kind == STE_PAIRS_MTBENCH_VOTES;
            p->tied += p->files[i].items[k].tied;
        }
    }
    ste_strings_clear(&names);
    if (rc)
        ste_pair_files_clear(p);
    return rc;
}

void ste_pair_files_clear(struct ste_pair_files *p)
{
    for (size_t i = 0; i < p->n; i++)
        ste_answer_pairs_clear(&p->files[i]);
    free(p->files);
    *p = (struct ste_pair_files){0};
}

/* Roughly, from the lengths of the texts and a short measurement; a judge of a few pairs is not worth one. */
#define PAIRS_WORTH_AN_ESTIMATE 10

static int estimate(struct ste_open_judge *j, const struct ste_pair_files *p, int limit, double *seconds,
                    struct ste_err *err)
{
    struct ste_llm_speed speed;
    int rc = ste_llm_speed(j->llm, &speed, err);
    if (rc)
        return rc;
    double chars = 0;
    struct ste_buf text = STE_BUF_INIT;
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->files[i].n; k++) {
            const struct ste_answer_pair *pair = &p->files[i].items[k];
            if (pair->tied)
                continue;
            text.len = 0;
            ste_dialogue_text(&pair->prompt, &text);
            /* Answers twice in either case: in both orders, or behind the prompt and behind none. */
            chars += (double)(2 * (strlen(pair->first) + strlen(pair->second)) + text.len);
            if (j->pack)
                chars += (double)(2 * strlen(j->pack->judge_user) + text.len);
        }
    ste_buf_clear(&text);
    double pairs = (double)p->pairs, votes = j->evaluation.votes > 1 ? j->evaluation.votes : 1,
           read = chars / STE_CHARS_PER_TOKEN + 2 * pairs * STE_TEMPLATE_TOKENS;
    *seconds = read / speed.read + 2 * pairs * STE_LENGTH_SHARE * votes * limit / speed.written;
    return 0;
}

int ste_open_judge_pairs(struct ste_open_judge *j, const struct ste_answer_pairs *pairs, bool both,
                         struct ste_outcome *out, struct ste_progress *progress, struct ste_err *err)
{
    if (j->reward)
        return ste_reward_pairs(j->reward, pairs, out, progress, err);
    if (j->spec.likelihood) {
        j->likelihood.ask_ties = j->evaluation.ask_ties;
        return ste_likelihood_pairs(j->llm, &j->likelihood, pairs, out, progress, err);
    }
    const struct ste_judging judging = {
        .llm = j->llm, .judge = &j->setting, .setting = &j->evaluation, .one_order = !both, .progress = progress};
    return ste_judge_pairs(&judging, pairs, out, err);
}

const char *ste_judge_prompt_name(const struct ste_open_judge *j)
{
    return j->pack ? j->pack->name : "none";
}

char *ste_judge_title(const struct ste_open_judge *j)
{
    return j->pack ? ste_xasprintf("%s with pack %s", j->name, j->pack->name)
                   : ste_xasprintf("%s, %s", j->name, j->reward ? "a reward model" : "by likelihood");
}

size_t ste_judge_calls(const struct ste_open_judge *j, size_t pairs, bool both)
{
    if (j->spec.likelihood)
        return pairs * (size_t)ste_likelihood_texts(&j->likelihood);
    return pairs * (both || j->spec.reward ? 2 : 1) * (size_t)(j->evaluation.votes > 1 ? j->evaluation.votes : 1);
}

/* Pairs that ask what the judge was trained on are judged, and said. */
static void check_training(struct ste_open_judge *j, const struct ste_pair_files *p)
{
    struct ste_err why = {0};
    size_t *counts = ste_xcalloc(p->n + 1, sizeof *counts);
    j->in_training = 0;
    if (j->spec.run && ste_loop_in_training(j->spec.run, p->files, p->n, counts, &why)) {
        ste_warn("whether the pairs are like what %s was trained on is not known: %s", j->name, why.msg);
        free(j->spec.run);
        j->spec.run = NULL;
    }
    for (size_t i = 0; i < p->n && j->spec.run; i++) {
        j->in_training += counts[i];
        if (counts[i])
            ste_warn(
                "%s: %zu of %zu pairs have a prompt like one that %s was trained on; figures with them are too good",
                p->files[i].path, counts[i], p->files[i].n, j->name);
    }
    free(counts);
}

int ste_judge_files(struct ste_open_judge *j, const struct ste_pair_files *p, struct ste_outcome ***outcomes,
                    struct ste_err *err)
{
    char reasoning[64] = "the verdict at once", time[96] = "";
    int limit = 0, rc = 0;
    check_training(j, p);
    if (j->pack && (j->pack->reasoning || j->setting.mode == STE_MODE_FREE)) {
        limit = j->setting.max_tokens ? j->setting.max_tokens : j->pack->max_tokens;
        snprintf(reasoning, sizeof reasoning, "up to %d tokens of reasoning each", limit);
    }
    if (p->pairs >= PAIRS_WORTH_AN_ESTIMATE && !j->reward) {
        double seconds;
        rc = estimate(j, p, limit, &seconds, err);
        if (rc)
            return rc;
        snprintf(time, sizeof time, "; about %.0f %s%s%s", seconds < 100 ? seconds : seconds / 60,
                 seconds < 100 ? "seconds" : "minutes", j->cached ? " unless answered before" : "",
                 j->more ? ", and as long again for the second judge" : "");
    }
    const size_t calls = ste_judge_calls(j, p->pairs, true);
    char *title = ste_judge_title(j);
    if (j->pack)
        ste_info("%s: %zu pairs in both orders, %s%zu calls, %s%s", title, p->pairs,
                 j->evaluation.votes > 1 ? "at most " : "", calls, reasoning, time);
    else
        ste_info("%s: %zu pairs%s", title, p->pairs, time);
    free(title);
    struct ste_outcome **out = ste_xcalloc(p->n ? p->n : 1, sizeof *out);
    struct ste_progress *progress = ste_progress_new("judge", "verdicts", calls);
    for (size_t i = 0; i < p->n && !rc; i++) {
        out[i] = ste_xcalloc(p->files[i].n, sizeof *out[i]);
        rc = ste_open_judge_pairs(j, &p->files[i], true, out[i], progress, err);
    }
    ste_progress_end(progress);
    if (rc)
        ste_outcome_arrays_free(out, p);
    else
        *outcomes = out;
    return rc;
}

void ste_outcome_arrays_free(struct ste_outcome **outcomes, const struct ste_pair_files *p)
{
    for (size_t i = 0; outcomes && i < p->n; i++) {
        if (outcomes[i])
            ste_outcomes_clear(outcomes[i], p->files[i].n);
        free(outcomes[i]);
    }
    free(outcomes);
}

json_t *ste_judge_provenance(const struct ste_open_judge *j)
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
        json_object_set_new(p, "normalise", json_string(ste_normalise_name(j->likelihood.normalise)));
        json_object_set_new(p, "end_of_turn", json_boolean(j->likelihood.end));
        json_object_set_new(p, "numerics", json_string(ste_llm_about(j->llm)->numerics));
        return p;
    }
    json_object_set_new(p, "pack_hash", json_string(j->pack->hash));
    if (j->rubric) {
        char hash[65];
        uint8_t digest[32];
        ste_sha256(j->rubric, strlen(j->rubric), digest);
        ste_hex(digest, 32, hash);
        json_object_set_new(p, "rubric_hash", json_string(hash));
    }
    json_object_set_new(p, "mode", json_string(j->setting.mode == STE_MODE_FREE ? "free" : "closed"));
    json_object_set_new(p, "max_tokens",
                        json_integer(j->setting.max_tokens ? j->setting.max_tokens : j->pack->max_tokens));
    json_object_set_new(p, "seed", json_integer((json_int_t)j->setting.seed));
    if (j->evaluation.votes > 1) {
        json_object_set_new(p, "votes", json_integer(2 * j->evaluation.votes));
        json_object_set_new(p, "temperature", json_real(j->setting.sampling.temperature));
        json_object_set_new(p, "top_p", json_real(j->setting.sampling.top_p));
    }
    json_object_set_new(p, "numerics", json_string(ste_llm_about(j->llm)->numerics));
    return p;
}
