/* The work behind the server: shares of clients, questions that join, jobs that go, errors, stopping, adapters. */
#include "paper.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/log.h"
#include "serve/work.h"

/* A job that asks N questions of LENGTH letters. */
struct asker {
    char client[16];
    int n, length, asked;
    atomic_int answered, over, rc;
    atomic_bool gone;
    int adapter;
    atomic_int grown;
    atomic_size_t last;
    atomic_ullong letters;
    atomic_char first; /* of the last answer */
    struct ste_message message;
    atomic_int *order;
    int place; /* in which it was over */
};

static int begins(void *arg, struct ste_llm *llm, int adapter, struct ste_pump *pump, struct ste_err *err)
{
    ((struct asker *)arg)->adapter = adapter;
    return 0;
}

static int next(void *arg, struct ste_question *q, struct ste_err *err)
{
    struct asker *a = arg;
    if (a->asked == a->n)
        return 0;
    a->asked++;
    q->max_tokens = a->length;
    q->adapter = a->adapter;
    q->messages = &a->message;
    q->n_messages = 1;
    return 1;
}

static void submitted(void *arg, void *tag, uint64_t ticket)
{
}

static int too_long(void *arg, void *tag, const char *why, struct ste_err *err)
{
    return ste_err_set(err, STE_ETOOLONG, "%s", why);
}

static int answer(void *arg, struct ste_answer *a, struct ste_err *err)
{
    struct asker *k = arg;
    k->answered++;
    k->letters += strlen(a->text);
    k->first = a->text[0];
    return 0;
}

static void grows(void *arg, uint64_t ticket, const struct ste_written *so_far)
{
    struct asker *a = arg;
    assert_true(so_far->n > a->last);
    a->last = so_far->n;
    a->grown++;
}

static bool gone(void *arg)
{
    return ((struct asker *)arg)->gone;
}

static void over(void *arg, int rc, const struct ste_err *err)
{
    struct asker *a = arg;
    a->rc = rc;
    if (a->order)
        a->place = (*a->order)++;
    a->over++;
}

static struct ste_job job_of(struct asker *a)
{
    return (struct ste_job){
        .client = a->client,
        .arg = a,
        .begins = begins,
        .pump = {.arg = a, .next = next, .submitted = submitted, .too_long = too_long, .answer = answer},
        .gone = gone,
        .over = over};
}

static struct asker *asker(const char *client, int n, int length)
{
    struct asker *a = ste_xcalloc(1, sizeof *a);
    snprintf(a->client, sizeof a->client, "%s", client);
    a->n = n;
    a->length = length;
    a->message = (struct ste_message){"user", "hello"};
    return a;
}

static void wait_over(struct asker *a)
{
    for (int i = 0; i < 5000 && !a->over; i++)
        usleep(1000);
    assert_int_equal(a->over, 1);
}

static struct ste_work *start(struct paper *p, size_t max_jobs)
{
    struct ste_work *w;
    const struct ste_work_params params = {.llm = &p->llm, .max_jobs = max_jobs};
    assert_int_equal(ste_work_start(&w, &params, NULL), 0);
    return w;
}

static void answers_all(void **state)
{
    struct paper p;
    paper_open(&p, 4, 8);
    struct ste_work *w = start(&p, 0);
    struct asker *a[20];
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i % 3);
        a[i] = asker(name, i, 1 + i % 5);
        const struct ste_job job = job_of(a[i]);
        assert_int_equal(ste_work_add(w, &job, NULL), 0);
    }
    for (int i = 0; i < 20; i++) {
        wait_over(a[i]);
        assert_int_equal(a[i]->rc, 0);
        assert_int_equal(a[i]->answered, i);
        assert_int_equal(a[i]->letters, i * (1 + i % 5));
        free(a[i]);
    }
    ste_work_stop(w, 1);
    paper_close(&p);
}

/* A new job's short answer comes long before another's long one, which is in flight already. */
static void joins(void **state)
{
    struct paper p;
    paper_open(&p, 4, 4);
    p.pause = 4000;
    struct ste_work *w = start(&p, 0);
    struct asker *slow = asker("a", 1, 200), *quick = asker("b", 1, 3);
    const struct ste_job first = job_of(slow), second = job_of(quick);
    assert_int_equal(ste_work_add(w, &first, NULL), 0);
    usleep(20000);
    assert_int_equal(ste_work_add(w, &second, NULL), 0);
    wait_over(quick);
    assert_int_equal(slow->over, 0);
    wait_over(slow);
    ste_work_stop(w, 1);
    free(slow);
    free(quick);
    paper_close(&p);
}

