#include "judge/judge.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "judge/fence.h"

#define FREE_TOKENS 2048   /* free mode with a pack that names no limit */
#define MIN_LABEL_MASS 0.5 /* DESIGN.md, contract 1 */

static const char *const verdict_names[] = {"A", "B", "invalid", "tie"};
static const char *const invalid_names[] = {"",          "cut off",         "no marker",         "low label mass",
                                            "transport", "prompt too long", "score is no number"};

const char *ste_verdict_name(enum ste_verdict v)
{
    return verdict_names[v];
}

const char *ste_invalid_name(enum ste_invalid r)
{
    return invalid_names[r];
}

int ste_verdict_parse(const char *name)
{
    for (int i = 0; name && i < STE_N_VERDICTS; i++)
        if (strcmp(verdict_names[i], name) == 0)
            return i;
    return -1;
}

void ste_judgment_clear(struct ste_judgment *j)
{
    ste_xfree(j->reasoning);
    *j = (struct ste_judgment){.verdict = STE_VERDICT_INVALID, .logprob_a = NAN, .logprob_b = NAN};
}

/*
 * Where reasoning ends in closed mode: at the text that both markers begin with ("[[" of "[[A]]" and "[[B]]"). Where
 * the closing words are the end of that text ("Verdict: [[" and " [["), it ends before them, so that they are not there
 * twice. Empty when the markers share nothing.
 */
static void reasoning_stop(const struct ste_pack *p, char *stop, size_t size)
{
    size_t n = 0;
    while (n + 1 < size && p->marker_a[n] && p->marker_a[n] == p->marker_b[n])
        n++;
    size_t closing = p->closing ? strlen(p->closing) : 0;
    if (closing < n && memcmp(p->marker_a + n - closing, p->closing, closing) == 0)
        n -= closing;
    memcpy(stop, p->marker_a, n);
    stop[n] = 0;
}

int ste_judge_can_show(const struct ste_pack *pack, bool scoring, bool rubric, bool references, struct ste_err *err)
{
    const char *section = scoring ? "score" : "judge", *user = scoring ? pack->score_user : pack->judge_user;
    if (!user)
        return ste_err_set(err, STE_EINPUT, "the pack %s has no score.user, the text that asks for a score",
                           pack->name);
    if (rubric && !strstr(user, "{{criteria}}"))
        return ste_err_set(err, STE_EINPUT, "the pack %s has no {{criteria}} in %s.user, where the rubric would stand",
                           pack->name, section);
    if (references && !strstr(user, "{{references}}"))
        return ste_err_set(err, STE_EINPUT,
                           "the pack %s has no {{references}} in %s.user, where reference answers would stand",
                           pack->name, section);
    return 0;
}

void ste_judge_texts(const struct ste_judge_setting *s, const struct ste_judge_material *m,
                     struct ste_judge_prompt *texts)
{
    const struct ste_pack *pack = s->pack;
    const bool scoring = !m->b;
    const size_t n_references = m->references ? m->references->n : 0;
    struct ste_buf request = STE_BUF_INIT, references = STE_BUF_INIT;
    ste_dialogue_text(m->prompt, &request);
    const char *user = scoring ? pack->score_user : pack->judge_user,
               *criteria = s->rubric ? s->rubric
                           : scoring ? pack->score_criteria
                                     : pack->judge_criteria,
               *block = scoring ? pack->score_reference : pack->judge_reference;
    char fence[STE_FENCE_LEN + 1];
    const char **inert = ste_xcalloc(6 + n_references, sizeof *inert);
    size_t n = 0;
    inert[n++] = request.s;
    inert[n++] = m->a;
    inert[n++] = m->b;
    inert[n++] = user;
    inert[n++] = pack->judge_system;
    inert[n++] = s->rubric;
    for (size_t i = 0; i < n_references; i++)
        inert[n++] = m->references->items[i];
    ste_fence(s->secret, m->pair_id, inert, n, fence);
    ste_xfree(inert);
    for (size_t i = 0; block && i < n_references; i++) {
        const struct ste_slot slots[] = {{"reference", m->references->items[i]}, {"fence", fence}};
        char *one = ste_pack_fill(block, slots, 2);
        ste_buf_adds(&references, one);
        ste_xfree(one);
    }
    const struct ste_slot slots[] = {{"prompt", request.s},
                                     {"response_a", m->a},
                                     {"response_b", m->b ? m->b : ""},
                                     {"response", m->a},
                                     {"criteria", criteria ? criteria : ""},
                                     {"references", references.s},
                                     {"fence", fence}};
    *texts = (struct ste_judge_prompt){0};
    if (pack->judge_system) {
        texts->owned[texts->n] = ste_xstrdup(pack->judge_system);
        texts->messages[texts->n] = (struct ste_message){"system", texts->owned[texts->n]};
        texts->n++;
    }
    texts->owned[texts->n] = ste_pack_fill(user, slots, sizeof slots / sizeof *slots);
    texts->messages[texts->n] = (struct ste_message){"user", texts->owned[texts->n]};
    texts->n++;
    ste_buf_clear(&request);
    ste_buf_clear(&references);
}

