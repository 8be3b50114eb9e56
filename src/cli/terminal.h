/*
 * What a person sees while work goes on, all on stderr: messages, and progress. On a terminal progress is one line
 * redrawn in place (at most 80 columns or the terminal's width) with count, rate and time left; elsewhere it is one
 * plain line a minute and one at the end. NO_COLOR is honoured. STE_LOG=quiet silences everything but warnings.
 */
#ifndef STE_CLI_TERMINAL_H
#define STE_CLI_TERMINAL_H

#include "core/context.h"
#include "core/log.h"

void ste_terminal_say(bool warning, const char *text);
void ste_terminal_progress(struct ste_progress *p, enum ste_progress_event what);

#endif
