/*
 * Kinds of pairs, one file each, in one table (kinds.c). A kind says which texts a model writes for an instruction,
 * which of them is the better and which the worse answer, and what evidence its label can be held against. pair.c asks
 * for the texts, check.c looks at the evidence; neither knows a kind by name. A new kind is a file here and a line in
 * the table.
 */
#ifndef STE_LOOP_KIND_H
#define STE_LOOP_KIND_H

#include "loop/loop.h"

#define STE_MAX_PIECES 4

/* One text of a pair as far as it has come. */
struct ste_piece {
    bool in_flight, settled; /* settled: no attempt will follow */
    int attempts;            /* that are in the store */
    const char *fault;       /* of the last attempt: a literal; NULL when it is of use */
    char *text;              /* of the last attempt, as the pair will hold it; NULL: the prompt was too long */
    bool wrong;              /* examined, and it is not right */
    struct ste_id id;        /* of its row */
};

struct ste_pair_kind;
/* A kept instruction on its way to a pair. */
struct ste_pair_job {
    char *instruction, *split, *category, *length, *truth; /* all but the first two may be NULL; data/truth.h */
    bool labelled;                                         /* a file gave both answers */
    int64_t position;
    struct ste_dialogue x;
    const struct ste_pair_kind *kind;
    struct ste_piece pieces[STE_MAX_PIECES];
    bool paired;
};

/* What is asked for a piece. MESSAGES and OWNED are freed by ste_piece_ask_clear; contents may point into the job. */
struct ste_piece_ask {
    struct ste_message *messages;
    size_t n;
    char *owned;
    double temperature;
};
void ste_piece_ask_clear(struct ste_piece_ask *a);

/* A text that a kind needs. */
struct ste_piece_kind {
    const char *name; /* in the store: generation.kind */
    enum ste_loop_role role;
    unsigned after; /* bits of the kind's pieces that must be good before it is asked */
    int sample;     /* of its first attempt, in tries: where two pieces ask the same, their samples differ */
    bool answers;   /* an answer: may be brought back to its last sentence where it was cut off */
    /* NULL: the text is given, by a file. */
    void (*ask)(const struct ste_loop *l, const struct ste_pair_job *j, int attempt, struct ste_piece_ask *out);
    /* Why TEXT is of no use (a literal), or NULL; what is empty or cut off never gets here. NULL: nothing is. */
    const char *(*fault)(const struct ste_loop *l, const struct ste_pair_job *j, const char *text);
    /* The same where it takes more than a look: sets the piece's fault, and whether it is wrong. May be NULL. */
    int (*examine)(struct ste_loop *l, struct ste_pair_job *j, int piece, struct ste_err *err);
};

/* What a label can be held against. */
enum ste_evidence {
    STE_EVIDENCE_NONE,
    STE_EVIDENCE_INSTRUCTIONS, /* each answer behind its own instruction and behind the other's */
    STE_EVIDENCE_ANSWERS,      /* both answers behind x and behind nothing */
    STE_EVIDENCE_LABELS,       /* the same, and it is what gives the label: the likelier answer is chosen */
};

struct ste_pair_texts {
    char *chosen, *modified, *rejected; /* MODIFIED may stay NULL; the caller frees */
    const char *rule; /* by which REJECTED was made of the chosen answer: a literal; NULL: it was not */
    bool borrowed;    /* and of the answer to another instruction */
};

struct ste_pair_kind {
    const char *name;
    const char *label_source; /* "constructed", "verified", "likelihood", "labelled" */
    enum ste_evidence evidence;
    const struct ste_piece_kind *pieces; /* [n] */
    int n;
    const struct ste_pair_kind *mirror; /* the kind that prefers what this one rejects, to other requests; or NULL */
    /* Of PIECES; -1: none. Where the chosen one is wrong, the two change places. Without REJECTED: the answer to
     * another instruction, or what TEXTS makes. */
    int chosen, modified, rejected;
    bool (*takes)(const struct ste_loop *l, const struct ste_pair_job *j);
    /* The texts of a job whose pieces are all good, where they are not the pieces themselves. Returns why there is no
     * pair (a literal), or NULL. OTHER: an answer to another instruction; NULL: there is none. May be NULL. */
    const char *(*texts)(const struct ste_loop *l, const struct ste_pair_job *j, const char *other,
                         struct ste_pair_texts *out);
    /* Before anything is asked for the kind's jobs, which are among the N; or NULL. */
    int (*prepare)(struct ste_loop *l, struct ste_pair_job *jobs, size_t n, struct ste_err *err);
};

