/* The method's own kind (arXiv 2408.02666): the worse answer is a good one to a modified instruction. */
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "data/minhash.h"
#include "loop/kinds/kind.h"

enum { ANSWER, MODIFIED, REJECTED };
enum { ONE_CALL = 1 };

static void ask_modified(const struct ste_loop *l, const struct ste_pair_job *j, int attempt, struct ste_piece_ask *out)
{
    const bool again = attempt > 0 && 2 * attempt >= l->recipe.tries;
    ste_ask_template(j, again ? l->pack->modify_again_user : l->pack->modify_user, out);
}

static const char *same_instruction(const struct ste_loop *l, const struct ste_pair_job *j, const char *modified)
{
    const char *original = j->x.turns[j->x.n - 1].text;
    if (ste_text_same(modified, original))
        return "same as the instruction";
    return ste_text_similarity(modified, original) >= l->recipe.near ? "too near the instruction" : NULL;
}

static const char *fault_modified(const struct ste_loop *l, const struct ste_pair_job *j, const char *text)
{
    if (ste_text_repeats(text, l->pack->modify_user) || ste_text_repeats(text, l->pack->modify_again_user))
        return "repeats the question";
    return ste_text_refuses(text) ? "refusal" : same_instruction(l, j, text);
}

static void ask_rejected(const struct ste_loop *l, const struct ste_pair_job *j, int attempt, struct ste_piece_ask *out)
{
    ste_ask_dialogue(j, l->recipe.pair_system, j->pieces[MODIFIED].text, out);
}

static const struct ste_piece_kind two_calls[] = {
    [ANSWER] = STE_PIECE_ANSWER,
    [MODIFIED] = {.name = "modified",
                  .role = STE_LOOP_MODIFY,
                  .after = 1u << ANSWER,
                  .ask = ask_modified,
                  .fault = fault_modified},
    [REJECTED] = {.name = "rejected",
                  .role = STE_LOOP_ANSWER,
                  .after = 1u << ANSWER | 1u << MODIFIED,
                  .answers = true,
                  .ask = ask_rejected,
                  .fault = ste_fault_other_answer},
};

const struct ste_pair_kind ste_kind_modify = {
    .name = "modify",
    .label_source = "constructed",
    .evidence = STE_EVIDENCE_INSTRUCTIONS,
    .pieces = two_calls,
    .n = 3,
    .chosen = ANSWER,
    .modified = MODIFIED,
    .rejected = REJECTED,
    .takes = ste_takes_ordinary,
};

static void ask_one_call(const struct ste_loop *l, const struct ste_pair_job *j, int attempt, struct ste_piece_ask *out)
{
    ste_ask_template(j, l->pack->modify_and_answer_user, out);
}

/* The modified instruction and its answer out of one text, by the pack's two headings. */
static bool read_one_call(const struct ste_pack *p, const char *text, struct ste_pair_texts *out)
{
    const char *head = strstr(text, p->one_call_instruction_tag);
    if (!head)
        return false;
    head += strlen(p->one_call_instruction_tag);
    const char *answer = strstr(head, p->one_call_answer_tag);
    if (!answer)
        return false;
    out->modified = ste_text_trimmed(head, (size_t)(answer - head));
    answer += strlen(p->one_call_answer_tag);
    out->rejected = ste_text_trimmed(answer, strlen(answer));
    return true;
}

static const char *fault_one_call(const struct ste_loop *l, const struct ste_pair_job *j, const char *text)
{
    struct ste_pair_texts t = {0};
    const char *fault = ste_text_refuses(text) ? "refusal" : NULL;
    if (!fault && !read_one_call(l->pack, text, &t))
        fault = "no headings";
    else if (!fault)
        fault = !*t.modified || !*t.rejected   ? "empty"
                : ste_text_refuses(t.rejected) ? "refusal"
                                               : same_instruction(l, j, t.modified);
    ste_xfree(t.modified);
    ste_xfree(t.rejected);
    return fault;
}

static const char *texts_one_call(const struct ste_loop *l, const struct ste_pair_job *j, const char *other,
                                  struct ste_pair_texts *out)
{
    read_one_call(l->pack, j->pieces[ONE_CALL].text, out);
    out->chosen = ste_xstrdup(j->pieces[ANSWER].text);
    return NULL;
}

static const struct ste_piece_kind one_call[] = {
    [ANSWER] = STE_PIECE_ANSWER,
    [ONE_CALL] = {.name = "one call",
                  .role = STE_LOOP_MODIFY,
                  .after = 1u << ANSWER,
                  .ask = ask_one_call,
                  .fault = fault_one_call},
};

const struct ste_pair_kind ste_kind_modify_one_call = {
    .name = "modify",
    .label_source = "constructed",
    .evidence = STE_EVIDENCE_INSTRUCTIONS,
    .pieces = one_call,
    .n = 2,
    .chosen = ANSWER,
    .modified = ONE_CALL,
    .rejected = ONE_CALL,
    .takes = ste_takes_ordinary,
    .texts = texts_one_call,
};