void ste_judge_ask_common(const struct ste_judge_setting *s, const struct ste_judge_material *m, int sample,
                          struct ste_judge_prompt *texts, struct ste_question *question)
{
    void *tag = question->tag;
    ste_judge_texts(s, m, texts);
    *question = (struct ste_question){.messages = texts->messages,
                                      .n_messages = texts->n,
                                      .adapter = s->adapter,
                                      .sampling = s->sampling,
                                      .seed = s->seed,
                                      .sample = sample,
                                      .tag = tag};
}

int ste_judge_max_tokens(const struct ste_judge_setting *s)
{
    const int named = s->max_tokens ? s->max_tokens : s->pack->max_tokens;
    if (s->mode == STE_MODE_FREE)
        return named ? named : FREE_TOKENS;
    return s->pack->reasoning ? named : 0;
}

void ste_judge_ask(const struct ste_judge_setting *s, const struct ste_judge_material *m, int sample,
                   struct ste_judge_prompt *texts, struct ste_question *question)
{
    const struct ste_pack *pack = s->pack;
    ste_judge_ask_common(s, m, sample, texts, question);
    question->max_tokens = ste_judge_max_tokens(s);
    if (s->mode == STE_MODE_FREE)
        return; /* no stop at a marker: a judge may quote one before it comes to its own */
    if (pack->reasoning) {
        reasoning_stop(pack, texts->stop, sizeof texts->stop);
        if (*texts->stop) {
            question->stops[question->n_stops++] = texts->stop;
        } else {
            question->stops[question->n_stops++] = pack->marker_a;
            question->stops[question->n_stops++] = pack->marker_b;
        }
    }
    question->closing = pack->closing;
    question->choices[0] = pack->label_a;
    question->choices[1] = pack->label_b;
    question->n_choices = 2;
    question->sample_choice = s->sample_label;
}

void ste_judge_prompt_clear(struct ste_judge_prompt *p)
{
    for (size_t i = 0; i < p->n; i++)
        ste_xfree(p->owned[i]);
    *p = (struct ste_judge_prompt){0};
}

/* True when nothing of substance follows: spaces, and the marks with which sentences and emphasis end. */
static bool ends_text(const char *rest)
{
    return rest[strspn(rest, " \t\r\n.!*_`\"')")] == 0;
}

/*
 * A free judgment's verdict. When all markers in the text name the same label, that is it. A judge that quotes a
 * marker (from an answer that planted one, or from the rubric) and then gives its own has both kinds in its text:
 * then the last marker counts if it closes the text, as the rubric asks; otherwise nothing says which one is meant.
 */
static enum ste_verdict read_markers(const struct ste_pack *pack, const char *text)
{
    const char *last_a = NULL, *last_b = NULL;
    for (const char *p = text; (p = strstr(p, pack->marker_a)); p++)
        last_a = p;
    for (const char *p = text; (p = strstr(p, pack->marker_b)); p++)
        last_b = p;
    if (!last_a && !last_b)
        return STE_VERDICT_INVALID;
    if (!last_b)
        return STE_VERDICT_A;
    if (!last_a)
        return STE_VERDICT_B;
    if (last_a > last_b)
        return ends_text(last_a + strlen(pack->marker_a)) ? STE_VERDICT_A : STE_VERDICT_INVALID;
    return ends_text(last_b + strlen(pack->marker_b)) ? STE_VERDICT_B : STE_VERDICT_INVALID;
}

/* What a model says behind its thoughts, if it thinks aloud; NULL: its thoughts do not end. */
static const char *behind_thoughts(const char *text)
{
    static const char open[] = "<think>", close[] = "</think>";
    const char *behind = NULL;
    for (const char *p = text; (p = strstr(p, close)); behind = p)
        p += sizeof close - 1;
    text += strspn(text, " \t\r\n");
    return behind ? behind : strncmp(text, open, sizeof open - 1) ? text : NULL;
}

static void invalid(struct ste_judgment *out, enum ste_invalid reason)
{
    out->verdict = STE_VERDICT_INVALID;
    out->reason = reason;
}

void ste_judge_read(const struct ste_judge_setting *s, const struct ste_answer *answer, struct ste_judgment *out)
{
    const struct ste_completion *c = &answer->completion;
    *out = (struct ste_judgment){.logprob_a = NAN, .logprob_b = NAN};
    if (answer->text && *answer->text)
        out->reasoning = ste_xstrdup(answer->text);
    if (c->finish == STE_FINISH_FAILED) {
        invalid(out, STE_INVALID_TRANSPORT);
        return;
    }
    const bool is_cut = s->mode == STE_MODE_FREE ? c->finish == STE_FINISH_LENGTH : c->choice < 0;
    const char *said = behind_thoughts(answer->text ? answer->text : "");
    if (is_cut || !said) {
        invalid(out, is_cut ? STE_INVALID_CUT : STE_INVALID_NO_MARKER);
        return;
    }
    if (s->mode == STE_MODE_FREE) {
        out->verdict = read_markers(s->pack, said);
        if (out->verdict == STE_VERDICT_INVALID)
            out->reason = STE_INVALID_NO_MARKER;
        return;
    }
    out->logprob_a = (double)c->choice_logprobs[0];
    out->logprob_b = (double)c->choice_logprobs[1];
    if (!(exp(out->logprob_a) + exp(out->logprob_b) >= MIN_LABEL_MASS)) {
        invalid(out, STE_INVALID_LOW_MASS);
        return;
    }
    out->verdict = c->choice == 0 ? STE_VERDICT_A : STE_VERDICT_B;
}