extern const struct ste_pair_kind *const ste_pair_kinds[]; /* NULL-ended */
/* The kind NAME as R has it: `modify` in one call or in two. */
const struct ste_pair_kind *ste_pair_kind_of(const struct ste_recipe *r, const char *name);

/* SHARES (of the option WHAT) name kinds that there are, and one has a share: else STE_EUSAGE. */
int ste_pair_kinds_check(const struct ste_strings *shares, const char *what, struct ste_err *err);
/* "other=1 modify=2" of filter.kinds as shares; the caller clears them. */
int ste_pair_kinds_parse(const char *text, struct ste_strings *shares, struct ste_err *err);

extern const struct ste_pair_kind ste_kind_modify, ste_kind_modify_one_call, ste_kind_worse, ste_kind_other,
    ste_kind_weaker, ste_kind_sampled, ste_kind_refuse, ste_kind_comply, ste_kind_labelled, ste_kind_corrupt,
    ste_kind_verified;

/* Shares the instructions of each part of the split among the kinds that take them: the next one, in an order drawn by
 * the seed, goes to the kind that is furthest behind its share, so that each part has the shares as nearly as numbers
 * allow. Labelled ones are of the kind `labelled`, and no others are. STE_EUSAGE where no kind takes one. */
int ste_draw_kinds(const struct ste_loop *l, struct ste_pair_job *jobs, size_t n, struct ste_err *err);

/* ---- what kinds share: pieces.c ---- */

/* X with SYSTEM before it, unless that is "" or X has its own; LAST (may be NULL) stands in the place of its last turn.
 * The list is the caller's to free, its contents are not copied. */
struct ste_message *ste_loop_messages(const struct ste_dialogue *x, const char *system, const char *last, size_t *n);
/* Asks for a piece with those messages. */
void ste_ask_dialogue(const struct ste_pair_job *j, const char *system, const char *last, struct ste_piece_ask *out);
/* Asks with TEMPLATE of the pack, filled with the instruction. */
void ste_ask_template(const struct ste_pair_job *j, const char *template, struct ste_piece_ask *out);
/* Asks for an answer to x as the recipe says; the next says what is wrong with one. */
void ste_ask_answer(const struct ste_loop *l, const struct ste_pair_job *j, int attempt, struct ste_piece_ask *out);
const char *ste_fault_answer(const struct ste_loop *l, const struct ste_pair_job *j, const char *text);
/* Finds the same faults, and that of a text which is the answer already (the kind's first piece). */
const char *ste_fault_other_answer(const struct ste_loop *l, const struct ste_pair_job *j, const char *text);
/* The piece that is an answer to x, as most kinds have it. */
#define STE_PIECE_ANSWER                                                                                               \
    {                                                                                                                  \
        .name = "answer", .role = STE_LOOP_ANSWER, .answers = true, .ask = ste_ask_answer, .fault = ste_fault_answer   \
    }
/* Whether what K chooses is an answer to its own instruction. */
bool ste_chooses_answer(const struct ste_pair_kind *k);
/* Every instruction but those that are for `refuse`, and for `comply` where the recipe has that kind. */
bool ste_takes_ordinary(const struct ste_loop *l, const struct ste_pair_job *j);
bool ste_is_harmful(const struct ste_recipe *r, const char *category);
bool ste_is_harmless(const struct ste_recipe *r, const char *category);
/* Refusals as chat models phrase them. Only the beginning counts: a good answer may quote one. */
bool ste_text_refuses(const char *text);
/* TEXT is a part of what was asked, word for word, and no short one. */
bool ste_text_repeats(const char *text, const char *question);
/* Same folded text. */
bool ste_text_same(const char *a, const char *b);
/* TEXT of N bytes without outer white space; caller frees. */
char *ste_text_trimmed(const char *text, size_t n);
/* A text that was cut off, brought back to the end of its last whole sentence or line outside of a code block; NULL
 * when less than half of it would remain. Caller frees. */
char *ste_text_whole_sentences(const char *text);

#endif
