/* ste logits: what the model gives for token sequences, for comparison with other programs. */
#include <math.h>
#include <stdio.h>

#include "cli/cli.h"
#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "llm/local.h"

struct options {
    char *model, *adapter, *in, *out;
    long long top;
    bool perplexity;
    struct ste_llm_params engine;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_STRING("model", model, NULL, "NAME", "a catalogue name, a .gguf file or a folder"),
    STE_STRING("adapter", adapter, NULL, "DIR", "a PEFT folder"),
    STE_STRING("in", in, NULL, "FILE", "JSON lines {\"tokens\": [...]}"),
    STE_STRING("out", out, NULL, "FILE", "f32 logits of all positions, row after row"),
    STE_INT("top", top, NULL, 0, STE_LARGE, "print the N largest logits of each position as JSON"),
    STE_BOOL("perplexity", perplexity, NULL, "print the mean nll and perplexity of the tokens as JSON"),
    STE_TABLE("", engine, ste_llm_options),
    {0},
};
/* clang-format on */

struct sums {
    double nll;
    long n;
};

/* The K largest of a row, as [[id, logit], ...]. */
static json_t *top_of(const float *row, int n_vocab, int k)
{
    json_t *list = json_array();
    char *taken = ste_xcalloc((size_t)n_vocab, 1);
    for (int i = 0; i < k; i++) {
        int best = -1;
        for (int id = 0; id < n_vocab; id++)
            if (!taken[id] && (best < 0 || row[id] > row[best]))
                best = id;
        taken[best] = 1;
        json_array_append_new(list, json_pack("[if]", best, (double)row[best]));
    }
    ste_xfree(taken);
    return list;
}

static void add_nll(const float *logits, const struct ste_tokens *t, int n_vocab, struct sums *sums)
{
    for (size_t i = 0; i + 1 < t->n; i++) {
        const float *row = logits + i * (size_t)n_vocab;
        double max = row[0], sum = 0;
        for (int id = 1; id < n_vocab; id++)
            max = row[id] > max ? row[id] : max;
        for (int id = 0; id < n_vocab; id++)
            sum += exp(row[id] - max);
        sums->nll += max + log(sum) - row[t->ids[i + 1]];
        sums->n++;
    }
}

static int one_row(struct ste_engine *e, const struct ste_adapter *a, const struct ste_tokens *t, int top,
                   bool perplexity, struct ste_file_writer *out, struct sums *sums, struct ste_err *err)
{
    int n_vocab = ste_engine_model(e)->hp.n_vocab;
    float *logits = NULL;
    size_t size = t->n * (size_t)n_vocab * sizeof *logits;
    int rc = ste_big_alloc((void **)&logits, size, "logits", err);
    if (rc)
        return rc;
    rc = ste_engine_logits(e, a, t->ids, t->n, logits, err);
    if (!rc && perplexity)
        add_nll(logits, t, n_vocab, sums);
    if (!rc && top > 0) {
        json_t *rows = json_array();
        for (size_t i = 0; i < t->n; i++)
            json_array_append_new(rows, top_of(logits + i * (size_t)n_vocab, n_vocab, top));
        json_t *line = json_pack("{so}", "top", rows);
        char *s = ste_json_canonical(line);
        puts(s);
        ste_xfree(s);
        json_decref(line);
    }
    if (!rc && out)
        rc = ste_file_put(out, logits, size, err);
    ste_big_free(logits, size);
    return rc;
}

static int all_rows(struct ste_engine *e, const struct ste_adapter *a, const char *in, int top, bool perplexity,
                    struct ste_file_writer *out, struct ste_err *err)
{
    struct ste_jsonl *f = NULL;
    struct sums sums = {0};
    int rc = ste_jsonl_open(&f, in, err), got;
    json_t *row = NULL;
    while (!rc && (got = ste_jsonl_next(f, &row, err)) != 0) {
        if (got < 0) {
            rc = got;
            break;
        }
        struct ste_tokens t = {0};
        char *where = ste_xasprintf("%s:%ld", in, ste_jsonl_line(f));
        rc = ste_tokens_read(row, "tokens", ste_engine_model(e), where, &t, err);
        if (!rc)
            rc = one_row(e, a, &t, top, perplexity, out, &sums, err);
        ste_xfree(where);
        ste_tokens_clear(&t);
        json_decref(row);
    }
    ste_jsonl_close(f);
    if (!rc && perplexity && sums.n)
        printf("{\"tokens\":%ld,\"mean_nll\":%.8f,\"perplexity\":%.8f}\n", sums.n, sums.nll / (double)sums.n,
               exp(sums.nll / (double)sums.n));
    return rc;
}

static int run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    if (!o->model || !o->in || (!o->out && !o->top && !o->perplexity))
        return ste_err_set(err, STE_EUSAGE, "logits needs --model, --in and one of --out, --top, --perplexity");
    struct ste_llm *llm = NULL;
    struct ste_file_writer *out = NULL;
    int adapter = 0;
    int rc = ste_outputs_try((const char *const[]){o->out}, 1, err);
    if (!rc)
        rc = ste_llm_open_with(&llm, o->model, o->adapter, &o->engine, &adapter, err);
    if (!rc)
        rc = ste_local_need(llm, "logits", err);
    if (!rc && o->out)
        rc = ste_file_create(&out, o->out, true, err);
    if (!rc)
        rc = all_rows(ste_local_engine(llm), ste_local_adapter(llm, adapter), o->in, (int)o->top, o->perplexity, out,
                      err);
    if (rc)
        ste_file_abort(out);
    else if (out)
        rc = ste_file_commit(out, err);
    ste_llm_close(llm);
    return rc;
}

STE_COMMAND(logits, "logits", "--model NAME --in TOKENS.jsonl (--out FILE | --top K | --perplexity) [flags]",
            "Logits of token sequences, to compare programs.", options, 0, NULL, run);
