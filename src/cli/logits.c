/* ste logits: what the model gives for token sequences, for comparison with other programs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "llm/local.h"

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
    free(taken);
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
        free(s);
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
        free(where);
        ste_tokens_clear(&t);
        json_decref(row);
    }
    ste_jsonl_close(f);
    if (!rc && perplexity && sums.n)
        printf("{\"tokens\":%ld,\"mean_nll\":%.8f,\"perplexity\":%.8f}\n", sums.n, sums.nll / (double)sums.n,
               exp(sums.nll / (double)sums.n));
    return rc;
}

static int run(int argc, char **argv, struct ste_err *err)
{
    const char *model = NULL, *adapter_dir = NULL, *in = NULL, *out_path = NULL;
    long long top = 0;
    bool perplexity = false;
    struct ste_llm_params ef = {0};
    const struct ste_flag flags[] = {
        {"model", STE_FLAG_STRING, &model, "NAME", "a catalogue name or a .gguf file"},
        {"adapter", STE_FLAG_STRING, &adapter_dir, "DIR", "a PEFT folder"},
        {"in", STE_FLAG_STRING, &in, "FILE", "JSON lines {\"tokens\": [...]}"},
        {"out", STE_FLAG_STRING, &out_path, "FILE", "f32 logits of all positions, row after row"},
        {"top", STE_FLAG_INT, &top, "K", "print the K largest logits of each position as JSON"},
        {"perplexity", STE_FLAG_BOOL, &perplexity, NULL, "print the mean nll and perplexity of the tokens as JSON"},
        STE_ENGINE_FLAGS(ef),
        {0}};
    int rc = ste_flags_parse(&ste_cmd_logits, flags, argc, argv, NULL, 0, err);
    if (rc)
        return rc > 0 ? 0 : rc;
    if (!model || !in || (!out_path && top <= 0 && !perplexity))
        return ste_err_set(err, STE_EUSAGE, "logits needs --model, --in and one of --out, --top, --perplexity");
    struct ste_llm *llm = NULL;
    struct ste_file_writer *out = NULL;
    int adapter = 0;
    rc = ste_outputs_try(&out_path, 1, err);
    if (!rc)
        rc = ste_llm_open_with(&llm, model, adapter_dir, &ef, &adapter, err);
    if (!rc && out_path)
        rc = ste_file_create(&out, out_path, true, err);
    if (!rc)
        rc = all_rows(ste_local_engine(llm), ste_local_adapter(llm, adapter), in, (int)top, perplexity, out, err);
    if (rc)
        ste_file_abort(out);
    else if (out)
        rc = ste_file_commit(out, err);
    ste_llm_close(llm);
    return rc;
}

const struct ste_command ste_cmd_logits = {
    "logits", "logits --model NAME --in TOKENS.jsonl (--out FILE | --top K | --perplexity) [flags]",
    "Logits of token sequences, to compare programs.", run};
