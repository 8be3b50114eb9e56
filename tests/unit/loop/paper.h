/* A language model of paper for the loop's tests: it answers from a hash of the question, in any order of arrival, and
 * may be interrupted after any number of answers. And what such a test needs of a run: files, a recipe, a folder. */
#ifndef STE_TESTS_PAPER_H
#define STE_TESTS_PAPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/rng.h"
#include "loop/internal.h"
#include "store/statement.h"

struct paper {
    struct ste_llm llm;
    struct ste_answer *flying; /* answered when asked, told later */
    size_t n, cap;
};

static size_t window = 8;
static int arrival;          /* 0: first in first out, 1: last in first out, 2: shuffled */
static long answers_left;    /* then it is interrupted; negative: never */
static double share_a = 0.5; /* of verdicts for A */

static double share(uint64_t *key)
{
    struct ste_rng r;
    ste_rng_init(&r, (*key)++, 0);
    return ste_rng_uniform(&r);
}

static int paper_prepare(struct ste_llm *l, const struct ste_question *ask, struct ste_prepared *q, struct ste_err *err)
{
    char how[64];
    snprintf(how, sizeof how, "%d/%d/%g/%llu", ask->sample, ask->adapter, ask->sampling.temperature,
             (unsigned long long)ask->seed);
    const char *last = ask->messages[ask->n_messages - 1].content;
    uint64_t key = ste_key_of(last, how, NULL);
    if (strstr(last, "endless"))
        return ste_err_set(err, STE_ETOOLONG, "too long for the paper model");
    snprintf(q->address, sizeof q->address, "%016llx", (unsigned long long)key);
    q->n_prompt = 2;
    q->prompt = ste_xcalloc(2, sizeof *q->prompt);
    q->prompt[0] = (int32_t)(ste_key_of(last, NULL) & 0xffff);
    struct ste_answer *a = ste_xcalloc(1, sizeof *a);
    q->own = a;
    q->free_own = free;
    double u = share(&key);
    struct ste_completion *c = &a->completion;
    c->choice = -1;
    c->n = c->n_free = 1;
    c->finish = c->free_finish = u < 0.05 ? STE_FINISH_LENGTH : STE_FINISH_END;
    a->text = u < 0.1    ? ste_xstrdup(" ")
              : u < 0.15 ? ste_xstrdup("I'm sorry, but I can't do that.")
                         : ste_xasprintf("text %016llx%.*s%s", (unsigned long long)key, (int)(key % 5), "long",
                                         ask->sampling.temperature > 1 ? ". It goes on and on." : "");
    if (strstr(last, "How many") && !ask->n_choices) { /* answers that can be right, or damaged */
        free(a->text);
        a->text =
            ste_xasprintf("The answer is %d. This was counted %d times in %d minutes, before it was known for certain.",
                          (int)(key % 3), (int)(key % 7) + 2, (int)(key % 50) + 10);
    }
    if (strstr(last, "Write a function")) {
        free(a->text);
        a->text = ste_xasprintf("```python\ndef f(x):\n    return x + %d\n```", (int)(key % 2));
    }
    if (ask->n_choices) {
        bool cut = ask->max_tokens && u < 0.1;
        c->n_free = ask->max_tokens ? 1 : 0;
        c->n = cut ? 1 : 2;
        c->finish = cut ? STE_FINISH_LENGTH : STE_FINISH_CHOICE;
        if (!cut)
            c->choice = ask->n_choices == 2 ? share(&key) >= share_a : (int)(key % (unsigned)ask->n_choices);
        for (int i = 0; i < ask->n_choices; i++)
            c->choice_logprobs[i] = i == c->choice ? -0.25f : -2.0f;
    }
    if (ask->given) { /* as if it had been written */
        key = ste_key_of(last, ask->given, NULL);
        c->n = c->n_free = 1;
        c->finish = c->free_finish = STE_FINISH_END;
        free(a->text);
        a->text = ste_xstrdup(ask->given);
    }
    c->tokens = ste_xcalloc(c->n, sizeof *c->tokens);
    c->logprobs = ste_xcalloc(c->n, sizeof *c->logprobs);
    c->tokens[0] = (int32_t)(key & 0xffff);
    if (c->choice >= 0 && ask->n_choices == 2)
        c->tokens[c->n - 1] = "AB"[c->choice];
    if (ask->given) { /* ten tokens, as likely as the hash says */
        a->n_written = 1;
        c->logprobs[0] = -(float)(key & 0xff) / 8;
    }
    return 0;
}

static int paper_submit(struct ste_llm *l, struct ste_prepared *q, struct ste_err *err)
{
    struct paper *p = (struct paper *)l;
    STE_GROW(p->flying, p->cap, p->n + 1);
    struct ste_answer *a = &p->flying[p->n++];
    *a = *(struct ste_answer *)q->own;
    a->ticket = q->ticket;
    a->tag = q->tag;
    memcpy(a->address, q->address, sizeof a->address);
    a->prompt = q->prompt;
    a->n_prompt = q->n_prompt;
    q->prompt = NULL;
    ste_prepared_clear(q);
    return 0;
}

static void take(struct paper *p, size_t i, struct ste_answer *out)
{
    *out = p->flying[i];
    memmove(&p->flying[i], &p->flying[i + 1], (p->n - i - 1) * sizeof *p->flying);
    p->n--;
}

