/*
 * What the judging routes are asked: requests as JSON, read into pairs, single answers and groups of answers. The
 * readers are pure: they look at nothing but the JSON, and say what is wrong with it.
 */
#ifndef STE_SERVE_ASKED_H
#define STE_SERVE_ASKED_H

#include <jansson.h>

#include "data/answers.h"
#include "data/pairs.h"

/* What one request may ask at most. */
enum {
    STE_ASKED_ROWS = 4096,   /* pairs, answers or groups */
    STE_ASKED_ANSWERS = 128, /* of a group */
    STE_ASKED_PAIRS = 65536, /* that its groups come to */
    STE_ASKED_VOTES = 64,
};

/* A prompt and answers to it. */
struct ste_group {
    char *id;
    struct ste_dialogue prompt;
    struct ste_strings answers, names; /* NAMES: one an answer, or none */
    struct ste_strings references;
    char *anchor;   /* the answer that all are compared with, in the place of each other; or NULL */
    size_t *places; /* of the answers in a flat request; NULL: it is none */
    /* [answers and anchor]: the place of the first that is the same text, and of its row where it is asked about alone.
     * They are who asks's (judging.c). */
    size_t *same, *row;
};

enum ste_reward_by { STE_REWARD_SHARE, STE_REWARD_MARGIN, STE_REWARD_SCORE };
extern const char *const ste_reward_names[]; /* "share", "margin", "score", NULL */

struct ste_asked {
    bool many;                /* a list was given: the reply is a list */
    bool one_order, reasons;  /* of pairs */
    long long votes;          /* in both orders together; -1: as the server's judge */
    enum ste_reward_by by;    /* of groups */
    bool zero_sum, need_both; /* rewards less their mean; NEED_BOTH: a win needs both orders, not the margin's sign */
    bool has_fallback;
    double fallback; /* the reward where there is none */
    size_t flat;     /* answers of a flat request */
    struct ste_answer_pairs pairs;
    struct ste_answer_rows rows;
    struct ste_group *groups;
    size_t n_groups, cap_groups;
};
void ste_asked_clear(struct ste_asked *a);
/* Pairs that a group comes to: each answer against each other, or against the anchor. */
size_t ste_group_pairs(const struct ste_group *g);

/*
 * OUT is fresh, and the caller's to clear whatever these return. STE_EINPUT: the first thing that is wrong, WHERE in
 * the request, and how many more rows are wrong; BAD (a list) gets {"index", "message"} of each.
 *
 * ste_asked_judge: a pair (any prompt field, response_a, response_b, perhaps id, reference, references), or "pairs": a
 * list of such; with votes, order ("both", "one"), reasons.
 * ste_asked_score: an answer (any prompt field, output, response or answer, perhaps id, reference, references), or
 * "answers": a list of such.
 * ste_asked_rank: a prompt and "answers", a list of texts (or messages) or an object of names and texts, or "prompts":
 * a list of such; with votes, verdict ("two-order", "both"). ste_asked_group: the same with "groups" for the list, or
 * flat: "prompts" and "responses" (or "completions"), side by side, of which equal prompts make a group; with votes,
 * verdict, by, zero_sum, anchor, fallback, rendered. A row without an id gets one of what it holds, so that it is asked
 * in the same words wherever it stands.
 */
typedef int ste_asked_reader(struct ste_asked *out, const json_t *body, const void *how, json_t *bad,
                             struct ste_err *err);
ste_asked_reader ste_asked_judge;
ste_asked_reader ste_asked_score;
ste_asked_reader ste_asked_rank;
ste_asked_reader ste_asked_group;

/* How a trainer's URL says what the reward is: ?label=...&by=...&fallback=... */
enum ste_label_use { STE_LABEL_UNUSED, STE_LABEL_REFERENCE, STE_LABEL_ANCHOR };
struct ste_trainer_asks {
    enum ste_label_use label;
    enum ste_reward_by by; /* with an anchor */
    bool has_fallback;
    double fallback;
};
/* VALUE: of a parameter of the query by name, or NULL. */
int ste_trainer_asks_read(struct ste_trainer_asks *out, const char *(*value)(void *arg, const char *name), void *arg,
                          struct ste_err *err);
/* These take how. OpenRLHF: query, a list of prompts and answers as one text, perhaps prompts and labels beside it.
 * slime: prompt (a text or messages), response, label. Classify, as verl asks vLLM: input, a rendered dialogue that ends
 * with the answer, or a list of such. Their texts may be rendered (data/rendered.h). */
ste_asked_reader ste_asked_openrlhf, ste_asked_slime, ste_asked_classify;

#endif