/* Clients with many, few, long and short questions have a like share of what is written. */
static void is_fair(void **state)
{
    struct paper p;
    paper_open(&p, 12, 16);
    p.pause = 300;
    struct ste_work *w = start(&p, 0);
    struct asker *a[8];
    unsigned long long least = ~0ull, all = 0;
    for (int i = 0; i < 8; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i < 4 ? i : i % 2); /* c0 and c1 have three jobs each */
        a[i] = asker(name, 100000, i == 2 ? 100 : 2 + i);
        const struct ste_job job = job_of(a[i]);
        assert_int_equal(ste_work_add(w, &job, NULL), 0);
    }
    usleep(1000000);
    for (int i = 0; i < 8; i++)
        a[i]->gone = true;
    for (int i = 0; i < 8; i++) {
        wait_over(a[i]);
        assert_int_equal(a[i]->rc, STE_EINTERRUPTED);
    }
    ste_work_stop(w, 1);
    for (int c = 0; c < 4; c++) {
        unsigned long long of = 0;
        for (int i = 0; i < 8; i++)
            of += strcmp(a[i]->client, a[c]->client) == 0 ? a[i]->letters : 0;
        all += of;
        least = of < least ? of : least;
    }
    assert_true(8 * least >= all); /* at least half of the mean of four */
    for (int i = 0; i < 8; i++)
        free(a[i]);
    paper_close(&p);
}

static void tells_growth(void **state)
{
    struct paper p;
    paper_open(&p, 4, 8);
    struct ste_work *w = start(&p, 0);
    struct asker *a = asker("a", 1, 50);
    struct ste_job job = job_of(a);
    job.grows = grows;
    assert_int_equal(ste_work_add(w, &job, NULL), 0);
    wait_over(a);
    assert_int_equal(a->grown, 49); /* the last letter comes with the answer */
    assert_int_equal(a->last, 49);
    free(a);
    ste_work_stop(w, 1);
    paper_close(&p);
}

static void bounded(void **state)
{
    struct paper p;
    struct ste_err err = {0};
    paper_open(&p, 1, 1);
    p.pause = 2000;
    struct ste_work *w = start(&p, 4);
    struct asker *a[4];
    for (int i = 0; i < 4; i++) {
        a[i] = asker(i < 2 ? "a" : "b", 1, 100);
        const struct ste_job job = job_of(a[i]);
        assert_int_equal(ste_work_add(w, &job, NULL), 0);
        if (i == 1) { /* half of the queue is one client's at the most */
            assert_int_equal(ste_work_add(w, &job, &err), STE_EBUSY);
            assert_non_null(strstr(err.msg, "of yours"));
        }
    }
    struct asker *more = asker("c", 1, 1);
    const struct ste_job job = job_of(more);
    assert_int_equal(ste_work_add(w, &job, &err), STE_EBUSY);
    struct ste_work_state s;
    ste_work_state(w, &s);
    assert_int_equal(s.jobs, 4);
    assert_int_equal(s.refused, 2);
    for (int i = 0; i < 4; i++)
        wait_over(a[i]);
    usleep(20000);
    ste_work_state(w, &s);
    assert_int_equal(s.jobs, 0);
    assert_int_equal(s.clients, 0);
    assert_int_equal(s.jobs_done, 4);
    assert_int_equal(s.answers, 4);
    assert_int_equal(s.written, 400);
    assert_int_equal(ste_work_add(w, &job, &err), 0);
    wait_over(more);
    for (int i = 0; i < 4; i++)
        free(a[i]);
    free(more);
    ste_work_stop(w, 1);
    paper_close(&p);
}

