/* The program's context: its environment, Ctrl-C, and the terminal. */
#include "core/context.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/terminal.h"

static volatile sig_atomic_t stopped;

/* Long work looks between its units, finishes its commit and ends; a second signal ends the process at once. */
static void on_signal(int sig)
{
    if (stopped)
        _exit(128 + sig);
    stopped = 1;
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
}
