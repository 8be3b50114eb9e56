#!/usr/bin/env bash
# needs: model
# The library as its users get it: installed under a prefix, found by pkg-config, shared and static; the example says what
# the program says; the shared one shows what the header declares, and nothing else.
. "$2/tests/e2e/lib_model.sh"
src=$2
command -v pkg-config >/dev/null && command -v cc >/dev/null || { echo "skipped: no pkg-config or cc"; exit 77; }

cmake --install "$(dirname "$ste")" --prefix "$dir/usr" >/dev/null || fail "cmake --install"
PKG_CONFIG_PATH=$(dirname "$(find "$dir/usr" -name ste.pc)")
export PKG_CONFIG_PATH
libs=$(pkg-config --variable=libdir ste)
# shellcheck disable=SC2046
cc -std=c17 -Wall -Wextra -Werror "$src/examples/judge.c" $(pkg-config --cflags --libs ste) -Wl,-rpath,"$libs" -o "$dir/judge" ||
    fail "the example does not build"
# libste.a with what it needs itself; what those need in turn comes with their own shared libraries.
# shellcheck disable=SC2046
cc -std=c17 "$src/examples/judge.c" $(pkg-config --cflags ste) "$libs/libste.a" \
    $(pkg-config --libs $(pkg-config --print-requires-private ste)) -lpthread -lm -o "$dir/judge-static" ||
    fail "the example does not build with the static library"
[ "$(wc -l <"$src/examples/judge.c")" -lt 60 ] || fail "the example has 60 lines or more"

"$dir/judge" "$model" "What is the capital of France?" "Paris." "A pencil." >"$dir/shared.txt" || fail "the example"
"$dir/judge-static" "$model" "What is the capital of France?" "Paris." "A pencil." | cmp - "$dir/shared.txt" ||
    fail "the static library says something else"
"$dir/judge" no-such-model x a b 2>"$dir/err" && fail "a model that is not there: exit 0"
grep -q "no-such-model" "$dir/err" || fail "a model that is not there is not named: $(cat "$dir/err")"

# The same pair by the program.
echo '{"prompt": "What is the capital of France?", "response_a": "Paris.", "response_b": "A pencil.", "id": "0"}' >"$dir/pair.jsonl"
"$ste" judge --judge "$model" --in "$dir/pair.jsonl" --out "$dir/row.jsonl" --no-cache || fail "ste judge"
want=$(python3 - "$dir/row.jsonl" <<'END'
import json, sys
r = json.loads(open(sys.argv[1]).readline())
v = {"A": "A", "B": "B", "tie": "=", "invalid": "?"}
print(f"both orders: {v[r['verdict']]}; {v[r['verdict_ab']]} when A stands first, {v[r['verdict_ba']]} when B does; "
      f"by the margin, {r['margin']:+.3f}: {v[r['verdict_two_order']]}")
END
)
[ "$(cat "$dir/shared.txt")" = "$want" ] || fail "the example says $(cat "$dir/shared.txt"), the program $want"

# What the shared library shows is what the header declares, and what its version script lists.
nm -D --defined-only "$libs/libste.so" | sed -n 's/.* T \(ste_[a-z_]*\)@.*/\1/p' | sort >"$dir/shown"
grep -o '^STE_API [^;(]*(' "$src/include/ste.h" | sed 's/.*[ *]\(ste_[a-z_]*\)($/\1/' | sort >"$dir/declared"
diff "$dir/shown" "$dir/declared" || fail "shown and declared differ"
# Nothing in it ends a process, reads the environment or takes a signal.
nm -D --undefined-only "$libs/libste.so" | grep -wE 'exit|_exit|getenv|setenv|signal|sigaction' &&
    fail "the library calls what is the program's"
exit 0
