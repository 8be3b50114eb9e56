#include "data/rendered.h"

#include <stdbool.h>
#include <string.h>

#include "core/mem.h"

/* How a family of templates begins each turn, and ends it. */
struct family {
    const char
        *open[3]; /* by enum ste_role; NULL: it has none, and what stands before the first turn is the system's */
    const char *close;
    bool runs_on; /* the user's turns end where the assistant's begin, without a mark */
};
/* clang-format off */
static const struct family families[] = {
    {{"<|im_start|>system\n", "<|im_start|>user\n", "<|im_start|>assistant\n"}, "<|im_end|>", false},
    {{"<|im_start|>system<|im_sep|>", "<|im_start|>user<|im_sep|>", "<|im_start|>assistant<|im_sep|>"}, "<|im_end|>", false},
    {{"<|start_header_id|>system<|end_header_id|>", "<|start_header_id|>user<|end_header_id|>",
      "<|start_header_id|>assistant<|end_header_id|>"}, "<|eot_id|>", false},
    {{"<|header_start|>system<|header_end|>", "<|header_start|>user<|header_end|>",
      "<|header_start|>assistant<|header_end|>"}, "<|eot|>", false},
    {{NULL, "<start_of_turn>user\n", "<start_of_turn>model\n"}, "<end_of_turn>", false},
    {{"<|system|>", "<|user|>", "<|assistant|>"}, "<|end|>", false},
    {{"<|system|>", "<|user|>", "<|assistant|>"}, "</s>", false},
    {{NULL, "[INST]", "[/INST]"}, "</s>", true},
    {{NULL, "<｜User｜>", "<｜Assistant｜>"}, "<｜end▁of▁sentence｜>", true},
};
/* What stands at the beginning of a text, and at its end. */
static const char *const begins[] = {"<|begin_of_text|>", "<bos>", "<s>", "<｜begin▁of▁sentence｜>", "<|endoftext|>"};
static const char *const ends[] = {"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eot|>",
                                   "<end_of_turn>", "<eos>", "<|end|>", "</s>", "<｜end▁of▁sentence｜>", "<|return|>"};
/* clang-format on */
#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char blanks[] = " \t\r\n";

static const char *past(const char *s, const char *mark)
{
    const size_t n = strlen(mark);
    return strncmp(s, mark, n) == 0 ? s + n : NULL;
}

static const char *past_any(const char *s, const char *const *marks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (past(s, marks[i]))
            return past(s, marks[i]);
    return NULL;
}

static void add_turn(struct ste_dialogue *d, enum ste_role role, const char *from, const char *to)
{
    while (from < to && strchr(blanks, *from))
        from++;
    while (to > from && strchr(blanks, to[-1]))
        to--;
    ste_dialogue_add(d, role, from, (size_t)(to - from));
}

/* The turn that begins at S; -1: none does. *INSIDE: its text. */
static int opened(const struct family *f, const char *s, const char **inside)
{
    for (int role = 0; role < 3; role++)
        if (f->open[role] && (*inside = past(s, f->open[role])))
            return role;
    return -1;
}

/* The same of the first turn: a mark that is a model's BOS too may be gone, which trainers take off a text. */
static int opened_first(const struct family *f, const char *s, const char **inside)
{
    const int whole = opened(f, s, inside);
    for (int role = 0; role < 3 && whole < 0; role++) {
        const char *rest = f->open[role] ? past(f->open[role], "<|im_start|>") : NULL;
        if (rest && (*inside = past(s, rest)))
            return role;
    }
    return whole;
}

/* Where the turn's text ends that begins at S: at the mark that closes it, or that opens the next one, or with all. */
static const char *turn_end(const struct family *f, const char *s)
{
    const char *inside;
    while (*s && !past(s, f->close) && opened(f, s, &inside) < 0)
        s++;
    return s;
}

/* NULL: TEXT is not of F. */
static const char *read_as(const struct family *f, struct ste_dialogue *d, const char *text)
{
    const char *inside, *end;
    if (!f->open[STE_ROLE_SYSTEM]) {
        end = turn_end(f, text);
        if (strspn(text, blanks) < (size_t)(end - text))
            add_turn(d, STE_ROLE_SYSTEM, text, end);
        text = end;
    }
    for (;;) {
        const int role = d->n ? opened(f, text, &inside) : opened_first(f, text, &inside);
        if (role < 0 || (role == STE_ROLE_SYSTEM && d->n))
            return NULL;
        end = turn_end(f, inside);
        const char *next = past(end, f->close);
        if (!next && *end && !(f->runs_on && role == STE_ROLE_USER))
            return NULL;
        next = next ? next + strspn(next, blanks) : end;
        if (role == STE_ROLE_ASSISTANT && !*next)
            return d->n && d->turns[d->n - 1].role == STE_ROLE_USER ? inside + strspn(inside, "\n") : NULL;
        add_turn(d, (enum ste_role)role, inside, end);
        text = next;
    }
}

void ste_rendered_read(struct ste_dialogue *d, const char *text, const char **answer)
{
    const char *s = text + strspn(text, blanks), *next;
    while ((next = past_any(s, begins, COUNT(begins))))
        s = next;
    for (size_t i = 0; i < COUNT(families); i++) {
        if ((*answer = read_as(&families[i], d, s)))
            return;
        ste_dialogue_clear(d);
    }
    ste_dialogue_add(d, STE_ROLE_USER, text, strlen(text));
}

size_t ste_rendered_answer_length(const char *answer)
{
    size_t n = strlen(answer);
    for (bool cut = true; cut;) {
        cut = false;
        while (n && strchr(blanks, answer[n - 1]))
            n--;
        for (size_t i = 0; i < COUNT(ends) && !cut; i++) {
            const size_t mark = strlen(ends[i]);
            cut = mark <= n && memcmp(answer + n - mark, ends[i], mark) == 0;
            n -= cut ? mark : 0;
        }
    }
    return n;
}

/* Says whether the N bytes of S end with a mark that opens the assistant's turn, but for blanks. */
static bool ends_in_open(const char *s, size_t n)
{
    while (n && strchr(blanks, s[n - 1]))
        n--;
    for (size_t i = 0; i < COUNT(families); i++) {
        const char *open = families[i].open[STE_ROLE_ASSISTANT];
        size_t mark = strlen(open);
        while (mark && strchr(blanks, open[mark - 1]))
            mark--;
        if (mark <= n && memcmp(s + n - mark, open, mark) == 0)
            return true;
    }
    return false;
}

const char *ste_rendered_behind(const char *query, const char *prompt)
{
    const size_t n = strlen(prompt);
    const char *behind = past(query, prompt);
    if (behind || !ends_in_open(prompt, n))
        return behind;
    /* Knuth, Morris and Pratt: SHARED[i] is the longest beginning of QUERY that ends at its place I. */
    const size_t most = strnlen(query, n);
    size_t *shared = ste_xcalloc(most + 1, sizeof *shared), k = 0;
    for (size_t i = 1; i < most; i++) {
        while (k && query[i] != query[k])
            k = shared[k - 1];
        shared[i] = k += query[i] == query[k];
    }
    k = 0;
    for (size_t i = 0; i < n; i++) {
        while (k && (k == most || prompt[i] != query[k]))
            k = shared[k - 1];
        k += k < most && prompt[i] == query[k];
    }
    ste_xfree(shared);
    return ends_in_open(query, k) ? query + k : NULL;
}
