/*
 * A server's model as an implementation of llm.h: many questions in flight, each asked until it has its answer or has
 * none to expect. What stands against it is told apart (wire.h): a server that has too much to do is waited for and
 * asked for less at a time; a fault is tried again a few times; a question that is refused, or that the tries were in
 * vain for while the server answers others, has an answer that failed; where the server answers nothing any more the
 * work ends with an error, and the same command goes on.
 */
#ifndef STE_LLM_REMOTE_H
#define STE_LLM_REMOTE_H

#include "llm/llm.h"

/* NAME: as endpoint.h has it. SPENT: as of ste_llm_params. */
int ste_remote_open(struct ste_llm **out, const char *name, const char *spent, struct ste_err *err);

#endif
