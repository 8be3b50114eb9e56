#include "train/external.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/context.h"
#include "core/file.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/process.h"
#include "train/internal.h"

#define LOOK_SECONDS 0.05
#define LINE_MAX_BYTES (1u << 20)
#define AFTER_KILL 10 /* seconds that a killed process has to be gone */

struct external {
    const struct ste_external_job *j;
    char *progress, *log, *complete; /* paths */
    off_t log_from;                  /* where this trainer's log begins */
    pid_t id;                        /* 0: it has ended, or an earlier command started it */
    int status;                      /* as of ste_process_ended; -1 for one of an earlier command */
    double told, killed;             /* when it was told to stop, when it was killed; 0: it was not */
    /* what it tells of itself */
    struct ste_buf pending; /* of a line */
    off_t at;
    long lines, bad, first_bad;
    struct ste_train_step *steps; /* [total] */
    int last;
    char *checkpoint, *error; /* NULL: none */
    struct ste_progress *bar;
};

/* ---- progress ---- */

/* The tokens of a step are known without the trainer. */
static void count_tokens(const struct external *x, struct ste_train_step *s)
{
    const struct ste_train_params *p = x->j->params;
    const int group = p->objective->group;
    int *index = ste_xcalloc((size_t)p->batch_examples, sizeof *index);
    const int n = ste_train_batch(p, x->j->n / group, s->step - 1, index);
    for (int i = 0; i < n * group; i++) {
        const struct ste_example *e = &x->j->examples[index[i / group] * group + i % group];
        s->tokens += e->n;
        s->loss_tokens += e->n - e->n_prompt;
    }
    ste_xfree(index);
}

