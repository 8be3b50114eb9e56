/*
 * libste: judges of answers, and the runs that train them. README and docs/library.md have examples.
 *
 * Errors. A function that can fail returns 0 or one of the negative codes below and takes a `struct ste_err *`, which
 * then has one sentence: what was being done, to what, what went wrong and what would help. NULL is allowed.
 *
 * Memory. A call that finds none returns STE_ENOMEM and has given back what it held; what was saved is safe. If it was
 * a call of a handle, that can only be closed from then on: its other calls return STE_ENOMEM. No other handle is
 * touched. So that jansson's values are given back too, json_set_alloc_funcs is called once, around what was set.
 *
 * Threads. A handle belongs to one thread at a time; different handles may be used by different threads at once.
 *
 * Strings are UTF-8 and end with a NUL. What a function returns is the caller's to free, by the function that is named
 * with it; what it takes is copied unless it says otherwise.
 */
#ifndef STE_H
#define STE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define STE_API __attribute__((visibility("default")))
#else
#define STE_API
#endif

STE_API const char *ste_version(void); /* "0.1.0" */

/* ---- errors ---- */

enum {
    STE_EFAIL = -1,        /* anything without a code of its own */
    STE_EUSAGE = -2,       /* a wrong option, recipe key or argument */
    STE_EINPUT = -3,       /* a file or row whose content is wrong */
    STE_EIO = -4,          /* the system refused: missing file, full disk, no permission */
    STE_ENOMEM = -5,       /* out of memory, or a large tensor or cache does not fit */
    STE_ETHRESHOLD = -6,   /* a threshold was not met */
    STE_EINTERRUPTED = -7, /* cancelled; what came is saved */
    STE_EBUSY = -8,        /* another process holds the run */
    STE_ENOTFOUND = -9,    /* no such model, run, iteration, row */
    STE_ETOOLONG = -10,    /* a prompt that does not fit the context */
};

struct ste_err {
    int code;
    char msg[1024];
};

/* ---- what the caller decides ---- */

/* Work that goes on, such as "judge, iteration 1", counted in UNIT. To be read only, but for the last two members,
 * which are the listener's to use. */
struct ste_progress {
    char *what, *unit, *note; /* NOTE: "312 tok/s", or NULL. Bytes have the unit "bytes" */
    uint64_t total;           /* 0: not known */
    uint64_t had, done;       /* HAD: by an earlier call, a part of DONE */
    double start;             /* seconds of a monotonic clock */
    double drawn;
    struct ste_progress *below;
};
enum ste_progress_event { STE_PROGRESS_BEGINS, STE_PROGRESS_CHANGES, STE_PROGRESS_ENDS };

/* The library reads no environment, installs no signal handler and writes to no descriptor that it was not given: all
 * of that is asked of the caller. Each member may be NULL: then nothing is set, nothing stops, nothing is said. */
struct ste_context {
    /* The value of NAME, as a program would read it from its environment, or NULL: HOME and STE_HOME (where models and
     * the cache of answers are), STE_PROMPTS, TMPDIR, HF_TOKEN, ... (README). It lives as long as the context. */
    const char *(*setting)(void *arg, const char *name);
    /* Asked between units of work; true ends the call with STE_EINTERRUPTED once what came is saved. */
    bool (*cancelled)(void *arg);
    /* A message of one line or more, without a line feed at its end. */
    void (*say)(void *arg, bool warning, const char *text);
    /* Work that begins, went on and ends; one call at a time. */
    void (*progress)(void *arg, struct ste_progress *p, enum ste_progress_event what);
    void *arg; /* of all of them */
};

/* ---- judges ---- */

struct ste_judge;

struct ste_judge_config {    /* 0 and NULL are the defaults */
    const char *pack;        /* prompt pack: a built-in one or a path; default: the run's, else direct */
    const char *rubric;      /* path of a text in place of the pack's criteria */
    const char *base;        /* of an adapter's folder: its model, where its config names another place */
    int votes;               /* the majority of so many samples, half in each order; 0: the likeliest verdict */
    uint64_t seed;           /* of fences and samples */
    int threads, batch;      /* speed only; default: one thread a core, 64 sequences in flight */
    int ctx;                 /* context in tokens; default: the model's, at most 8192 */
    const char *activations; /* how products round: auto, int8, bf16, f32 */
    bool cache;              /* answers come from, and go to, the cache under STE_HOME */
    /* Any other of the program's flags for judging, each a text "key=value" ("top_p=0.8", "reference=true"). */
    const char *const *options;
    size_t n_options;
};

