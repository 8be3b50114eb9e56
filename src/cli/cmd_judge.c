#include <string.h>

#include "cli/judging.h"
#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "eval/files.h"

struct options {
    char *judge, *in, *out, *batch_out;
    struct ste_strings batch_in;
    bool one_order;
    struct ste_judging_flags f;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_STRING("judge", judge, NULL, "JUDGE", STE_JUDGE_HELP),
    STE_STRING("in", in, NULL, "PAIRS",
               "JSONL with prompt or messages, response_a, response_b, perhaps id (- is the standard input: each row "
               "is judged as it comes, and a bad one is named and passed over)"),
    STE_STRING("out", out, NULL, "VERDICTS",
               "the rows with verdict (A, B, tie, invalid), verdict_two_order, margin and more (- is the standard "
               "output)"),
    STE_BOOL("one_order", one_order, NULL, "only with response_a first: half the calls, position bias unseen"),
    STE_STRING("batch_out", batch_out, NULL, "FILE",
               "ask nobody: write the requests that have no result as OpenAI's batch file (docs/cluster.md)"),
    STE_LIST("batch_in", batch_in, NULL, "FILE", "all files of results so far; what they lack goes to --batch-out"),
    STE_BOOL("dry_run", f.dry, NULL, STE_DRY_RUN_HELP),
    STE_TABLE("", f, ste_judging_options),
    {0},
};
/* clang-format on */

static int write_rows(struct ste_jsonl_writer *w, const struct ste_answer_pairs *pairs, const struct ste_outcome *out,
                      bool both, struct ste_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < pairs->n && !rc; i++) {
        json_t *row = ste_verdict_row(&pairs->items[i], &out[i], both);
        rc = ste_jsonl_write(w, row, err);
        json_decref(row);
    }
    return rc ? rc : ste_jsonl_flush(w, err);
}

struct counts {
    size_t pairs, of[STE_N_VERDICTS];
    size_t bad; /* rows of a stream that are no pairs */
    struct ste_err first_bad;
    bool unfinished; /* requests were written in place of what is not answered yet */
};

static void count(struct counts *c, const struct ste_outcome *out, size_t n, bool both)
{
    c->pairs += n;
    for (size_t i = 0; i < n; i++)
        c->of[ste_outcome_verdict(&out[i], both)]++;
}

static void say_counts(const struct counts *c, bool both)
{
    ste_info("%zu pairs in %s: A %zu, B %zu, %s %zu, invalid %zu", c->pairs, both ? "both orders" : "the order given",
             c->of[STE_VERDICT_A], c->of[STE_VERDICT_B], both ? "tie (the orders disagree, or equal scores)" : "tie",
             c->of[STE_VERDICT_TIE], c->of[STE_VERDICT_INVALID]);
}

#define STREAM 512  /* pairs of a stream that are judged together, */
#define PIECE 16384 /* of a file: in memory at a time, and enough that the end of each piece counts little */

static int judge_some(struct ste_session *j, const struct ste_answer_pairs *pairs, struct ste_jsonl_writer *w,
                      bool both, struct ste_progress *progress, struct counts *c, struct ste_err *err)
{
    struct ste_outcome *out = ste_xcalloc(pairs->n ? pairs->n : 1, sizeof *out);
    bool whole = true;
    int rc = ste_eval_pairs(j, pairs, both, out, progress, err);
    if (j->batch)
        rc = ste_batch_finish(j->llm, rc, &whole, err);
    c->unfinished = !whole;
    if (!rc && whole && w)
        rc = write_rows(w, pairs, out, both, err);
    count(c, out, pairs->n, both);
    ste_outcomes_clear(out, pairs->n);
    ste_xfree(out);
    return rc;
}

static struct ste_progress *begin(struct ste_session *j, size_t pairs, bool both)
{
    char *title = ste_session_title(j);
    const size_t calls = ste_eval_calls(j, pairs, both);
    ste_info("%s: %zu pairs, %zu calls", title, pairs, calls);
    ste_xfree(title);
    return ste_progress_new("judge", "verdicts", calls);
}

