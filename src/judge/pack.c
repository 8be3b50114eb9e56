#include "judge/pack.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/context.h"
#include "core/buf.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/strings.h"
#include "data/embedded.h"

const char *const ste_mode_names[] = {"free", "closed", "pack", NULL};

const char *const ste_category_name[STE_CATEGORIES] = {
    "Coding",
    "Mathematical reasoning",
    "Asking for Advice",
    "Brainstorming",
    "Classification",
    "Closed QA",
    "Creative Writing",
    "Extraction",
    "Inhabiting a Character/Persona",
    "Open QA",
    "Rewriting",
    "Summarization",
    "Knowledge and Reasoning",
    "Humanity, History or Social Studies",
    "Other",
};
const char *const ste_length_name[STE_LENGTHS] = {
    "1 sentence", "1-3 sentences", "1 paragraph", "2 paragraphs", "3+ paragraphs",
};

/* Every text of a pack: where it stands in the file, and which placeholders it must and may hold. */
struct text_field {
    const char *section, *key;
    size_t offset;
    const char *must, *may; /* names separated by spaces; NULL: none */
    bool optional;
};
#define AT(field) offsetof(struct ste_pack, field)
static const struct text_field text_fields[] = {
    {"judge", "system", AT(judge_system), NULL, NULL, true},
    {"judge", "user", AT(judge_user), "prompt response_a response_b fence", "criteria references", false},
    {"judge", "criteria", AT(judge_criteria), NULL, NULL, true},
    {"judge", "reference", AT(judge_reference), "reference fence", NULL, true},
    {"judge", "marker_a", AT(marker_a), NULL, NULL, false},
    {"judge", "marker_b", AT(marker_b), NULL, NULL, false},
    {"judge", "closing", AT(closing), NULL, NULL, true},
    {"judge", "label_a", AT(label_a), NULL, NULL, false},
    {"judge", "label_b", AT(label_b), NULL, NULL, false},
    {"score", "user", AT(score_user), "prompt response fence", "criteria references", true},
    {"score", "criteria", AT(score_criteria), NULL, NULL, true},
    {"score", "reference", AT(score_reference), "reference fence", NULL, true},
    {"score", "stop", AT(score_stop), NULL, NULL, true},
    {"score", "closing", AT(score_closing), NULL, NULL, true},
    {"select", "category", AT(category_user), "instruction", NULL, false},
    {"select", "complexity", AT(complexity_user), "instruction", NULL, false},
    {"select", "length", AT(length_user), "instruction", NULL, false},
    {"pair", "modify", AT(modify_user), "instruction", NULL, false},
    {"pair", "modify_again", AT(modify_again_user), "instruction", NULL, false},
    {"pair", "modify_and_answer", AT(modify_and_answer_user), "instruction", NULL, false},
    {"pair", "instruction_heading", AT(one_call_instruction_tag), NULL, NULL, false},
    {"pair", "answer_heading", AT(one_call_answer_tag), NULL, NULL, false},
    {"pair", "worse", AT(worse_user), "instruction", "answer", false},
    {"pair", "decline", AT(decline_system), NULL, NULL, false},
    {"pair", "comply", AT(comply_system), NULL, NULL, false},
};
#define N_TEXT_FIELDS (sizeof text_fields / sizeof *text_fields)
static const char *const judge_scalars[] = {"mode", "reasoning", "max_tokens"};
static const char *const sections[] = {"base", "judge", "score", "select", "pair", NULL};

static bool word_in(const char *list, const char *word, size_t len)
{
    for (const char *p = list; p && *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");
        if (n == len && memcmp(p, word, len) == 0)
            return true;
        p += n;
    }
    return false;
}