static void cancels(void **state)
{
    struct paper p;
    paper_open(&p, 8, 8);
    p.pause = 1000;
    struct ste_work *w = start(&p, 0);
    struct asker *a = asker("a", 6, 250), *b = asker("b", 2, 40);
    const struct ste_job first = job_of(a), second = job_of(b);
    assert_int_equal(ste_work_add(w, &first, NULL), 0);
    assert_int_equal(ste_work_add(w, &second, NULL), 0);
    usleep(30000);
    a->gone = true;
    wait_over(a);
    assert_int_equal(a->rc, STE_EINTERRUPTED);
    assert_int_equal(a->answered, 0);
    wait_over(b);
    assert_int_equal(b->rc, 0);
    assert_int_equal(p.cancelled, 6);
    ste_work_stop(w, 1);
    free(a);
    free(b);
    paper_close(&p);
}

/* An error of the model ends what it has been asked, and not what comes later. */
static void survives_errors(void **state)
{
    struct paper p;
    paper_open(&p, 8, 8);
    p.pause = 1000;
    p.fail_at = 20;
    struct ste_work *w = start(&p, 0);
    struct asker *a = asker("a", 3, 100), *long_one = asker("b", 1, 1), *later = asker("c", 2, 5);
    const struct ste_job first = job_of(a), second = job_of(long_one), third = job_of(later);
    assert_int_equal(ste_work_add(w, &first, NULL), 0);
    wait_over(a);
    assert_int_equal(a->rc, STE_EIO);
    usleep(20000);
    assert_int_equal(p.agains, 1);
    long_one->message.content = "endless";
    assert_int_equal(ste_work_add(w, &second, NULL), 0);
    wait_over(long_one);
    assert_int_equal(long_one->rc, STE_ETOOLONG);
    assert_int_equal(ste_work_add(w, &third, NULL), 0);
    wait_over(later);
    assert_int_equal(later->rc, 0);
    ste_work_stop(w, 1);
    free(a);
    free(long_one);
    free(later);
    paper_close(&p);
}

static void stops(void **state)
{
    struct paper p;
    paper_open(&p, 2, 2);
    p.pause = 1000;
    struct ste_work *w = start(&p, 0);
    struct asker *a = asker("a", 2, 60), *b = asker("b", 2, 60);
    const struct ste_job first = job_of(a), second = job_of(b);
    assert_int_equal(ste_work_add(w, &first, NULL), 0);
    assert_int_equal(ste_work_add(w, &second, NULL), 0);
    usleep(10000);
    ste_work_stop(w, 10); /* patiently */
    assert_int_equal(a->over + b->over, 2);
    assert_int_equal(a->rc, 0);
    assert_int_equal(b->rc, 0);
    paper_close(&p);

    paper_open(&p, 2, 2);
    p.pause = 1000;
    w = start(&p, 0);
    *a = (struct asker){.client = "a", .n = 1000, .length = 200, .message = {"user", "hello"}};
    *b = (struct asker){.client = "b", .n = 1000, .length = 200, .message = {"user", "hello"}};
    const struct ste_job third = job_of(a), fourth = job_of(b);
    assert_int_equal(ste_work_add(w, &third, NULL), 0);
    assert_int_equal(ste_work_add(w, &fourth, NULL), 0);
    usleep(10000);
    const double before = ste_now();
    ste_work_stop(w, 0.05);
    assert_true(ste_now() - before < 5);
    assert_int_equal(a->rc, STE_EINTERRUPTED);
    assert_int_equal(b->rc, STE_EINTERRUPTED);
    free(a);
    free(b);
    paper_close(&p);
}