/* The pairs of the stream that are there are judged together and their rows written at once, so that a program which
 * sends a pair and waits for its verdict gets it. A bad row of it is named and counted, and those behind it are judged.
 * A file's are judged by pieces. */
static int judge_pieces(struct ste_session *j, const struct options *o, struct ste_jsonl_writer *w,
                        struct ste_progress *progress, struct counts *c, struct ste_err *err)
{
    const struct ste_judging_flags *f = &o->f;
    const bool stream = strcmp(o->in, "-") == 0;
    const size_t most = stream ? STREAM : PIECE;
    struct ste_pairs_reader *r;
    int rc = ste_pairs_reader_open(&r, o->in, NULL, STE_PAIRS_UNLABELLED, f->judge.reference, err);
    if (rc)
        return rc;
    for (size_t got = 1; got && !rc && (!f->limit || c->pairs < (size_t)f->limit);) {
        struct ste_answer_pairs pairs = {0};
        const size_t left = f->limit ? (size_t)f->limit - c->pairs : most;
        rc = ste_pairs_reader_next(r, &pairs, left < most ? left : most, stream, err);
        got = pairs.n;
        if (rc == STE_EINPUT && stream) {
            ste_warn("%s", err->msg);
            if (!c->bad++)
                c->first_bad = *err;
            got = 1;
            rc = 0;
        } else if (!rc && got) {
            rc = judge_some(j, &pairs, w, !o->one_order, progress, c, err);
        }
        ste_answer_pairs_clear(&pairs);
    }
    ste_pairs_reader_close(r);
    if (!rc && !c->pairs && !c->bad)
        rc = ste_err_set(err, STE_EINPUT, "the standard input holds no rows; one pair a line is expected");
    return rc;
}

/* How many pairs of the file will be judged. All rows are read first: a bad one is told before anything is asked. */
static int count_pairs(const struct options *o, size_t *n, struct ste_err *err)
{
    const size_t limit = (size_t)o->f.limit;
    struct ste_pairs_reader *r;
    int rc = ste_pairs_reader_open(&r, o->in, NULL, STE_PAIRS_UNLABELLED, o->f.judge.reference, err);
    *n = 0;
    for (size_t got = 1; got && !rc && (!limit || *n < limit);) {
        struct ste_answer_pairs pairs = {0};
        const size_t left = limit ? limit - *n : PIECE;
        rc = ste_pairs_reader_next(r, &pairs, left < PIECE ? left : PIECE, false, err);
        got = pairs.n;
        *n += got;
        ste_answer_pairs_clear(&pairs);
    }
    ste_pairs_reader_close(r);
    return rc || *n ? rc : ste_err_set(err, STE_EINPUT, "%s holds no rows; one pair a line is expected", o->in);
}

static int check(const struct options *o, const struct ste_strings *words, struct ste_err *err)
{
    const bool stream = o->in && strcmp(o->in, "-") == 0, batch = o->batch_in.n || o->batch_out,
               no_out = o->f.dry || o->batch_out;
    if (words->n)
        return ste_err_set(err, STE_EUSAGE,
                           "`ste judge` judges a file of pairs by --judge; the loop's step for the "
                           "run in %s is `ste judge-step %s`",
                           words->items[0], words->items[0]);
    if (!o->judge || !o->in || (!o->out && !no_out))
        return ste_err_set(err, STE_EUSAGE, "%s is missing; `ste help judge` shows the flags",
                           !o->judge ? "--judge"
                           : !o->in  ? "--in"
                                     : "--out");
    if (stream && o->f.sample)
        return ste_err_set(err, STE_EUSAGE,
                           "--sample draws from a whole file; the standard input is judged as it comes");
    if (stream && (batch || o->f.dry))
        return ste_err_set(err, STE_EUSAGE, "--dry-run, --batch-in and --batch-out take a whole file as --in");
    if (batch && o->f.dry)
        return ste_err_set(err, STE_EUSAGE, "--dry-run goes without --batch-in and --batch-out");
    int rc = ste_judging_check(&o->f, err);
    return rc ? rc : ste_outputs_try((const char *const[]){o->f.dry ? NULL : o->out, o->batch_out}, 2, err);
}

