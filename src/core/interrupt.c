#include "core/interrupt.h"

#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
    if (stopped)
        _exit(128 + sig);
    stopped = 1;
}

void ste_interrupt_install(void)
{
    struct sigaction sa = {.sa_handler = on_signal};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

bool ste_interrupted(void)
{
    return stopped;
}

int ste_interrupt_check(struct ste_err *err)
{
    return stopped ? ste_err_set(err, STE_EINTERRUPTED, "interrupted; the same command goes on from here") : 0;
}
