/* A model of paper for the server's tests: it writes a letter a step for as many questions at once as its batch holds,
 * in the order in which they came, until each has its max_tokens letters (adapter 0 writes a, adapter 1 b, ...). */
#ifndef STE_TEST_SERVE_PAPER_H
#define STE_TEST_SERVE_PAPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/mem.h"
#include "core/context.h"
#include "llm/llm.h"

struct paper_question {
    struct ste_prepared q;
    int adapter, length, written;
    char text[256];
};

struct paper {
    struct ste_llm llm;
    size_t batch;
    struct paper_question flying[512];
    size_t n;
    atomic_int cancelled, loaded, dropped, agains;
    useconds_t pause;          /* of a step */
    atomic_int steps, fail_at; /* the step that fails; 0: none */
};

static struct paper *paper_of(struct ste_llm *l)
{
    return (struct paper *)l;
}

static int paper_prepare(struct ste_llm *l, const struct ste_question *ask, struct ste_prepared *q, struct ste_err *err)
{
    const char *last = ask->n_messages ? ask->messages[ask->n_messages - 1].content : "";
    if (strstr(last, "endless"))
        return ste_err_set(err, STE_ETOOLONG, "too long for the paper model");
    struct paper_question *p = ste_xcalloc(1, sizeof *p);
    p->adapter = ask->adapter;
    p->length = ask->max_tokens;
    q->own = p;
    q->free_own = ste_xfree;
    q->n_prompt = 3;
    return 0;
}

static int paper_submit(struct ste_llm *l, struct ste_prepared *q, struct ste_err *err)
{
    struct paper *p = paper_of(l);
    struct paper_question *f = &p->flying[p->n++];
    *f = *(struct paper_question *)q->own;
    ste_xfree(q->own);
    f->q = *q;
    f->q.own = NULL;
    *q = (struct ste_prepared){0};
    return 0;
}

static void paper_take(struct paper *p, size_t i)
{
    memmove(p->flying + i, p->flying + i + 1, (p->n - i - 1) * sizeof *p->flying);
    p->n--;
}

static void paper_cancel(struct ste_llm *l, uint64_t ticket)
{
    struct paper *p = paper_of(l);
    for (size_t i = 0; i < p->n; i++)
        if (p->flying[i].q.ticket == ticket) {
            paper_take(p, i);
            p->cancelled++;
            return;
        }
}

static bool paper_ended(struct paper *p, struct ste_answer *out)
{
    for (size_t i = 0; i < p->n; i++) {
        struct paper_question *f = &p->flying[i];
        if (f->written < f->length)
            continue;
        *out = (struct ste_answer){.ticket = f->q.ticket, .tag = f->q.tag, .n_prompt = f->q.n_prompt};
        out->completion = (struct ste_completion){.finish = STE_FINISH_LENGTH,
                                                  .free_finish = STE_FINISH_LENGTH,
                                                  .choice = -1,
                                                  .n = (size_t)f->length,
                                                  .n_free = (size_t)f->length};
        out->n_written = (size_t)f->length;
        out->text = ste_xstrdup(f->text);
        paper_take(p, i);
        return true;
    }
    return false;
}

static int paper_step(struct ste_llm *l, struct ste_answer *out, struct ste_err *err)
{
    struct paper *p = paper_of(l);
    if (paper_ended(p, out))
        return 1;
    if (ste_cancelled())
        return ste_err_set(err, STE_EINTERRUPTED, "interrupted");
    if (++p->steps == p->fail_at)
        return ste_err_set(err, STE_EIO, "the paper is torn");
    if (p->pause)
        usleep(p->pause);
    for (size_t i = 0; i < p->n && i < p->batch; i++) {
        struct paper_question *f = &p->flying[i];
        f->text[f->written++ % 255] = (char)('a' + f->adapter);
    }
    return paper_ended(p, out);
}

static int paper_next(struct ste_llm *l, struct ste_answer *out, struct ste_err *err)
{
    int rc = 0;
    while (rc == 0 && paper_of(l)->n)
        rc = paper_step(l, out, err);
    return rc;
}

static bool paper_written(struct ste_llm *l, uint64_t ticket, struct ste_written *out)
{
    struct paper *p = paper_of(l);
    for (size_t i = 0; i < p->n; i++)
        if (p->flying[i].q.ticket == ticket) {
            *out = (struct ste_written){.text = p->flying[i].text, .n = (size_t)p->flying[i].written};
            return out->n > 0;
        }
    return false;
}

static int paper_load(struct ste_llm *l, const char *dir, int *handle, struct ste_err *err)
{
    *handle = ++paper_of(l)->loaded;
    return 0;
}

static void paper_drop(struct ste_llm *l, int handle)
{
    paper_of(l)->dropped += 1 << handle;
}

static const char *paper_hash(const struct ste_llm *l, int handle)
{
    static const char *const hashes[] = {"", "one", "two", "three"};
    return hashes[handle];
}

static void paper_again(struct ste_llm *l)
{
    paper_of(l)->agains++;
}

static void paper_open(struct paper *p, size_t batch, size_t window)
{
    static const struct ste_llm_ops ops = {.prepare = paper_prepare,
                                           .submit = paper_submit,
                                           .cancel = paper_cancel,
                                           .next = paper_next,
                                           .step = paper_step,
                                           .load_adapter = paper_load,
                                           .drop_adapter = paper_drop,
                                           .adapter_hash = paper_hash,
                                           .written = paper_written,
                                           .again = paper_again};
    *p = (struct paper){
        .llm = {.ops = &ops,
                .about = {.name = "paper", .model_hash = "hash", .numerics = "paper", .can = 15, .window = window}},
        .batch = batch};
}

static void paper_close(struct paper *p)
{
    assert_int_equal(p->n, 0);
    assert_int_equal(ste_llm_in_flight(&p->llm), 0);
    ste_xfree(p->llm.flying);
}

#endif
