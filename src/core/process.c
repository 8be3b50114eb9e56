#include "core/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/context.h"
#include "core/file.h"
#include "core/mem.h"

/* Signals that a process may have been told to ignore or to catch come to the program as to any other. */
static void plain_signals(posix_spawnattr_t *how)
{
    static const int plain[] = {SIGINT, SIGTERM, SIGPIPE, SIGCHLD};
    sigset_t set;
    sigemptyset(&set);
    posix_spawnattr_setsigmask(how, &set);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        sigaddset(&set, plain[i]);
    posix_spawnattr_setsigdefault(how, &set);
    posix_spawnattr_setflags(how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

int ste_process_start(char *const *argv, int out, int errors, pid_t *id, struct ste_err *err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&how);
    plain_signals(&how);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_adddup2(&files, errors, 2);
    const int why = posix_spawnp(id, argv[0], &files, &how, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    return why == 0 ? 0 : ste_err_set(err, STE_ENOTFOUND, "%s does not start: %s", argv[0], strerror(why));
}

bool ste_process_ended(pid_t id, int *status)
{
    int how;
    const pid_t ended = waitpid(id, &how, WNOHANG);
    if (ended == 0 || (ended < 0 && errno == EINTR))
        return false;
    *status = ended < 0 ? -1 : WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
    return true;
}

int ste_process_run(char *const *argv, struct ste_err *err)
{
    pid_t id;
    int status = 0;
    bool told = false;
    int rc = ste_process_start(argv, STDERR_FILENO, STDERR_FILENO, &id, err);
    while (!rc && !ste_process_ended(id, &status)) {
        if (ste_cancelled() && !told)
            kill(-id, SIGTERM);
        told |= ste_cancelled();
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    if (!rc && !(rc = ste_cancel_check(err)) && status)
        rc = ste_err_set(err, STE_EFAIL, "%s ended with exit code %d", argv[0], status);
    return rc;
}

/* ---- with a log ---- */

int ste_process_start_logged(char *const *argv, const char *log, pid_t *id, struct ste_err *err)
{
    int fd;
    int rc = ste_lock(log, &fd, err);
    if (rc)
        return rc;
    rc = fcntl(fd, F_SETFL, O_APPEND) ? ste_err_errno(err, "cannot append to %s", log)
                                      : ste_process_start(argv, fd, fd, id, err);
    ste_unlock(fd); /* ours; the lock is the program's now */
    return rc;
}

bool ste_process_logs(const char *log)
{
    int fd;
    const int rc = ste_lock(log, &fd, NULL);
    if (!rc)
        ste_unlock(fd);
    return rc == STE_EBUSY;
}

struct writer {
    pid_t id, parent, group;
};

/* What /proc/ID/stat says, behind the name in brackets, which may hold anything. */
static bool read_writer(pid_t id, struct writer *w)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)id);
    const int fd = ste_open(path, O_RDONLY);
    const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        ste_close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *behind = strrchr(text, ')');
    int parent, group;
    if (!behind || sscanf(behind + 1, " %*c %d %d", &parent, &group) != 2)
        return false;
    *w = (struct writer){id, parent, group};
    return true;
}

static bool has_output(pid_t id, const struct stat *log)
{
    bool has = false;
    for (int fd = 1; fd <= 2; fd++) {
        char path[64];
        struct stat s;
        snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long)id, fd);
        has |= stat(path, &s) == 0 && s.st_dev == log->st_dev && s.st_ino == log->st_ino;
    }
    return has;
}

/* The processes, but for this one, whose output is LOG; the caller frees them. */
static size_t find_writers(const char *log, struct writer **out)
{
    struct stat s;
    size_t n = 0, cap = 0;
    *out = NULL;
    DIR *d = stat(log, &s) == 0 ? ste_opendir("/proc") : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        const pid_t id = (pid_t)strtol(e->d_name, NULL, 10);
        if (id <= 0 || id == getpid() || !has_output(id, &s))
            continue;
        STE_GROW(*out, cap, n + 1);
        n += read_writer(id, &(*out)[n]);
    }
    ste_closedir(d);
    return n;
}

void ste_process_tell(pid_t id, const char *log, int signal, bool each)
{
    struct writer *all;
    const size_t n = find_writers(log, &all);
    if (id > 0)
        kill(-id, signal);
    for (size_t i = 0; i < n; i++) {
        bool first = true;
        for (size_t k = 0; k < n; k++)
            first &= all[k].id != all[i].parent;
        if (each)
            kill(all[i].id, signal);
        else if (first && all[i].group != id && all[i].group != getpgrp())
            kill(-all[i].group, signal);
    }
    ste_xfree(all);
}