static int check_placeholders(const char *text, const struct text_field *f, const char *what, struct ste_err *err)
{
    for (const char *p = text; (p = strstr(p, "{{")) != NULL;) {
        const char *end = strstr(p, "}}");
        if (!end)
            return ste_err_set(err, STE_EINPUT, "%s: %s.%s opens a placeholder with {{ and never closes it", what,
                               f->section, f->key);
        size_t len = (size_t)(end - p) - 2;
        if (!word_in(f->must, p + 2, len) && !word_in(f->may, p + 2, len))
            return ste_err_set(err, STE_EINPUT,
                               "%s: %s.%s has the placeholder {{%.*s}}, which has no meaning there%s%s", what,
                               f->section, f->key, (int)(len > 40 ? 40 : len), p + 2, f->must ? "; it knows " : "",
                               f->must ? f->must : "");
        p = end + 2;
    }
    for (const char *p = f->must; p && *p; p += strspn(p, " ")) {
        char name[40];
        size_t n = strcspn(p, " ");
        snprintf(name, sizeof name, "{{%.*s}}", (int)n, p);
        if (!strstr(text, name))
            return ste_err_set(err, STE_EINPUT, "%s: %s.%s lacks the placeholder %s", what, f->section, f->key, name);
        p += n;
    }
    return 0;
}

