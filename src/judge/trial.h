/*
 * Up to N judgments of a pair in an order: the one place that decides how many are asked, which of them count and when
 * a pair is decided. Judgments count by their index and not by who is finished first, which would favour short ones:
 * one that comes out of order is held back until all below it are there. So what counts is the same for every order of
 * arrival (contract 7), and what was cancelled or stands above the last one that counts is never seen.
 */
#ifndef STE_JUDGE_TRIAL_H
#define STE_JUDGE_TRIAL_H

#include "judge/judge.h"
#include "llm/pump.h"

enum ste_trial_rule {
    STE_TRIAL_ALL,         /* all N */
    STE_TRIAL_FIRST_RIGHT, /* up to the right one of lowest index; those above it are cancelled at once */
    STE_TRIAL_MAJORITY,    /* until the votes that remain can change nothing; none is asked that may not be needed */
};

/* Verdicts counted. */
struct ste_tally {
    int a, b, invalid;
};

/* One pair in one order. */
struct ste_trial {
    struct ste_judge_material material; /* its texts are the caller's and stay until the trial is over */
    enum ste_verdict right;             /* for the rule first right */
    int already;                        /* judgments that counted before, 0 .. already-1, none of them right */
    void *tag;                          /* the caller's */
    /* From here on the trial's own. */
    int limit, final, next_ask, asked_to;
    bool over, queued;
    struct ste_tally tally;           /* of all that came back */
    struct ste_trial_sample *samples; /* [limit], from the first question to the end */
};

/* Trials that are run together over one model. */
struct ste_trials {
    struct ste_llm *llm;
    const struct ste_judge_setting *setting;
    enum ste_trial_rule rule;
    int samples;   /* N of each trial */
    int speculate; /* first right: so many are asked at first, and twice as many at each further go */
    void *arg;
    /* Judgment SAMPLE of T counts; called in the order of the indices. J and A stay the trials'. */
    int (*counts)(void *arg, struct ste_trial *t, int sample, const struct ste_judgment *j, const struct ste_answer *a,
                  struct ste_err *err);
    /* T's question does not fit the context; it is over. */
    int (*too_long)(void *arg, struct ste_trial *t, const char *why, struct ste_err *err);
    int (*over)(void *arg, struct ste_trial *t, struct ste_err *err); /* not after too_long or ste_trial_end */
    int (*tick)(void *tick_arg, struct ste_err *err);                 /* as of a pump */
    void *tick_arg;
};
/* Runs trials that are not over; neighbours with one prompt should be pairs of orders, as they share it. Afterwards
 * none has a question in flight, whatever happened. */
int ste_trials_run(const struct ste_trials *s, struct ste_trial *trials, size_t n, struct ste_err *err);
/* The same in parts, for who has a loop of its own: what PUMP asks, whose llm is S's, until it is done, by whatever
 * end. S and the trials stay until then. */
struct ste_trials_asked;
struct ste_trials_asked *ste_trials_ask(const struct ste_trials *s, struct ste_trial *trials, size_t n,
                                        struct ste_pump *pump);
void ste_trials_done(struct ste_trials_asked *r);
/* Ends T from within a callback: what is in flight is cancelled and nothing more comes of it. */
void ste_trial_end(const struct ste_trials *s, struct ste_trial *t);

#endif