/* What --batch-out wrote. */
static void say_requests(const struct options *o, const struct ste_batch *b)
{
    struct ste_buf files = STE_BUF_INIT;
    for (size_t i = 0; i < b->files.n; i++)
        ste_buf_addf(&files, "%s%s", i ? ", " : "", b->files.items[i]);
    if (b->files.n)
        ste_info("%zu requests in %s: run them, then give the same command with --batch-in and all files of results",
                 b->written, files.s);
    else
        ste_info("nothing is left to ask: %s is not written%s", o->batch_out,
                 o->out ? "" : "; --out takes the verdicts");
    ste_buf_clear(&files);
}

static int judge_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    const bool both = !o->one_order, stream = o->in && strcmp(o->in, "-") == 0,
               /* what can be read but once, and what is drawn from; requests of a batch are written for all rows */
        whole =
            o->in && (o->f.sample || o->f.dry || o->batch_out || o->batch_in.n || (!stream && !ste_is_regular(o->in)));
    struct ste_session j = {0};
    struct ste_answer_pairs pairs = {0};
    struct ste_jsonl_writer *w = NULL;
    struct ste_batch batch = {.in = o->batch_in.n ? &o->batch_in : NULL, .out = o->batch_out};
    struct counts c = {0};
    size_t n = 0;
    int rc = check(o, words, err);
    if (rc)
        return rc;
    rc = ste_session_open(&j, o->judge, &o->f.judge, STE_JUDGE_PAIRS, err);
    j.batch = o->f.dry || batch.in || batch.out ? &batch : NULL;
    if (!rc && !stream)
        rc = whole ? ste_answer_pairs_read(&pairs, o->in, NULL, STE_PAIRS_UNLABELLED, (size_t)o->f.limit, err)
                   : count_pairs(o, &n, err);
    if (!rc && o->f.sample)
        ste_answer_pairs_sample(&pairs, (size_t)o->f.sample, (uint64_t)o->f.judge.seed);
    if (!rc && whole && o->f.judge.reference)
        rc = ste_answer_pairs_references(&pairs, err);
    if (!rc)
        rc = ste_session_load(&j, &o->f.judge, err);
    if (!rc && o->out && !o->f.dry)
        rc = ste_jsonl_create(&w, o->out, err);
    struct ste_progress *progress = rc || stream ? NULL : begin(&j, whole ? pairs.n : n, both);
    if (!rc)
        rc = whole ? judge_some(&j, &pairs, w, both, progress, &c, err) : judge_pieces(&j, o, w, progress, &c, err);
    ste_progress_end(progress);
    if (c.unfinished) {
        ste_jsonl_abort(w);
        w = NULL;
    }
    if (w)
        rc = ste_jsonl_end(w, rc, err);
    if (!rc && o->f.dry)
        ste_judging_say_dry(&j);
    else if (!rc && !c.unfinished)
        say_counts(&c, both);
    if (!rc && batch.out)
        say_requests(o, &batch);
    if (!rc && c.bad)
        rc = ste_err_set(err, STE_EINPUT, "%zu row%s could not be judged%s: %s", c.bad, c.bad == 1 ? "" : "s",
                         c.bad == 1 ? "" : ", the first one", c.first_bad.msg);
    ste_answer_pairs_clear(&pairs);
    ste_session_close(&j);
    ste_batch_clear(&batch);
    return rc;
}

STE_COMMAND(judge, "judge", "--judge JUDGE --in PAIRS.jsonl --out VERDICTS.jsonl [flags]", "Judge a file of pairs.",
            options, 1, NULL, judge_run);
