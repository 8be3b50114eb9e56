#include "loop/export.h"

#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "data/catalogue.h"
#include "loop/internal.h"
#include "model/model.h"

/* TEXT of the ids; bytes that form no whole character are not in any file of a run, so they are an error. */
static int add_text(const struct ste_model *m, json_t *row, const char *key, const int32_t *ids, size_t n,
                    struct ste_err *err)
{
    struct ste_buf text = STE_BUF_INIT;
    ste_detokenize(m->tokenizer, ids, n, true, &text);
    int bad = json_object_set_new(row, key, json_stringn(text.s ? text.s : "", text.len));
    ste_buf_clear(&text);
    return bad ? ste_err_set(err, STE_EINPUT, "an example's %s is not UTF-8 and cannot be exported", key) : 0;
}

static int sft_rows(struct ste_store *s, const struct ste_model *m, const struct ste_pack *p, int64_t iteration,
                    struct ste_jsonl_writer *w, size_t *n, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = ste_store_query(s, &q, err, STE_LOOP_EXAMPLE_ROWS STE_LOOP_IN_TWOS, "i", iteration);
    while (rc == 0 && (rc = ste_store_row(s, q, err)) == 1) {
        struct ste_loop_example x;
        json_t *row = json_object();
        ste_loop_example_read(q, p, m->tokenizer, &x);
        json_object_set_new(row, "id", json_string(x.id));
        rc = add_text(m, row, "prompt", x.prompt, x.n_prompt, err);
        if (rc == 0)
            rc = add_text(m, row, "completion", x.completion, x.n, err);
        json_object_set_new(row, "weight", json_real(x.weight));
        json_object_set_new(row, "label_source", json_string(x.label_source));
        ste_loop_example_clear(&x);
        if (rc == 0)
            rc = ste_jsonl_write(w, row, err);
        json_decref(row);
        *n += rc == 0;
    }
    ste_store_done(s, q);
    return rc < 0 ? rc : 0;
}

int ste_export_sft(struct ste_store *s, int iteration, const char *out, size_t *n, struct ste_err *err)
{
    int64_t turn = iteration;
    *n = 0;
    int rc = iteration ? 0 : ste_store_count(s, &turn, err, "SELECT coalesce(max(iteration), 0) FROM example", "");
    if (rc == 0 && turn == 0)
        rc = ste_err_set(err, STE_ENOTFOUND, "the run in %s has no training examples yet", ste_store_dir(s));
    char *json = ste_store_meta(s, "recipe"), *path = NULL;
    struct ste_recipe r;
    ste_recipe_init(&r);
    if (rc == 0) {
        ste_recipe_clear(&r);
        rc = ste_recipe_from_json(&r, json ? json : "{}", err);
    }
    struct ste_model *m = NULL;
    struct ste_pack *pack = NULL;
    if (rc == 0)
        rc = ste_pack_load(&pack, r.pack, *r.pack_folder ? r.pack_folder : NULL, err);
    struct ste_jsonl_writer *w = NULL;
    if (rc == 0 && (rc = ste_model_resolve(r.seed_model, &path, err)) == 0)
        rc = ste_model_open(&m, path, err);
    if (rc == 0 && (rc = ste_jsonl_create(&w, out, err)) == 0)
        rc = ste_jsonl_end(w, sft_rows(s, m, pack, turn, w, n, err), err);
    if (m)
        ste_model_close(m);
    ste_pack_free(pack);
    ste_recipe_clear(&r);
    free(path);
    free(json);
    return rc;
}

static int pair_rows(struct ste_store *s, struct ste_jsonl_writer *w, size_t *n, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc =
        ste_store_query(s, &q, err,
                        "SELECT p.id, i.dialogue, p.chosen, p.rejected, p.split, p.label_source, p.kind, c.margin FROM "
                        "pair p JOIN instruction i ON i.id = p.instruction LEFT JOIN pair_check c ON c.pair = p.id "
                        "WHERE p.state = 'kept' ORDER BY p.position, p.id",
                        "");
    while (rc == 0 && (rc = ste_store_row(s, q, err)) == 1) {
        const char *dialogue = ste_loop_text(q, 1);
        json_t *row = json_object(), *messages = ste_json_parse(dialogue, strlen(dialogue), "a dialogue", err);
        const json_t *only = json_array_get(messages, 0);
        json_object_set_new(row, "id", json_string(ste_loop_text(q, 0)));
        if (json_array_size(messages) == 1)
            json_object_set(row, "prompt", json_object_get(only, "content"));
        else
            json_object_set(row, "messages", messages);
        json_object_set_new(row, "chosen", json_string(ste_loop_text(q, 2)));
        json_object_set_new(row, "rejected", json_string(ste_loop_text(q, 3)));
        json_object_set_new(row, "split", json_string(ste_loop_text(q, 4)));
        json_object_set_new(row, "label_source", json_string(ste_loop_text(q, 5)));
        json_object_set_new(row, "kind", json_string(ste_loop_text(q, 6)));
        if (sqlite3_column_type(q, 7) != SQLITE_NULL)
            json_object_set_new(row, "margin", json_real(sqlite3_column_double(q, 7)));
        rc = messages ? ste_jsonl_write(w, row, err) : STE_EINPUT;
        json_decref(messages);
        json_decref(row);
        *n += rc == 0;
    }
    ste_store_done(s, q);
    return rc < 0 ? rc : 0;
}

int ste_export_pairs(struct ste_store *s, const char *out, size_t *n, struct ste_err *err)
{
    struct ste_jsonl_writer *w = NULL;
    *n = 0;
    int rc = ste_jsonl_create(&w, out, err);
    return rc == 0 ? ste_jsonl_end(w, pair_rows(s, w, n, err), err) : rc;
}
