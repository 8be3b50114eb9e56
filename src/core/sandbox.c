#include "core/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/process.h"
#include "core/strings.h"

#define PATIENCE 3 /* wall time for CPU time: the machine may have other work */

static void words(struct ste_strings *l, const char *text)
{
    for (const char *p = text; *(p += strspn(p, " ")); p += strcspn(p, " ")) {
        char *word = ste_xstrndup(p, strcspn(p, " "));
        ste_strings_add(l, word);
        ste_xfree(word);
    }
}

/* The limits are set inside, where the processes are counted by themselves. Root's are not counted by any limit, and
 * root may read everything: so root goes on as nobody. */
static void command(struct ste_strings *l, const char *const *argv, const struct ste_sandbox_limits *m)
{
    const long long disk = (long long)m->disk_mb << 20;
    char *text = ste_xasprintf(
        "bwrap --unshare-all --die-with-parent --new-session --ro-bind /usr /usr --ro-bind-try /bin /bin --ro-bind-try "
        "/lib /lib --ro-bind-try /lib64 /lib64 --ro-bind-try /etc/ld.so.cache /etc/ld.so.cache --ro-bind-try "
        "/etc/alternatives /etc/alternatives --proc /proc --dev /dev --size 4096 --tmpfs /dev/shm --remount-ro /dev "
        "--size %lld --tmpfs /tmp --remount-ro / --chdir /tmp --clearenv --setenv PATH /usr/local/bin:/usr/bin:/bin "
        "--setenv HOME /tmp prlimit --nproc=%d --as=%lld --cpu=%d --fsize=%lld --nofile=64 --core=0",
        disk, m->processes, (long long)m->memory_mb << 20, m->seconds, disk);
    if (geteuid() == 0)
        words(l, "setpriv --reuid=65534 --regid=65534 --clear-groups");
    words(l, text);
    for (; *argv; argv++)
        ste_strings_add(l, *argv);
    ste_strings_add(l, NULL); /* ends the list for exec */
    ste_xfree(text);
}

/* Waits for CHILD, no longer than SECONDS; then it is killed, and its namespace with it. */
static int wait_for(pid_t child, int seconds)
{
    const double end = ste_now() + seconds;
    bool late = false;
    int status;
    while (!ste_process_ended(child, &status)) {
        if (!late && ste_now() > end) {
            kill(-child, SIGKILL);
            late = true;
        }
        nanosleep(&(struct timespec){.tv_nsec = 4000000}, NULL);
    }
    return late ? STE_SANDBOX_TIMED_OUT : status;
}

int ste_sandbox_run(const char *const *argv, const struct ste_sandbox_limits *limits, int *status, struct ste_buf *said,
                    struct ste_err *err)
{
    struct ste_strings all = {0};
    command(&all, argv, limits);
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC),
              errors = said ? memfd_create("stderr", MFD_CLOEXEC) : nowhere;
    pid_t child = -1;
    int rc = nowhere < 0 || errors < 0 ? ste_err_errno(err, "a place for what a program says")
                                       : ste_process_start(all.items, nowhere, errors, &child, err);
    if (rc == 0) {
        *status = wait_for(child, PATIENCE * limits->seconds);
        char text[4096];
        const ssize_t n = said ? pread(errors, text, sizeof text, 0) : 0;
        if (n > 0)
            ste_buf_add(said, text, (size_t)n);
    }
    if (said && errors >= 0)
        close(errors);
    if (nowhere >= 0)
        close(nowhere);
    ste_strings_clear(&all);
    return rc;
}
