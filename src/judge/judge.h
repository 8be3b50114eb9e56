/*
 * One judgment: the prompt for a pair in one order, and the verdict read from the tokens that came back. The judged
 * text is inert (contract 2): fences derive from the secret, the pair's id and the first counter whose string is in
 * neither text nor prompt; verdicts are read from generated tokens only.
 */
#ifndef STE_JUDGE_JUDGE_H
#define STE_JUDGE_JUDGE_H

#include "core/options.h"
#include "judge/pack.h"
#include "llm/llm.h"

/* TIE: of judges that score each answer by itself, whose scores can be equal; one that is asked says A or B. */
enum ste_verdict { STE_VERDICT_A, STE_VERDICT_B, STE_VERDICT_INVALID, STE_VERDICT_TIE, STE_N_VERDICTS };
enum ste_invalid {
    STE_INVALID_NONE,
    STE_INVALID_CUT,       /* "cut off": reached the token limit */
    STE_INVALID_NO_MARKER, /* "no marker": none, or ones that contradict each other */
    STE_INVALID_LOW_MASS,  /* "low label mass": p(A) + p(B) < 0.5 */
    STE_INVALID_TRANSPORT, /* "transport" */
    STE_INVALID_TOO_LONG,  /* "prompt too long": never asked */
    STE_INVALID_NO_NUMBER, /* "score is no number" */
    STE_N_INVALID
};
const char *ste_verdict_name(enum ste_verdict v); /* "A", "B", "invalid", "tie" */
const char *ste_invalid_name(enum ste_invalid r); /* "" for none */
int ste_verdict_parse(const char *name);          /* -1: none of them */

struct ste_judgment {
    enum ste_verdict verdict;
    enum ste_invalid reason;
    double logprob_a, logprob_b; /* of the labels, over the whole vocabulary (closed mode); NAN where there are none */
    char *reasoning;             /* the free part's text; NULL where nothing was generated */
};
void ste_judgment_clear(struct ste_judgment *j);

/* How to ask. */
struct ste_judge_setting {
    const struct ste_pack *pack;
    const char *secret; /* of the run; evaluation: of the seed */
    enum ste_verdict_mode mode;
    struct ste_sampling sampling; /* of the reasoning */
    int max_tokens;               /* 0: the pack's */
    bool sample_label;            /* closed mode: draw it (the loop) or take the likelier (evaluation) */
    uint64_t seed;
    int adapter;
    const char *rubric; /* in place of the pack's criteria; NULL: those */
};

/* What is judged. REFERENCES: answers that are known to be right; NULL: none are shown. */
struct ste_judge_material {
    const char *pair_id; /* keys the fence: the same for both orders and all samples */
    const struct ste_dialogue *prompt;
    const char *a, *b; /* B NULL: one answer, to be scored */
    const struct ste_strings *references;
};
/* The pack has the places for it: STE_EINPUT names what it lacks. SCORING: of a single answer. */
int ste_judge_can_show(const struct ste_pack *pack, bool scoring, bool rubric, bool references, struct ste_err *err);

/* The texts behind a question; free with ste_judge_prompt_clear after submit. */
struct ste_judge_prompt {
    struct ste_message messages[2];
    size_t n;
    char *owned[2];
    char stop[32]; /* what ends reasoning in closed mode */
};
/* The token limit of the reasoning; 0: there is none. */
int ste_judge_max_tokens(const struct ste_judge_setting *s);
/* Fills QUESTION (but for tag) to judge A against B. */
void ste_judge_ask(const struct ste_judge_setting *s, const struct ste_judge_material *m, int sample,
                   struct ste_judge_prompt *texts, struct ste_question *question);
/* Fills what such a question has in common with one for a score: texts, model and sampling. */
void ste_judge_ask_common(const struct ste_judge_setting *s, const struct ste_judge_material *m, int sample,
                          struct ste_judge_prompt *texts, struct ste_question *question);
/* Makes the texts alone, also those of a score. */
void ste_judge_texts(const struct ste_judge_setting *s, const struct ste_judge_material *m,
                     struct ste_judge_prompt *texts);
void ste_judge_prompt_clear(struct ste_judge_prompt *p);
void ste_judge_read(const struct ste_judge_setting *s, const struct ste_answer *answer, struct ste_judgment *out);

/* JUDGE as users write it: a catalogue name, a .gguf path, RUN or RUN:ITERATION (its adapter on its seed model, its
 * pack; RUN alone is the newest iteration, :0 the seed), or an adapter's PEFT folder on the model that it names (of
 * `ste sft`, of `ste train-rm`, of another trainer); "likelihood:" before any of these asks only how likely the model
 * finds the answers. */
struct ste_judge_spec {
    char *model;       /* catalogue name or path */
    char *named_by;    /* the adapter_config.json whose base MODEL is, or NULL: the user or the run named it */
    char *adapter;     /* PEFT folder, or NULL */
    char *pack;        /* the run's pack, or NULL: not said */
    char *pack_folder; /* the run's folder of packs, or NULL */
    char *chat_template, *chat_date; /* the run's, or NULL */
    enum ste_verdict_mode mode;      /* where the run's recipe overrides its pack's */
    char *run;                       /* the folder of the run that trained ADAPTER, or NULL */
    bool reward;     /* ADAPTER is a reward model's: it scores answers by themselves and is not asked anything */
    bool likelihood; /* nor is this one */
};
int ste_judge_spec_parse(struct ste_judge_spec *out, const char *judge, struct ste_err *err);
/* BASE, if not NULL, is the model that an adapter's folder is for, in the place of what its config names: a hub's name
 * or a path of another machine is no model here, which the error says, with HELP: how to name one. */
int ste_judge_spec_base(struct ste_judge_spec *s, const char *base, const char *help, struct ste_err *err);
void ste_judge_spec_clear(struct ste_judge_spec *s);

#endif