static double number_or_none(const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

/* A line is {"step", "loss"} and what else is known, {"checkpoint"} or {"error"}; false: none of these. */
static bool take_row(struct external *x, const json_t *row)
{
    const char *error = ste_json_text(json_object_get(row, "error")),
               *checkpoint = ste_json_text(json_object_get(row, "checkpoint"));
    if (error && !x->error) /* the others are what follows from the first one */
        x->error = ste_xstrdup(error);
    if (checkpoint) {
        ste_xfree(x->checkpoint);
        x->checkpoint = ste_xstrdup(checkpoint);
    }
    if (error || checkpoint)
        return true;
    const json_t *step = json_object_get(row, "step"), *loss = json_object_get(row, "loss");
    const json_int_t n = json_integer_value(step);
    if (!json_is_integer(step) || n < 1 || n > x->j->params->total_steps || !json_is_number(loss))
        return false;
    struct ste_train_step *s = &x->steps[n - 1];
    *s = (struct ste_train_step){.step = (int)n,
                                 .loss = json_number_value(loss),
                                 .lr = number_or_none(row, "lr"),
                                 .grad_norm = number_or_none(row, "grad_norm")};
    count_tokens(x, s);
    if (n > x->last) {
        ste_progress_add(x->bar, (uint64_t)(n - x->last));
        x->last = (int)n;
    }
    ste_progress_note(x->bar, "loss %.4f", s->loss);
    return true;
}

static void take_line(struct external *x, const char *line, size_t n)
{
    json_t *row = n ? json_loadb(line, n, 0, NULL) : NULL;
    x->lines++;
    if (n && !(json_is_object(row) && take_row(x, row)) && x->bad++ == 0)
        x->first_bad = x->lines;
    json_decref(row);
}

/* What was appended since the last look, as far as its lines are whole. */
static void read_progress(struct external *x)
{
    char bytes[65536];
    const int fd = ste_open(x->progress, O_RDONLY);
    for (ssize_t n; fd >= 0 && (n = pread(fd, bytes, sizeof bytes, x->at)) > 0; x->at += n) {
        ste_buf_add(&x->pending, bytes, (size_t)n);
        size_t from = 0;
        for (char *end; (end = memchr(x->pending.s + from, '\n', x->pending.len - from));) {
            const size_t to = (size_t)(end - x->pending.s);
            take_line(x, x->pending.s + from, to - from);
            from = to + 1;
        }
        struct ste_buf rest = STE_BUF_INIT;
        if (x->pending.len - from < LINE_MAX_BYTES)
            ste_buf_add(&rest, x->pending.s + from, x->pending.len - from);
        ste_buf_clear(&x->pending);
        x->pending = rest;
    }
    if (fd >= 0)
        ste_close(fd);
}

/* ---- running it ---- */

static off_t size_of(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 ? s.st_size : 0;
}

/* A trainer that was killed may have left part of a line, which the next one is not to go on with. */
static void end_line(struct external *x)
{
    const int fd = x->pending.len ? ste_open(x->progress, O_WRONLY | O_APPEND) : -1;
    if (fd >= 0 && write(fd, "\n", 1) != 1)
        ste_warn("cannot write to %s", x->progress);
    if (fd >= 0)
        ste_close(fd);
}

static int start(struct external *x, struct ste_err *err)
{
    const struct ste_strings *c = x->j->command;
    if (ste_process_logs(x->log)) {
        ste_info("a trainer that an earlier command started is at work in %s: waiting for it", x->j->folder);
        return 0;
    }
    end_line(x);
    x->log_from = size_of(x->log);
    char *real = realpath(x->j->folder, NULL), *folder = real ? ste_xtake(real, 0) : ste_xstrdup(x->j->folder);
    char **argv = ste_xcalloc(c->n + 2, sizeof *argv);
    memcpy(argv, c->items, c->n * sizeof *argv);
    argv[c->n] = folder;
    int rc = ste_process_start_logged(argv, x->log, &x->id, err);
    if (rc)
        ste_err_wrap(err, "train.command");
    ste_xfree(argv);
    ste_xfree(folder);
    return rc;
}

/* Ctrl-C: the trainer is told once, and killed when it takes too long. */
static void stop(struct external *x)
{
    const double now = ste_now();
    if (x->told == 0) {
        ste_info("waiting up to %.0f s for the trainer to keep a checkpoint", x->j->grace);
        ste_process_tell(x->id, x->log, SIGTERM, false);
        x->told = now;
    } else if (x->killed == 0 && now - x->told > x->j->grace) {
        ste_warn("the trainer did not stop within %.0f s (train.grace) and is killed", x->j->grace);
        ste_process_tell(x->id, x->log, SIGKILL, true);
        x->killed = now;
    }
}

/* Steps of the marker that all were done; -1: there is none. */
static long long complete_steps(const struct external *x)
{
    struct ste_buf text = STE_BUF_INIT;
    json_t *c = ste_file_read(x->complete, 1 << 20, &text, NULL) ? NULL : json_loadb(text.s, text.len, 0, NULL);
    const json_t *steps = json_object_get(c, "steps");
    const long long n = json_is_integer(steps) ? json_integer_value(steps) : -1;
    json_decref(c);
    ste_buf_clear(&text);
    return n;
}

static bool is_complete(const struct external *x)
{
    return complete_steps(x) >= x->j->params->total_steps;
}

/* Until it has ended, and all that it started. What is left of one that is done need not be waited for. */
static void watch(struct external *x)
{
    for (;;) {
        read_progress(x);
        if (x->id && ste_process_ended(x->id, &x->status))
            x->id = 0;
        if (!x->id && ((x->status == 0 && is_complete(x)) || !ste_process_logs(x->log)))
            break;
        if (ste_cancelled())
            stop(x);
        if (x->killed > 0 && ste_now() - x->killed > AFTER_KILL)
            break;
        nanosleep(&(struct timespec){.tv_nsec = (long)(LOOK_SECONDS * 1e9)}, NULL);
    }
    read_progress(x);
}

/* ---- what it left ---- */

/* The end of what the trainer said, as part of a sentence; the caller frees it. */
static char *last_words(const struct external *x)
{
    enum { MOST = 360 };
    const off_t size = size_of(x->log), from = size - x->log_from > MOST ? size - MOST : x->log_from;
    char text[MOST + 1] = "";
    const int fd = x->error ? -1 : ste_open(x->log, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : pread(fd, text, MOST, from);
    if (fd >= 0)
        ste_close(fd);
    if (x->error) {
        snprintf(text, sizeof text, "%s", x->error);
        n = (ssize_t)strlen(text);
    }
    for (ssize_t i = 0; i < n; i++)
        text[i] = (unsigned char)text[i] < ' ' ? ' ' : text[i];
    while (n > 0 && text[n - 1] == ' ')
        n--;
    return n > 0 ? ste_xasprintf("; its last words: %s%.*s", x->error || from == x->log_from ? "" : "...", (int)n, text)
                 : ste_xstrdup("; it said nothing");
}

static int failed(const struct external *x, const char *what, struct ste_err *err)
{
    char *words = last_words(x), how[64] = "of an earlier command ended";
    if (x->status > 128)
        snprintf(how, sizeof how, "was ended by signal %d", x->status - 128);
    else if (x->status >= 0)
        snprintf(how, sizeof how, "ended with exit code %d", x->status);
    int rc = ste_err_set(err, STE_EFAIL, "the trainer %s after step %d of %d %s (its log: %s)%s", how, x->last,
                         x->j->params->total_steps, what, x->log, words);
    ste_xfree(words);
    return rc;
}

static int check_complete(const struct external *x, struct ste_err *err)
{
    char what[96];
    const long long steps = complete_steps(x);
    if (is_complete(x))
        return 0;
    if (steps < 0)
        return failed(x, "and left no complete.json that says how many it did", err);
    snprintf(what, sizeof what, "and its complete.json says %lld steps: the adapter is half trained", steps);
    return failed(x, what, err);
}

static int take_adapter(const struct external *x, struct ste_lora **out, struct ste_err *err)
{
    const struct ste_lora *asked = x->j->start;
    char *path = ste_path_join(x->j->folder, "adapter");
    struct ste_lora *l = NULL;
    int rc = ste_lora_read_peft(&l, x->j->model, path, err);
    if (!rc && (l->r != asked->r || l->alpha != asked->alpha || l->head))
        rc = ste_err_set(err, STE_EINPUT, "%s has rank %d and alpha %g%s; rank %d and alpha %g were asked for", path,
                         l->r, l->alpha, l->head ? " and a head" : "", asked->r, asked->alpha);
    if (rc)
        ste_lora_free(l);
    else
        *out = l;
    ste_xfree(path);
    return rc;
}

static int take(struct external *x, struct ste_lora **out, struct ste_err *err)
{
    int rc = check_complete(x, err);
    if (!rc && (rc = take_adapter(x, out, err)))
        ste_err_wrap(err, "what the trainer left is of no use (remove %s to train again)", x->j->folder);
    if (!rc && x->bad)
        ste_warn("%ld lines of %s tell of no step and were passed over, the first of them line %ld", x->bad,
                 x->progress, x->first_bad);
    return rc;
}

/* Goes on from what an earlier call left, if anything. */
static int begin(struct external *x, struct ste_err *err)
{
    const struct ste_external_job *j = x->j;
    int rc = ste_mkdirs(j->folder, err);
    read_progress(x);
    char *checkpoint = x->checkpoint ? ste_path_join(j->folder, x->checkpoint) : NULL;
    if (!rc)
        rc = ste_hand_over(j, checkpoint && ste_is_folder(checkpoint) ? x->checkpoint : NULL, err);
    ste_xfree(checkpoint);
    x->bar = ste_progress_new(j->what, "steps", (uint64_t)j->params->total_steps);
    ste_progress_had(x->bar, (uint64_t)x->last);
    ste_xfree(x->error); /* of an earlier try */
    x->error = NULL;
    return rc;
}

int ste_external_train(const struct ste_external_job *j, struct ste_lora **out, struct ste_train_step **log,
                       struct ste_err *err)
{
    struct external x = {.j = j,
                         .progress = ste_path_join(j->folder, "progress.jsonl"),
                         .log = ste_path_join(j->folder, "log"),
                         .complete = ste_path_join(j->folder, "complete.json"),
                         .status = -1,
                         .pending = STE_BUF_INIT,
                         .steps = ste_xcalloc((size_t)j->params->total_steps + 1, sizeof *x.steps)};
    *out = NULL;
    int rc = begin(&x, err);
    if (!rc && !is_complete(&x) && !(rc = ste_cancel_check(err)) && !(rc = start(&x, err))) {
        watch(&x);
        rc = ste_cancel_check(err);
    }
    ste_progress_end(x.bar);
    if (!rc)
        rc = take(&x, out, err);
    *log = x.steps;
    ste_buf_clear(&x.pending);
    ste_xfree(x.checkpoint);
    ste_xfree(x.error);
    ste_xfree(x.progress);
    ste_xfree(x.log);
    ste_xfree(x.complete);
    return rc;
}
