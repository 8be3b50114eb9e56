/*
 * Running a program that nobody has read, by bubblewrap (`bwrap`) and util-linux: in namespaces of its own, so that it
 * sees no network and no other process, over a read-only root that has /usr and nothing of the home folder, the run or
 * the rest of the machine. What it may write is /tmp, in memory and gone at the end.
 */
#ifndef STE_CORE_SANDBOX_H
#define STE_CORE_SANDBOX_H

#include "core/buf.h"
#include "core/err.h"

struct ste_sandbox_limits {
    int seconds;   /* of CPU time, each process; three times that of wall time */
    int memory_mb; /* of address space, each process */
    int disk_mb;   /* of all files */
    int processes; /* and threads, at once */
};

#define STE_SANDBOX_TIMED_OUT (-1)

/* Runs ARGV (NULL-ended; its first item is looked for in /usr/local/bin, /usr/bin and /bin) without input, output to
 * nowhere. *STATUS: its exit status, 128 + N when signal N ended it, or STE_SANDBOX_TIMED_OUT. When it returns, nothing
 * of it runs any more. SAID: NULL, or gets what it wrote to stderr. STE_ENOTFOUND: there is no bwrap on this machine.
 */
int ste_sandbox_run(const char *const *argv, const struct ste_sandbox_limits *limits, int *status, struct ste_buf *said,
                    struct ste_err *err);

#endif
