/*
 * How published judges read a judgment's text and score it, kept apart from ste's own stricter reading so that a
 * published figure can be met:
 * - rewardbench (allenai/reward-bench 0.1.4): [[A]] anywhere is A, else [[B]] anywhere is B, else an error; one order a
 *   pair, drawn; an error scores 0.5.
 * - ram (facebookresearch/RAM, projects/self_taught_evaluator): both markers are an error, [[C]] is a tie; scored the
 *   same.
 * - fastchat (lm-sys/FastChat 0.2.36, pairwise): [[A]], then [[B]], then [[C]] for a tie.
 */
#ifndef STE_JUDGE_COMPAT_H
#define STE_JUDGE_COMPAT_H

#include "core/err.h"

enum ste_compat { STE_COMPAT_NONE, STE_COMPAT_REWARDBENCH, STE_COMPAT_RAM, STE_COMPAT_FASTCHAT };
enum ste_winner { STE_WINNER_A, STE_WINNER_B, STE_WINNER_TIE, STE_WINNER_ERROR };

extern const char *const ste_compat_names[]; /* NULL-ended, as the enum has them */
const char *ste_compat_name(enum ste_compat c);
const char *ste_winner_name(enum ste_winner w); /* "A", "B", "tie", "error" */
enum ste_winner ste_compat_read(enum ste_compat c, const char *text);
/* 1 when the better answer won, which stood at B when SWAPPED; 0 when the other did, else 0.5. */
double ste_compat_score(enum ste_winner w, int swapped);

#endif