/* JUDGE: a catalogue name, a .gguf path, RUN or RUN:ITERATION, an adapter's folder, a reward model's; "likelihood:"
 * before any of these judges by how likely the answers are. CONFIG and CONTEXT may be NULL; CONTEXT is copied, what it
 * points to must outlive the judge. */
STE_API int ste_judge_open(struct ste_judge **out, const char *judge, const struct ste_judge_config *config,
                           const struct ste_context *context, struct ste_err *err);
STE_API void ste_judge_close(struct ste_judge *j); /* NULL is allowed */

struct ste_pair {
    const char *prompt; /* what was asked */
    const char *a, *b;  /* two answers to it */
};
/* Verdicts: 'A', 'B', '=' (a tie) and '?' (none could be read, or the prompt is too long for the context). */
struct ste_preference {
    char verdict;       /* of both orders: A or B where they agree, '=' where they do not, '?' where one is missing */
    char first[2];      /* of each order, as a and b are named: [0] a shown first, [1] b shown first */
    char two_order;     /* by the sign of the margin */
    double margin;      /* in favour of a, the mean of both orders' log-odds; NAN: there is none */
    const char *reason; /* why there is no verdict; "" where there is one. Static */
    char *reasoning[2]; /* what the judge wrote in each order, or NULL */
};
/* Judges N pairs in both orders, as many at once as the batch holds. PREFERENCES has N items, to be cleared whatever
 * this returns. */
STE_API int ste_judge_compare(struct ste_judge *j, const struct ste_pair *pairs, size_t n,
                              struct ste_preference *preferences, struct ste_err *err);
STE_API void ste_preferences_clear(struct ste_preference *preferences, size_t n);

/* Scores single answers (pairs[i].a; b is NULL) from 1 to 10: the expected value over the judge's own distribution, NAN
 * where there is none. SCORES has N items. A reward model or a likelihood judge compares only: STE_EUSAGE. */
STE_API int ste_judge_score(struct ste_judge *j, const struct ste_pair *answers, size_t n, double *scores,
                            struct ste_err *err);

/*
 * The same for what the program reads and writes as files. Rows are JSON objects, one a line, as `ste judge --in` and
 * `ste score --in` take them; what comes back are the rows that these would write, each with its line feed. A row
 * without id gets one by what it asks: its verdict is the same in any company. An error names the row, from 1.
 * *VERDICTS, *SCORES and *JSON are freed by ste_free, and NULL on an error.
 */
STE_API int ste_judge_compare_rows(struct ste_judge *j, const char *rows, char **verdicts, struct ste_err *err);
STE_API int ste_judge_score_rows(struct ste_judge *j, const char *rows, char **scores, struct ste_err *err);
/* How good the judge is on the labelled pairs of the files DATA: what `ste eval --json` writes. OPTIONS: texts
 * "key=value" of its flags suite, partial, compat, calibrate, author, attacks, full, min_margin, limit, sample; and
 * logits=true, for --score logits. */
STE_API int ste_judge_evaluate(struct ste_judge *j, const char *const *data, size_t n_data, const char *const *options,
                               size_t n_options, char **json, struct ste_err *err);
/* Models by the judge's verdicts on the answers in the files ANSWERS: what `ste rank --json` writes. OPTIONS:
 * questions, pairs, verdict. */
STE_API int ste_judge_rank(struct ste_judge *j, const char *const *answers, size_t n_answers,
                           const char *const *options, size_t n_options, char **json, struct ste_err *err);

/* ---- runs ---- */

/* Runs RECIPE (a built-in name or a path) in the folder DIR, or goes on with the run that is there. SETS: N_SETS texts
 * "key=value" over the recipe. */
STE_API int ste_run(const char *recipe, const char *dir, const char *const *sets, size_t n_sets,
                    const struct ste_context *context, struct ste_err *err);
/* What the run in DIR did and how good its judges are, as JSON (docs/judging.md); freed by ste_free. */
STE_API int ste_run_report(const char *dir, char **json, const struct ste_context *context, struct ste_err *err);
STE_API void ste_free(void *p);

#ifdef __cplusplus
}
#endif

#endif
