#!/usr/bin/env bash
# What has one place stays there. seams.sh SOURCE_DIR
set -u
cd "$1/src" || exit 1
bad=0
# no WHAT PATTERN FILE...: none of the files may match; comments do not count.
no() {
    local what=$1 pattern=$2 found
    shift 2
    [ $# -gt 3 ] || { echo "seams.sh found too few files for: $what"; bad=1; }
    found=$(grep -nE "$pattern" "$@" | grep -vE '^[^:]+:[0-9]+:\s*(/\*|\*|//)')
    [ -z "$found" ] || { echo "$what:"; echo "$found"; bad=1; }
}
files() { find "$@" -name '*.[ch]' | sort; }

no "SQL stands under store/ alone" 'sqlite3|"(SELECT|INSERT|UPDATE|DELETE|CREATE|PRAGMA|BEGIN|COMMIT) ' $(files . -not -path './store/*')

# The tools for logits, tokens and speed, and training, know the engine; every other command calls the floors above it.
tools='cli/(bench|generate|logits|tokenize|sft|cmd_train_rm|training)\.[ch]$'
commands=$(files cli | grep -vE "$tools")
no "a command includes no engine, store or train header" '^#include "(engine|store|train)/|^#include "llm/local\.h"' $commands
no "a command calls no store and no engine" '\bste_(store|engine|local|trainer|sqlite|pump)_[a-z_]+\(' $commands

no "an answer is taken by llm/pump.c alone" '\bste_llm_next\(' $(files . -not -path './llm/llm.[ch]' -not -path './llm/pump.c')
no "a run's layout is store/run.h" '"(run\.db|recipe\.resolved\.yaml|report\.json)"|adapters/iter-|training/iter-' $(files . -not -path './store/run.[ch]')
no "the library ends no process, reads no environment and takes no signal: that is the caller's (core/context.h)" \
    '\b(_?exit|getenv|secure_getenv|setenv|putenv|signal|sigaction)\(' $(files . -not -path './cli/*')
no "memory goes back by ste_xfree, which knows whose it is (core/domain.h)" '(^|[^A-Za-z0-9_])(free|strdup|malloc|calloc|realloc)\(' \
    $(files . -not -path './core/domain.c' -not -path './core/mem.c' -not -path './library/judge.c' -not -path './library/run.c' \
        -not -path './engine/cpu/matrix/product.c')
exit $bad
