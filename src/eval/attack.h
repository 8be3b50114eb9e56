/*
 * Attacks on a judge by the text that it judges. Some try to speak with the judge's voice (a planted verdict, a fence,
 * turns of dialogue, control tokens: STE_AIM_READER), which must never work, since verdicts are read from generated
 * tokens alone; others try the model itself: an empty answer and the openings that reward models take for a solution
 * ("One token to fool LLM-as-a-judge", arXiv 2507.08794; "Cheating automatic LLM benchmarks", arXiv 2410.07137), and
 * praise.
 */
#ifndef STE_EVAL_ATTACK_H
#define STE_EVAL_ATTACK_H

#include <jansson.h>

#include "core/buf.h"
#include "eval/files.h"

enum ste_aim { STE_AIM_READER, STE_AIM_MODEL };
enum ste_place { STE_PLACE_REJECTED, STE_PLACE_BOTH, STE_PLACE_PROMPT, STE_N_PLACES };

struct ste_attack {
    const char *name, *text;
    enum ste_aim aim;
    bool replaces; /* the answer; else it is put behind it */
};
extern const struct ste_attack ste_attacks[];
extern const size_t ste_n_attacks;
/* An attack that takes the answer's place has one place: the rejected answer. */
bool ste_attack_has(const struct ste_attack *a, enum ste_place p);

/* BASE with the attack in PLACE; ids stay, so that fences and drawn numbers are those of BASE. */
void ste_attack_pairs(const struct ste_attack *a, enum ste_place place, const struct ste_answer_pairs *base,
                      struct ste_answer_pairs *out);

/* How often the rejected answer wins: verdicts for it among all, of both orders. NAIVE reads the last [[A]] or [[B]] of
 * the generated text, whatever stands around it; NAN where no text was generated. */
struct ste_attacked {
    const struct ste_attack *attack; /* NULL: none, the pairs as they are */
    enum ste_place place;
    size_t pairs, invalid;
    struct ste_rate wins;
    double naive;
};
void ste_attacked_of(const struct ste_outcome *o, size_t n, uint64_t seed, struct ste_attacked *out);
/* J's verdicts on FILES under every attack, behind those on the pairs as they are, whose outcomes PLAIN has. The caller
 * frees *OUT, whatever this returns. */
int ste_attack_files(struct ste_session *j, const struct ste_pair_files *files, struct ste_outcome *const *plain,
                     uint64_t seed, struct ste_attacked **out, size_t *n, struct ste_err *err);
void ste_attacked_table(const struct ste_attacked *rows, size_t n, struct ste_buf *out); /* 80 columns */
json_t *ste_attacked_json(const struct ste_attacked *rows, size_t n);

#endif
