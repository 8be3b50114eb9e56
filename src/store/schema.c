#include "store/schema.h"

#include <stddef.h>

/* Keys are texts that derive from a row's parents, so a row has one name in every run of a recipe; WITHOUT ROWID keeps
 * no hidden counter beside them. An index has the columns behind its order that lists are filtered by (browse.h): then
 * long texts stay unread. */
const char ste_schema[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"

    "CREATE TABLE provenance (id TEXT PRIMARY KEY, role TEXT NOT NULL, model TEXT, model_hash TEXT, adapter_hash TEXT,"
    " pack_hash TEXT, numerics TEXT, sampling TEXT, seed TEXT, iteration INTEGER) WITHOUT ROWID;"

    "CREATE TABLE instruction (id TEXT PRIMARY KEY, position INTEGER NOT NULL, source TEXT NOT NULL,"
    " dialogue TEXT NOT NULL, category TEXT, complexity INTEGER, expected_length TEXT, labelled_by TEXT,"
    " state TEXT NOT NULL, duplicate_of TEXT, cluster TEXT, split TEXT) WITHOUT ROWID;"
    "CREATE INDEX instruction_state ON instruction (state, position);"
    "CREATE INDEX instruction_order ON instruction (position, state, split, category);"

    "CREATE TABLE label (id TEXT PRIMARY KEY, instruction TEXT NOT NULL, kind TEXT NOT NULL, value TEXT,"
    " logprob REAL, address TEXT, provenance TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX label_instruction ON label (instruction);"

    "CREATE TABLE generation (id TEXT PRIMARY KEY, instruction TEXT NOT NULL, kind TEXT NOT NULL, parent TEXT,"
    " sample INTEGER NOT NULL, text TEXT, finish TEXT NOT NULL, tokens INTEGER NOT NULL, address TEXT,"
    " provenance TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX generation_instruction ON generation (instruction);"

    "CREATE TABLE pair (id TEXT PRIMARY KEY, instruction TEXT NOT NULL, position INTEGER NOT NULL, split TEXT NOT NULL,"
    " kind TEXT NOT NULL, state TEXT NOT NULL, chosen_from TEXT, modified_from TEXT, rejected_from TEXT, chosen TEXT, "
    "modified TEXT,"
    " rejected TEXT, label_source TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX pair_state ON pair (state, split, position);"
    "CREATE INDEX pair_order ON pair (position, state, split, kind, instruction);"

    /* What the seed says of a pair: log-probabilities of its answers behind x, behind nothing, behind x'. */
    "CREATE TABLE pair_check (pair TEXT PRIMARY KEY, margin REAL, chosen_x REAL, chosen_none REAL,"
    " chosen_modified REAL, rejected_x REAL, rejected_none REAL, rejected_modified REAL, chosen_tokens INTEGER,"
    " rejected_tokens INTEGER, swapped INTEGER NOT NULL, provenance TEXT) WITHOUT ROWID;"

    "CREATE TABLE prompt (id TEXT PRIMARY KEY, tokens BLOB NOT NULL) WITHOUT ROWID;"

    "CREATE TABLE judgment (id TEXT PRIMARY KEY, pair TEXT NOT NULL, iteration INTEGER NOT NULL,"
    " winner TEXT NOT NULL, sample INTEGER NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL,"
    " correct INTEGER NOT NULL, logprob_a REAL, logprob_b REAL, reasoning TEXT, prompt TEXT, completion BLOB,"
    " n_free INTEGER, n_written INTEGER, address TEXT, provenance TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX judgment_pair ON judgment (iteration, pair, winner, sample, verdict, reason, correct);"

    "CREATE TABLE outcome (id TEXT PRIMARY KEY, pair TEXT NOT NULL, iteration INTEGER NOT NULL, state TEXT NOT NULL,"
    " probability REAL) WITHOUT ROWID;"
    "CREATE INDEX outcome_iteration ON outcome (iteration, state, pair);"

    /* What is trained on, token by token: the prompt's ids, then the completion's, of which the first BORDER are given
     * as well. Of a preference also what is rejected, which begins with those too. */
    "CREATE TABLE example (id TEXT PRIMARY KEY, judgment TEXT NOT NULL, pair TEXT NOT NULL,"
    " iteration INTEGER NOT NULL, position INTEGER NOT NULL, label TEXT NOT NULL, label_source TEXT NOT NULL,"
    " weight REAL NOT NULL, prompt TEXT NOT NULL, completion BLOB NOT NULL, border INTEGER NOT NULL,"
    " rejected BLOB, rejected_judgment TEXT) WITHOUT ROWID;"
    "CREATE INDEX example_iteration ON example (iteration, position, pair, judgment);"

    "CREATE TABLE train_step (iteration INTEGER NOT NULL, step INTEGER NOT NULL, loss REAL, lr REAL, grad_norm REAL,"
    " tokens INTEGER, loss_tokens INTEGER, PRIMARY KEY (iteration, step)) WITHOUT ROWID;"

    "CREATE TABLE checkpoint (iteration INTEGER NOT NULL, step INTEGER NOT NULL, adapter_hash TEXT NOT NULL,"
    " pairs INTEGER, log_loss REAL, accuracy REAL, consistent REAL, two_order REAL, first_position REAL,"
    " invalid INTEGER,"
    " PRIMARY KEY (iteration, step)) WITHOUT ROWID;"

    "CREATE TABLE iteration (iteration INTEGER PRIMARY KEY, pairs INTEGER, agreement REAL, invalid_share REAL,"
    " first_position REAL, judgments INTEGER, kept INTEGER, examples INTEGER, chosen_step INTEGER,"
    " chosen_sure REAL, adapter_hash TEXT, provenance TEXT, stop TEXT);"

    "CREATE TABLE evaluation (id TEXT PRIMARY KEY, suite TEXT NOT NULL, item TEXT NOT NULL, position INTEGER NOT NULL,"
    " iteration INTEGER NOT NULL, step INTEGER NOT NULL, winner TEXT NOT NULL, prompt_key TEXT NOT NULL,"
    " verdict TEXT NOT NULL, reason TEXT NOT NULL, logprob_a REAL, logprob_b REAL, reasoning TEXT,"
    " provenance TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX evaluation_of ON evaluation (suite, iteration, step, position, winner, item, verdict,"
    " reason);"

    /* Wall-clock seconds a step took, for the report; the only times kept, and not part of a dump. */
    "CREATE TABLE work (step TEXT NOT NULL, iteration INTEGER NOT NULL, seconds REAL NOT NULL,"
    " PRIMARY KEY (step, iteration)) WITHOUT ROWID;";

const struct ste_table ste_tables[] = {
    {"meta", "key"},
    {"provenance", "id"},
    {"instruction", "position, id"},
    {"label", "id"},
    {"generation", "id"},
    {"pair", "position, id"},
    {"pair_check", "pair"},
    {"prompt", "id"},
    {"judgment", "iteration, pair, winner, sample"},
    {"outcome", "iteration, id"},
    {"example", "iteration, position"},
    {"train_step", "iteration, step"},
    {"checkpoint", "iteration, step"},
    {"iteration", "iteration"},
    {"evaluation", "suite, iteration, step, position, winner"},
    {NULL, NULL},
};