static void put_file(const char *dir, const char *name, const char *text)
{
    char path[512];
    assert_int_equal(ste_mkdirs(dir, NULL), 0);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void reloaded(void *arg, int rc, bool changed, const struct ste_err *err)
{
    *(atomic_int *)arg = rc ? rc : 1 + changed;
}

static int reload(struct ste_work *w)
{
    atomic_int done = 0;
    assert_int_equal(ste_work_reload(w, reloaded, &done, NULL), 0);
    for (int i = 0; i < 5000 && !done; i++)
        usleep(1000);
    return done;
}

/* A job that began keeps its adapter, which is dropped behind it; what comes later has the new one. */
static void reloads(void **state)
{
    struct paper p;
    paper_open(&p, 8, 8);
    p.pause = 4000;
    p.loaded = 1; /* the first one is there */
    char run[] = "/tmp/ste-serve-XXXXXX", path[64];
    assert_non_null(mkdtemp(run));
    put_file(run, "recipe.resolved.yaml", "models:\n  seed: paper\n");
    snprintf(path, sizeof path, "%s/adapters/iter-1", run);
    put_file(path, "adapter_config.json", "{}");
    struct ste_work *w;
    const struct ste_work_params params = {.llm = &p.llm, .judge = run, .adapter = 1};
    assert_int_equal(ste_work_start(&w, &params, NULL), 0);
    struct asker *old = asker("a", 1, 250), *new = asker("a", 1, 5);
    const struct ste_job first = job_of(old), second = job_of(new);
    assert_int_equal(ste_work_add(w, &first, NULL), 0);
    usleep(20000);
    assert_int_equal(reload(w), 2);
    assert_int_equal(p.dropped, 0);
    assert_int_equal(ste_work_add(w, &second, NULL), 0);
    wait_over(new);
    assert_int_equal(new->first, 'c');
    assert_int_equal(old->over, 0);
    assert_int_equal(p.dropped, 0);
    wait_over(old);
    assert_int_equal(old->first, 'b');
    usleep(10000);
    assert_int_equal(p.dropped, 1 << 1);
    struct ste_work_state s;
    ste_work_state(w, &s);
    assert_string_equal(s.adapter, "two");
    assert_int_equal(s.reloads, 1);
    ste_work_stop(w, 1);
    free(old);
    free(new);
    paper_close(&p);
    snprintf(path, sizeof path, "rm -r %s", run);
    assert_int_equal(system(path), 0);
}

static void no_reload_without_a_judge(void **state)
{
    struct paper p;
    paper_open(&p, 8, 8);
    struct ste_work *w = start(&p, 0);
    assert_int_equal(reload(w), STE_EUSAGE);
    ste_work_stop(w, 1);
    paper_close(&p);
}

/* Jobs that stop their own questions, and work without a model. */
static int cancel_all(void *arg, struct ste_answer *a, struct ste_err *err)
{
    struct asker *k = arg;
    k->answered++;
    struct ste_llm *llm = (struct ste_llm *)(uintptr_t)k->message.content;
    while (ste_llm_in_flight(llm))
        ste_llm_cancel(llm, llm->flying[0]);
    k->asked = k->n;
    return 0;
}

static void jobs_cancel_themselves(void **state)
{
    struct paper p;
    paper_open(&p, 8, 8);
    struct ste_work *w = start(&p, 0);
    struct asker *a = asker("a", 100, 4);
    struct ste_job job = job_of(a);
    a->message = (struct ste_message){"user", (const char *)&p.llm};
    job.pump.answer = cancel_all;
    assert_int_equal(ste_work_add(w, &job, NULL), 0);
    wait_over(a);
    assert_int_equal(a->answered, 1);
    assert_int_equal(a->rc, 0);
    ste_work_stop(w, 1);
    free(a);
    paper_close(&p);
}

static int run_whole(void *arg, struct ste_llm *llm, struct ste_err *err)
{
    struct asker *a = arg;
    assert_null(llm);
    a->answered = 7;
    return 0;
}

static void without_a_model(void **state)
{
    struct ste_work *w;
    assert_int_equal(ste_work_start(&w, &(struct ste_work_params){0}, NULL), 0);
    struct asker *a = asker("a", 1, 1), *b = asker("b", 1, 1);
    struct ste_job job = job_of(a), other = job_of(b);
    job.run = run_whole;
    assert_int_equal(ste_work_add(w, &job, NULL), 0);
    assert_int_equal(ste_work_add(w, &other, NULL), 0);
    wait_over(a);
    wait_over(b);
    assert_int_equal(a->answered, 7);
    assert_int_equal(a->rc, 0);
    assert_int_equal(b->rc, STE_EUSAGE);
    ste_work_stop(w, 1);
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_all),     cmocka_unit_test(joins),
        cmocka_unit_test(is_fair),         cmocka_unit_test(tells_growth),
        cmocka_unit_test(bounded),         cmocka_unit_test(cancels),
        cmocka_unit_test(survives_errors), cmocka_unit_test(stops),
        cmocka_unit_test(reloads),         cmocka_unit_test(no_reload_without_a_judge),
        cmocka_unit_test(without_a_model), cmocka_unit_test(jobs_cancel_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
