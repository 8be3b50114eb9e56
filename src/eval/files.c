#include "eval/files.h"

#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "eval/contamination.h"
#include "eval/scored.h"

/* Roughly, from the lengths of the texts and a short measurement (0: there is none to be had); a judge of a few pairs
 * is not worth one. */
#define PAIRS_WORTH_AN_ESTIMATE 10

static int estimate(struct ste_session *j, const struct ste_pair_files *p, int limit, double *seconds,
                    struct ste_err *err)
{
    struct ste_llm_speed speed;
    int rc = ste_llm_speed(j->llm, &speed, err);
    *seconds = 0;
    if (rc || !(speed.read > 0))
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
    double pairs = (double)p->pairs, votes = j->votes > 1 ? j->votes : 1,
           read = chars / STE_CHARS_PER_TOKEN + 2 * pairs * STE_TEMPLATE_TOKENS;
    *seconds = read / speed.read + 2 * pairs * STE_LENGTH_SHARE * votes * limit / speed.written;
    return 0;
}

int ste_eval_pairs(struct ste_session *j, const struct ste_answer_pairs *pairs, bool both, struct ste_outcome *out,
                   struct ste_progress *progress, struct ste_err *err)
{
    if (j->reward)
        return ste_reward_pairs(j->reward, &(struct ste_judging){.progress = progress}, pairs, out, err);
    if (j->spec.likelihood)
        return ste_likelihood_pairs(j->llm, &j->likelihood, pairs, out, progress, err);
    const struct ste_eval_setting votes = {.votes = j->votes, .all_votes = j->all_votes};
    const struct ste_judging judging = {
        .llm = j->llm, .judge = &j->setting, .setting = &votes, .one_order = !both, .progress = progress};
    return ste_judge_pairs(&judging, pairs, out, err);
}

size_t ste_eval_calls(const struct ste_session *j, size_t pairs, bool both)
{
    if (j->spec.likelihood)
        return pairs * (size_t)ste_likelihood_texts(j->likelihood.normalise);
    return pairs * (both || j->spec.reward ? 2 : 1) * (size_t)(j->votes > 1 ? j->votes : 1);
}

/* Pairs that ask what the judge was trained on are judged, and said. */
static void check_training(struct ste_session *j, const struct ste_pair_files *p)
{
    struct ste_err why = {0};
    size_t *counts = ste_xcalloc(p->n + 1, sizeof *counts);
    j->in_training = 0;
    if (j->spec.run && ste_in_training(j->spec.run, p->files, p->n, counts, &why)) {
        ste_warn("whether the pairs are like what %s was trained on is not known: %s", j->name, why.msg);
        ste_xfree(j->spec.run);
        j->spec.run = NULL;
    }
    for (size_t i = 0; i < p->n && j->spec.run; i++) {
        j->in_training += counts[i];
        if (counts[i])
            ste_warn(
                "%s: %zu of %zu pairs have a prompt like one that %s was trained on; figures with them are too good",
                p->files[i].path, counts[i], p->files[i].n, j->name);
    }
    ste_xfree(counts);
}

int ste_eval_files(struct ste_session *j, const struct ste_pair_files *p, bool more, struct ste_outcome ***outcomes,
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
        if (seconds > 0)
            snprintf(time, sizeof time, "; about %.0f %s%s%s", seconds < 100 ? seconds : seconds / 60,
                     seconds < 100 ? "seconds" : "minutes", j->cached ? " unless answered before" : "",
                     more ? ", and as long again for the second judge" : "");
    }
    const size_t calls = ste_eval_calls(j, p->pairs, true);
    char *title = ste_session_title(j);
    if (j->pack)
        ste_info("%s: %zu pairs in both orders, %s%zu calls, %s%s", title, p->pairs, j->votes > 1 ? "at most " : "",
                 calls, reasoning, time);
    else
        ste_info("%s: %zu pairs%s", title, p->pairs, time);
    ste_xfree(title);
    struct ste_outcome **out = ste_xcalloc(p->n ? p->n : 1, sizeof *out);
    struct ste_progress *progress = ste_progress_new("judge", "verdicts", calls);
    for (size_t i = 0; i < p->n && !rc; i++) {
        out[i] = ste_xcalloc(p->files[i].n, sizeof *out[i]);
        rc = ste_eval_pairs(j, &p->files[i], true, out[i], progress, err);
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
        ste_xfree(outcomes[i]);
    }
    ste_xfree(outcomes);
}
