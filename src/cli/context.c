/* The program's context: its environment, Ctrl-C, and the terminal. */
#include "core/context.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/terminal.h"

static volatile sig_atomic_t stopped;

enum { INTERRUPTED = 130, GOES_ON = 75 /* EX_TEMPFAIL of sysexits.h: what schedulers take for "run it again" */ };

/* Long work looks between its units, finishes its commit and ends. A second Ctrl-C ends the process at once; schedulers
 * repeat TERM (at a warning, at the limit, to each process of a job), which does not cut short what the first began. */
static void on_signal(int sig)
{
    if (stopped && sig == SIGINT)
        _exit(INTERRUPTED);
    if (!stopped)
        stopped = sig;
}

int ste_stopped_code(void)
{
    return stopped == SIGINT ? INTERRUPTED : GOES_ON;
}

static const char *from_environment(void *arg, const char *name)
{
    return getenv(name);
}

static bool was_stopped(void *arg)
{
    return stopped;
}

static void say(void *arg, bool warning, const char *text)
{
    ste_terminal_say(warning, text);
}

static void progress(void *arg, struct ste_progress *p, enum ste_progress_event what)
{
    ste_terminal_progress(p, what);
}

void ste_program_context(void)
{
    static const struct ste_context program = {from_environment, was_stopped, say, progress, NULL};
    ste_context_set(&program);
}

void ste_catch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGUSR1, &sa, NULL); /* Slurm's --signal=B:USR1@300 and what sites make of it */
}
