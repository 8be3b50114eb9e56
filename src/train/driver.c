#include "train/driver.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/context.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/mem.h"
#include "train/internal.h"

/* Writing states takes a hundredth of the time; a kill loses no more than five minutes. */
#define WORTH 100.0
#define SAVE_SECONDS 300.0
#define FIRST_SECONDS 0.2 /* before it is known what writing one takes */

struct run {
    const struct ste_train_job *j;
    struct ste_trainer *t;
    char examples[65]; /* their hash */
    int best, saved;   /* steps */
    double when, wait; /* a state was written last; seconds to the next */
    bool warned;
    struct ste_progress *progress;
};

/* ---- the folder ---- */

static char *state_path(const char *folder, int step)
{
    return ste_xasprintf("%s/state-%d.bin", folder, step);
}

/* The step of a state's name; -1: it is none. */
static int step_of(const char *name)
{
    int step = -1, end = 0;
    return sscanf(name, "state-%9d.bin%n", &step, &end) == 1 && end && !name[end] && step >= 0 ? step : -1;
}

/* A state, its lock, or a file that a kill left half written (file.c names it NAME.tmpPID). */
static bool is_ours(const char *name)
{
    const char *tmp = strstr(name, ".tmp");
    return strncmp(name, "state-", 6) == 0 || (tmp && isdigit((unsigned char)tmp[4]));
}

int ste_train_newest(const char *folder, bool *others)
{
    int newest = -1;
    DIR *d = ste_opendir(folder);
    *others = false;
    for (struct dirent *e; d && (e = readdir(d));) {
        const int step = step_of(e->d_name);
        newest = step > newest ? step : newest;
        *others |= !is_ours(e->d_name) && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    }
    ste_closedir(d);
    return newest;
}

/* Removes the states but those of these two steps; ALL: and what else is ours. */
static void clean_but(const char *folder, int newest, int best, bool all)
{
    DIR *d = ste_opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        const int step = step_of(e->d_name);
        if (step < 0 ? !all || !is_ours(e->d_name) : step == newest || step == best)
            continue;
        char *path = ste_path_join(folder, e->d_name);
        unlink(path);
        ste_xfree(path);
    }
    ste_closedir(d);
}

void ste_train_clean(const char *folder)
{
    bool others;
    const int newest = ste_train_newest(folder, &others);
    clean_but(folder, newest, newest, true);
    clean_but(folder, -1, -1, true);
    rmdir(folder);
}

/* ---- states ---- */

void ste_examples_hash(const struct ste_example *examples, int n, char hex[65])
{
    struct ste_hasher *h = ste_hasher_new();
    for (int i = 0; i < n; i++) {
        const struct ste_example *x = &examples[i];
        ste_hasher_addu(h, (uint64_t)x->n);
        ste_hasher_addu(h, (uint64_t)x->n_prompt);
        ste_hasher_add(h, &x->weight, sizeof x->weight);
        ste_hasher_add(h, x->tokens, (size_t)x->n * sizeof *x->tokens);
    }
    ste_hasher_hex(h, hex);
}

static bool is_checkpoint(const struct run *r)
{
    const int done = r->t->step;
    return done == r->t->p.total_steps || (r->j->every && done && done % r->j->every == 0);
}

/* The trainer's state stands in the folder: tells the caller, then removes those that nobody needs. */
static int found(struct run *r, struct ste_err *err)
{
    const struct ste_train_job *j = r->j;
    r->best = r->saved = r->t->step;
    int rc = j->saved ? j->saved(j->arg, r->t->log, r->t->step, is_checkpoint(r), &r->best, err) : 0;
    if (!rc)
        clean_but(j->folder, r->saved, r->best, false);
    r->when = ste_now();
    return rc;
}

static int save(struct run *r, struct ste_err *err)
{
    struct ste_err unwritten = {0};
    const double began = ste_now();
    char *path = state_path(r->j->folder, r->t->step);
    int rc = ste_trainer_save(r->t, r->examples, path, &unwritten);
    const double wait = WORTH * (ste_now() - began);
    r->wait = rc || wait > SAVE_SECONDS ? SAVE_SECONDS : wait;
    ste_xfree(path);
    if (!rc)
        return found(r, err);
    if (!r->j->carry_on)
        return ste_err_set(err, rc, "%s", unwritten.msg);
    if (!r->warned)
        ste_warn("%s; the training goes on, but if it is stopped it begins at step %d", unwritten.msg, r->saved);
    r->warned = true;
    r->best = r->t->step;
    r->when = ste_now();
    return 0;
}

static int load(struct run *r, int step, struct ste_err *err)
{
    char *path = state_path(r->j->folder, step);
    int rc = ste_trainer_load(r->t, r->examples, path, err);
    ste_xfree(path);
    return rc;
}

/* ---- steps ---- */

static int resume(struct run *r, struct ste_err *err)
{
    bool others;
    const struct ste_train_job *j = r->j;
    const int newest = ste_train_newest(j->folder, &others);
    int rc = newest < 0 ? 0 : load(r, newest, err);
    if (j->what)
        r->progress = ste_progress_new(j->what, "steps", (uint64_t)r->t->p.total_steps);
    ste_progress_had(r->progress, (uint64_t)r->t->step);
    for (int i = 0; !rc && j->stepped && i < r->t->step; i++)
        rc = j->stepped(j->arg, &r->t->log[i], err);
    return rc || newest < 0 ? rc : found(r, err);
}

static int one_step(struct run *r, struct ste_err *err)
{
    const struct ste_train_job *j = r->j;
    const struct ste_train_params *p = &r->t->p;
    const int group = p->objective->group;
    int *index = ste_xcalloc((size_t)p->batch_examples, sizeof *index);
    struct ste_example *batch = ste_xcalloc((size_t)(p->batch_examples * group), sizeof *batch);
    const int n = ste_train_batch(p, j->n / group, r->t->step, index);
    for (int i = 0; i < n * group; i++) {
        const int at = index[i / group] * group + i % group;
        batch[i] = j->examples[at];
        batch[i].reference = r->t->references ? &r->t->references[at] : NULL;
    }
    int rc = ste_trainer_step(r->t, batch, n * group, NULL, err);
    ste_xfree(index);
    ste_xfree(batch);
    if (rc)
        return rc;
    const struct ste_train_step *s = &r->t->log[r->t->step - 1];
    ste_progress_add(r->progress, 1);
    ste_progress_note(r->progress, "loss %.4f", s->loss);
    return j->stepped ? j->stepped(j->arg, s, err) : 0;
}

int ste_train_run(const struct ste_train_job *j, int *best, struct ste_err *err)
{
    struct run r = {.j = j, .t = j->trainer, .when = ste_now(), .wait = FIRST_SECONDS};
    ste_examples_hash(j->examples, j->n, r.examples);
    ste_keep_references(r.t, j->n);
    int rc = ste_mkdirs(j->folder, err);
    if (!rc)
        rc = resume(&r, err);
    while (!rc && r.t->step < r.t->p.total_steps) {
        rc = one_step(&r, err);
        const bool stop = rc == STE_EINTERRUPTED || (!rc && ste_cancelled()), due = ste_now() - r.when > r.wait;
        const int unsaved =
            (!rc || stop) && r.t->step > r.saved && (stop || due || is_checkpoint(&r)) ? save(&r, err) : 0;
        rc = unsaved ? unsaved : stop ? ste_cancel_check(err) : rc;
    }
    ste_progress_end(r.progress);
    if (!rc && r.t->step != r.best)
        rc = load(&r, r.best, err);
    if (best)
        *best = r.best;
    return rc;
}
