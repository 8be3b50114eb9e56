/*
 * Programs that ste starts: each the first of a process group of its own, so that Ctrl-C on ste does not reach it, and
 * without input.
 *
 * One that is started with a log may outlive ste. The log is locked as long as any process has it as its output: the
 * program, and what it started, in sessions of their own too. So whoever comes later sees that it still runs, and can
 * end all of it, without a list of process ids that others may have by then.
 */
#ifndef STE_CORE_PROCESS_H
#define STE_CORE_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/err.h"

/* Starts ARGV (NULL-ended; its first item is looked for in PATH) with OUT and ERRORS as its standard output and errors.
 * STE_ENOTFOUND: it does not start. */
int ste_process_start(char *const *argv, int out, int errors, pid_t *id, struct ste_err *err);
/* True once it has ended, and only once: then the id is nobody's. *STATUS: its exit status, 128 + N when signal N ended
 * it, -1 where nobody can say. */
bool ste_process_ended(pid_t id, int *status);
/* Runs ARGV to its end; its outputs are this process's errors. STE_EINTERRUPTED: the work was cancelled, and the
 * program told to end. STE_EFAIL: it ended with something else than 0. */
int ste_process_run(char *const *argv, struct ste_err *err);

/* Starts ARGV with both outputs appended to the file LOG. STE_EBUSY: there is one that writes to it. */
int ste_process_start_logged(char *const *argv, const char *log, pid_t *id, struct ste_err *err);
bool ste_process_logs(const char *log); /* some process has LOG as its output */
/* Sends SIGNAL to the process group of ID, unless that is 0, and to those of the processes that write to LOG and were
 * started by none that does; EACH: to each that writes to it. */
void ste_process_tell(pid_t id, const char *log, int signal, bool each);

#endif