/* Unknown sections and keys are errors: a misspelt key would otherwise silently leave the base's text in force. */
static int check_keys(const json_t *root, const char *what, struct ste_err *err)
{
    const char *section;
    json_t *body;
    json_object_foreach((json_t *)root, section, body)
    {
        const char *known[N_TEXT_FIELDS + 4] = {NULL};
        size_t n = 0;
        for (size_t i = 0; i < N_TEXT_FIELDS; i++)
            if (strcmp(text_fields[i].section, section) == 0)
                known[n++] = text_fields[i].key;
        if (n == 0 && strcmp(section, "base") != 0) {
            const char *near = ste_nearest(section, sections);
            return ste_err_set(err, STE_EINPUT, "%s: unknown section \"%s\"%s%s%s", what, section,
                               near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
        }
        if (strcmp(section, "base") == 0) {
            if (!json_is_string(body))
                return ste_err_set(err, STE_EINPUT, "%s: base must be the name of a pack", what);
            continue;
        }
        if (!json_is_object(body))
            return ste_err_set(err, STE_EINPUT, "%s: %s must be a mapping of keys to texts", what, section);
        for (size_t i = 0; strcmp(section, "judge") == 0 && i < 3; i++)
            known[n++] = judge_scalars[i];
        if (strcmp(section, "score") == 0)
            known[n++] = "max_tokens";
        const char *key;
        json_t *value;
        json_object_foreach(body, key, value)
        {
            bool found = false;
            for (size_t i = 0; i < n; i++)
                found |= strcmp(known[i], key) == 0;
            if (!found) {
                const char *near = ste_nearest(key, known);
                return ste_err_set(err, STE_EINPUT, "%s: unknown key \"%s.%s\"%s%s%s", what, section, key,
                                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
            }
        }
    }
    return 0;
}

/* Reads a pack's file and, where it names a base, lays it over the base's. */
static json_t *read_merged(const char *name, const char *folder, char **what, struct ste_err *err)
{
    json_t *own = ste_named_yaml(name, folder, "prompts", "prompt pack", what, err);
    if (!own)
        return NULL;
    if (!json_is_object(own)) {
        ste_err_set(err, STE_EINPUT, "%s: a prompt pack is a mapping with judge, select and pair", *what);
        goto fail;
    }
    if (check_keys(own, *what, err))
        goto fail;
    const char *base_name = json_string_value(json_object_get(own, "base"));
    if (!base_name)
        return own;
    char *base_what = NULL;
    json_t *base = ste_named_yaml(base_name, folder, "prompts", "prompt pack", &base_what, err);
    if (base && !json_is_object(base)) {
        ste_err_set(err, STE_EINPUT, "%s: a prompt pack is a mapping with judge, select and pair", base_what);
        json_decref(base);
        base = NULL;
    }
    if (base && (check_keys(base, base_what, err) || json_object_get(base, "base"))) {
        if (json_object_get(base, "base"))
            ste_err_set(err, STE_EINPUT, "%s: its base %s has a base itself; name that one's base instead", *what,
                        base_what);
        json_decref(base);
        base = NULL;
    }
    ste_xfree(base_what);
    if (!base) {
        ste_err_wrap(err, "%s: base", *what);
        goto fail;
    }
    const char *section;
    json_t *body;
    json_object_foreach(own, section, body)
    {
        if (strcmp(section, "base") == 0)
            continue;
        json_t *into = json_object_get(base, section);
        if (into)
            json_object_update(into, body);
        else
            json_object_set(base, section, body);
    }
    json_decref(own);
    return base;
fail:
    json_decref(own);
    return NULL;
}

static int take_texts(struct ste_pack *p, const json_t *root, const char *what, struct ste_err *err)
{
    for (size_t i = 0; i < N_TEXT_FIELDS; i++) {
        const struct text_field *f = &text_fields[i];
        const json_t *v = json_object_get(json_object_get(root, f->section), f->key);
        if (!v || json_is_null(v)) {
            if (f->optional)
                continue;
            return ste_err_set(err, STE_EINPUT, "%s: %s.%s is missing; add it, or name a base that has it", what,
                               f->section, f->key);
        }
        if (!json_is_string(v) || !*json_string_value(v))
            return ste_err_set(err, STE_EINPUT, "%s: %s.%s must be a text (quote it)", what, f->section, f->key);
        if (check_placeholders(json_string_value(v), f, what, err))
            return STE_EINPUT;
        *(char **)((char *)p + f->offset) = ste_xstrdup(json_string_value(v));
    }
    return 0;
}

static int take_judge(struct ste_pack *p, const json_t *root, const char *what, struct ste_err *err)
{
    const json_t *j = json_object_get(root, "judge");
    const char *mode = json_string_value(json_object_get(j, "mode"));
    const int known = mode ? ste_name_find(ste_mode_names, mode) : -1;
    if (known != STE_MODE_FREE && known != STE_MODE_CLOSED)
        return ste_err_set(err, STE_EINPUT, "%s: judge.mode must be free or closed", what);
    p->mode = (enum ste_verdict_mode)known;
    const json_t *reasoning = json_object_get(j, "reasoning"), *max = json_object_get(j, "max_tokens");
    if (!json_is_boolean(reasoning))
        return ste_err_set(err, STE_EINPUT, "%s: judge.reasoning must be true or false", what);
    p->reasoning = json_is_true(reasoning);
    if (p->mode == STE_MODE_FREE && !p->reasoning)
        return ste_err_set(err, STE_EINPUT,
                           "%s: judge.mode free needs judge.reasoning true: the verdict is read from "
                           "the free text",
                           what);
    if (!json_is_integer(max) || json_integer_value(max) < (p->reasoning ? 1 : 0) || json_integer_value(max) > 1 << 20)
        return ste_err_set(err, STE_EINPUT, "%s: judge.max_tokens must be a number from %d to 1048576", what,
                           p->reasoning ? 1 : 0);
    p->max_tokens = p->reasoning ? (int)json_integer_value(max) : 0;
    if (p->mode == STE_MODE_CLOSED && !p->closing)
        return ste_err_set(err, STE_EINPUT, "%s: judge.mode closed needs judge.closing, the words before the label",
                           what);
    if (p->mode == STE_MODE_FREE && !strstr(p->judge_user, p->marker_a) &&
        !(p->judge_system && strstr(p->judge_system, p->marker_a)))
        ste_warn("%s: the judge is to write %s (judge.marker_a), but its text never says so: few verdicts will be read",
                 what, p->marker_a);
    if (strcmp(p->marker_a, p->marker_b) == 0 || strcmp(p->label_a, p->label_b) == 0)
        return ste_err_set(err, STE_EINPUT, "%s: the markers, and the labels, of A and B must differ", what);
    return 0;
}

static bool lacks(const char *text, const char *placeholder, const char *value)
{
    return text && strstr(text, placeholder) && !value;
}

static int take_score(struct ste_pack *p, const json_t *root, const char *what, struct ste_err *err)
{
    const json_t *max = json_object_get(json_object_get(root, "score"), "max_tokens");
    if (lacks(p->judge_user, "{{criteria}}", p->judge_criteria) ||
        lacks(p->judge_user, "{{references}}", p->judge_reference))
        return ste_err_set(err, STE_EINPUT,
                           "%s: judge.user asks for {{criteria}} or {{references}}; add judge.criteria and "
                           "judge.reference, what they stand for",
                           what);
    if (!p->score_user)
        return 0;
    if (!json_is_integer(max) || json_integer_value(max) < 0 || json_integer_value(max) > 1 << 20)
        return ste_err_set(err, STE_EINPUT, "%s: score.max_tokens must be a number from 0 to 1048576", what);
    p->score_max_tokens = (int)json_integer_value(max);
    if (!p->score_closing || (p->score_max_tokens && !p->score_stop))
        return ste_err_set(err, STE_EINPUT,
                           "%s: score needs closing, the words before the number, and, unless its max_tokens is 0, "
                           "stop, where the reasoning ends",
                           what);
    if (lacks(p->score_user, "{{criteria}}", p->score_criteria) ||
        lacks(p->score_user, "{{references}}", p->score_reference))
        return ste_err_set(err, STE_EINPUT,
                           "%s: score.user asks for {{criteria}} or {{references}}; add score.criteria and "
                           "score.reference, what they stand for",
                           what);
    return 0;
}

int ste_pack_load(struct ste_pack **out, const char *name, const char *folder, struct ste_err *err)
{
    if (!folder)
        folder = ste_setting("STE_PROMPTS");
    char *what = NULL;
    struct ste_err own = {0};
    json_t *root = read_merged(name, folder, &what, &own);
    if (!root) {
        ste_xfree(what);
        return ste_err_set(err, own.code, "%s", own.msg);
    }
    struct ste_pack *p = ste_xcalloc(1, sizeof *p);
    p->name = ste_yaml_stem(name);
    int rc = take_texts(p, root, what, err);
    if (!rc)
        rc = take_judge(p, root, what, err);
    if (!rc)
        rc = take_score(p, root, what, err);
    if (!rc) {
        char *canonical = ste_json_canonical(root);
        ste_sha256(canonical, strlen(canonical), p->hash);
        ste_xfree(canonical);
        *out = p;
    } else {
        ste_pack_free(p);
    }
    json_decref(root);
    ste_xfree(what);
    return rc;
}

void ste_pack_free(struct ste_pack *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < N_TEXT_FIELDS; i++)
        ste_xfree(*(char **)((char *)p + text_fields[i].offset));
    ste_xfree(p->name);
    ste_xfree(p);
}

char *ste_pack_fill(const char *text, const struct ste_slot *slots, size_t n)
{
    struct ste_buf b = STE_BUF_INIT;
    size_t most = strlen(text);
    for (size_t i = 0; i < n; i++)
        most += slots[i].value ? strlen(slots[i].value) : 0;
    ste_buf_reserve(&b, most);
    while (*text) {
        const char *open = strstr(text, "{{");
        if (!open) {
            ste_buf_adds(&b, text);
            break;
        }
        ste_buf_add(&b, text, (size_t)(open - text));
        const char *close = strstr(open, "}}");
        size_t len = close ? (size_t)(close - open) - 2 : 0;
        const char *value = NULL;
        for (size_t i = 0; close && i < n && !value; i++)
            if (strlen(slots[i].name) == len && memcmp(slots[i].name, open + 2, len) == 0)
                value = slots[i].value;
        if (value) {
            ste_buf_adds(&b, value);
            text = close + 2;
        } else {
            ste_buf_add(&b, open, 2);
            text = open + 2;
        }
    }
    return ste_buf_detach(&b);
}