static void paper_cancel(struct ste_llm *l, uint64_t ticket)
{
    struct paper *p = (struct paper *)l;
    for (size_t i = 0; i < p->n; i++)
        if (p->flying[i].ticket == ticket) {
            struct ste_answer a;
            take(p, i, &a);
            ste_answer_clear(&a);
            return;
        }
}

static int paper_next(struct ste_llm *l, struct ste_answer *out, struct ste_err *err)
{
    struct paper *p = (struct paper *)l;
    static uint64_t turn;
    if (answers_left == 0)
        return ste_err_set(err, STE_EINTERRUPTED, "interrupted");
    if (answers_left > 0)
        answers_left--;
    turn++;
    uint64_t key = turn;
    take(p, arrival == 0 ? 0 : arrival == 1 ? p->n - 1 : (size_t)(share(&key) * (double)p->n), out);
    return 1;
}

static void paper_close(struct ste_llm *l)
{
    struct paper *p = (struct paper *)l;
    for (size_t i = 0; i < p->n; i++)
        ste_answer_clear(&p->flying[i]);
    free(p->flying);
    free(p);
}

static int paper_load_adapter(struct ste_llm *l, const char *dir, int *handle, struct ste_err *err)
{
    *handle = 1;
    return 0;
}

static void paper_drop_adapter(struct ste_llm *l, int handle)
{
}

static int paper_tokenize(struct ste_llm *l, const char *text, int32_t **ids, size_t *n, struct ste_err *err)
{
    *n = strlen(text);
    *ids = ste_xcalloc(*n + 1, sizeof **ids);
    for (size_t i = 0; i < *n; i++)
        (*ids)[i] = (unsigned char)text[i];
    return 0;
}

static const char *paper_adapter_hash(const struct ste_llm *l, int handle)
{
    return "abcd";
}

static int paper_open(struct ste_llm **out, const char *model, const struct ste_llm_params *params, struct ste_err *err)
{
    static const struct ste_llm_ops ops = {.prepare = paper_prepare,
                                           .submit = paper_submit,
                                           .cancel = paper_cancel,
                                           .next = paper_next,
                                           .close = paper_close,
                                           .load_adapter = paper_load_adapter,
                                           .drop_adapter = paper_drop_adapter,
                                           .adapter_hash = paper_adapter_hash,
                                           .tokenize = paper_tokenize};
    struct paper *p = ste_xcalloc(1, sizeof *p);
    p->llm = (struct ste_llm){
        .ops = &ops,
        .about = {.name = "paper", .model_hash = "0123", .numerics = "paper 1", .can = 63, .window = window}};
    *out = &p->llm;
    return 0;
}

static int open_loop(struct ste_loop **out, const char *dir, const struct ste_recipe *r, struct ste_err *err)
{
    int rc = ste_loop_open(out, dir, r, err);
    if (rc == 0)
        (*out)->open_llm = paper_open;
    return rc;
}

/* ---- runs ---- */

static char *base;

static void make_files(const char *name, int n)
{
    struct ste_buf b = STE_BUF_INIT;
    static const char *const kinds[] = {"bake a cake with", "paint a picture of", "count all the", "name a town with"};
    static const char *const things[] = {"apples", "zebras", "old bridges", "green doors", "quiet rivers", "lamps"};
    for (int i = 0; i < n; i++)
        ste_buf_addf(&b, "{\"instruction\": \"How do I %s %d %s in week %d of %d?\"}\n", kinds[i % 4], 37 * i * i + 11,
                     things[i % 6], i, 1000 + 77 * i);
    ste_buf_adds(&b, "{\"instruction\": \"tiny\"}\n");
    ste_buf_adds(&b, "{\"instruction\": \"How do I bake a cake with 11 apples in week 0 of 1000?\"}\n");
    ste_buf_adds(&b, "{\"instruction\": \"An endless question that fits no context at all\"}\n");
    char *path = ste_path_join(base, name);
    assert_int_equal(ste_file_write(path, b.s, b.len, NULL), 0);
    free(path);
    ste_buf_clear(&b);
}

/* MORE: options of the recipe, separated by semicolons; or NULL. */
static void recipe(struct ste_recipe *r, const char *more)
{
    struct ste_err err = {0};
    ste_recipe_init(r);
    char *files = ste_xasprintf("instructions.files=%s/in.jsonl", base);
    const char *sets[] = {files, "models.seed=paper", "split.dev=0.15", "split.test=0.2", "judge.samples=5"};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (ste_options_set(ste_recipe_options, r, sets[i], &err) != 0)
            fail_msg("%s", err.msg);
    for (const char *at = more; at && *at;) {
        char *one = ste_xstrndup(at, strcspn(at, ";"));
        if (ste_options_set(ste_recipe_options, r, one, &err) != 0)
            fail_msg("%s", err.msg);
        at += strlen(one);
        at += *at == ';';
        free(one);
    }
    free(files);
}

static int64_t count(struct ste_loop *l, const char *sql)
{
    int64_t n;
    assert_int_equal(ste_store_count(l->store, &n, NULL, sql, ""), 0);
    return n;
}

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    base = ste_xasprintf("%s/ste-loop-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(base));
    make_files("in.jsonl", 60);
    return 0;
}

static int teardown(void **state)
{
    char *command = ste_xasprintf("rm -rf '%s'", base);
    int rc = system(command);
    free(command);
    free(base);
    return rc;
}

#endif
