/* Two answers of one model to a question whose right answer is known: one that is right and one that is wrong, so that
 * style says nothing. A first sample, and further ones until one differs from it in that; where none does, all were
 * right, or all wrong, and there is no pair. Numbers and choices are compared, code has to pass its tests. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/sandbox.h"
#include "data/truth.h"
#include "loop/internal.h"
#include "loop/kinds/kind.h"

enum { FIRST, SECOND };

static const struct ste_sandbox_limits limits = {.seconds = 5, .memory_mb = 512, .disk_mb = 16, .processes = 16};
#define LONGEST_CODE 100000 /* bytes: an argument takes no more */
enum { PASSED = 77, MISSING = 78 };

/* Code that only defines the function is run as a module, then the tests. It cannot pass by ending early. */
static const char runner[] = "import sys\n"
                             "space = {'__name__': 'answer'}\n"
                             "try:\n"
                             "    exec(compile(sys.argv[1], 'answer', 'exec'), space)\n"
                             "except (ModuleNotFoundError, EOFError):\n"
                             "    raise SystemExit(78)\n"
                             "exec(compile(sys.argv[2], 'tests', 'exec'), space)\n"
                             "raise SystemExit(77)\n";

static int run(const char *code, const char *tests, int *status, struct ste_buf *said, struct ste_err *err)
{
    const char *const argv[] = {"python3", "-I", "-c", runner, code, tests, NULL};
    return ste_sandbox_run(argv, &limits, status, said, err);
}

/* Before anything is asked: a machine without a sandbox runs no code. */
static int prepare(struct ste_loop *l, struct ste_pair_job *jobs, size_t n, struct ste_err *err)
{
    size_t i = 0;
    while (i < n && (jobs[i].kind != &ste_kind_verified || jobs[i].paired || !ste_truth_tests(jobs[i].truth)))
        i++;
    if (i == n)
        return 0;
    struct ste_buf said = STE_BUF_INIT;
    int status = 0, rc = run("", "", &status, &said, err);
    if (rc == 0 && status != PASSED)
        rc = ste_err_set(err, STE_EUSAGE, "it does not run python3 (%s%d)", said.len ? said.s : "exit status ", status);
    if (rc != 0)
        ste_err_wrap(err,
                     "pair.kinds: verified runs the code of answers in a sandbox, and pair.sandbox: bwrap does not "
                     "work here; leave out instructions with tests (pair.sandbox: off), or use another machine");
    ste_buf_clear(&said);
    return rc;
}

/* ---- code ---- */

struct result {
    const char *answer;
    char *outcome;
};

static int read_result(void *arg, const struct ste_generation_row *row, struct ste_err *err)
{
    struct result *x = arg;
    if (!x->outcome && row->parent && strcmp(row->parent, x->answer) == 0)
        x->outcome = ste_xstrdup(row->text);
    return 0;
}

/* "passed", "failed", "out of time" or "cannot be tested": code is run once, and what came of it stays in the store. */
static int test(struct ste_loop *l, const struct ste_pair_job *j, const char *answer, const char *text, char **out,
                struct ste_err *err)
{
    struct result x = {answer, NULL};
    int rc = ste_each_generation(l->store, j->instruction, "tests", read_result, &x, err);
    *out = x.outcome;
    if (rc != 0 || *out)
        return rc;
    char *code = ste_truth_code(text);
    int status = MISSING;
    if (code && strlen(code) < LONGEST_CODE)
        rc = run(code, ste_truth_tests(j->truth), &status, NULL, err);
    ste_xfree(code);
    if (rc != 0)
        return rc;
    const char *outcome = status == PASSED                                                    ? "passed"
                          : status == MISSING                                                 ? "cannot be tested"
                          : status == STE_SANDBOX_TIMED_OUT || status == 137 || status == 152 ? "out of time"
                                                                                              : "failed";
    struct ste_id prov, id;
    rc = ste_loop_provenance_plain(l, "sandbox",
                                   json_pack("{s:s, s:i, s:i, s:i, s:i}", "sandbox", "bwrap", "seconds", limits.seconds,
                                             "memory_mb", limits.memory_mb, "disk_mb", limits.disk_mb, "processes",
                                             limits.processes),
                                   &prov, err);
    id = ste_id_of("generation", "tests", j->instruction, answer, prov.s, NULL);
    const struct ste_generation_row row = {.id = id.s,
                                           .instruction = j->instruction,
                                           .kind = "tests",
                                           .parent = answer,
                                           .text = outcome,
                                           .finish = "made",
                                           .provenance = prov.s};
    *out = ste_xstrdup(outcome);
    return rc != 0 ? rc : ste_put_generation(l->store, &row, err);
}

/* ---- pairs ---- */

static int examine(struct ste_loop *l, struct ste_pair_job *j, int piece, struct ste_err *err)
{
    struct ste_piece *p = &j->pieces[piece];
    char *outcome = NULL;
    enum ste_finding found;
    int rc = 0;
    if ((p->fault = ste_fault_answer(l, j, p->text)))
        return 0;
    if (ste_truth_tests(j->truth)) {
        rc = test(l, j, p->id.s, p->text, &outcome, err);
        found = rc != 0 || strcmp(outcome, "cannot be tested") == 0 ? STE_FOUND_UNCLEAR
                : strcmp(outcome, "passed") == 0                    ? STE_FOUND_RIGHT
                                                                    : STE_FOUND_WRONG;
        ste_xfree(outcome);
    } else {
        found = ste_truth_find(j->truth, p->text);
    }
    p->wrong = found == STE_FOUND_WRONG;
    if (found == STE_FOUND_UNCLEAR)
        p->fault = "not clear what it comes to";
    else if (piece == SECOND && p->wrong == j->pieces[FIRST].wrong)
        p->fault = p->wrong ? "all wrong" : "all right";
    return rc;
}

static bool takes_known(const struct ste_loop *l, const struct ste_pair_job *j)
{
    return j->truth && (l->recipe.sandbox != STE_SANDBOX_OFF || !ste_truth_tests(j->truth));
}

static const struct ste_piece_kind pieces[] = {
    [FIRST] = {.name = "sample", .role = STE_LOOP_ANSWER, .ask = ste_ask_answer, .examine = examine},
    [SECOND] = {.name = "other sample",
                .role = STE_LOOP_ANSWER,
                .after = 1u << FIRST,
                .sample = 1,
                .ask = ste_ask_answer,
                .examine = examine},
};

const struct ste_pair_kind ste_kind_verified = {
    .name = "verified",
    .label_source = "verified",
    .pieces = pieces,
    .n = 2,
    .chosen = FIRST,
    .modified = -1,
    .rejected = SECOND,
    .takes = takes_known,
    .prepare = prepare,
};
