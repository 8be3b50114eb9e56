#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/judging.h"
#include "core/context.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "serve/service.h"

struct options {
    char *judge, *runs, *host, *token_file;
    struct ste_strings allow_host;
    long long port, max_body_mb, max_connections, max_per_address, max_jobs, idle, request_time, grace;
    struct ste_judge_options how;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_STRING("judge", judge, NULL, "JUDGE", STE_JUDGE_HELP),
    STE_STRING("runs", runs, NULL, "DIR", "a folder of runs, which can be looked at in a browser"),
    STE_STRING("host", host, "127.0.0.1", "ADDRESS",
               "to listen on; one that other machines reach needs --token-file (or STE_TOKEN in the environment)"),
    STE_INT("port", port, "8791", 0, 65535, "to listen on; 0: any that is free, which the first line names"),
    STE_STRING("token_file", token_file, NULL, "FILE",
               "its first line is the token that each request must show (Authorization: Bearer TOKEN)"),
    STE_LIST("allow_host", allow_host, NULL, "NAME",
             "hosts that requests may name, beside this machine's own, where no token is needed"),
    STE_INT("max_body_mb", max_body_mb, "8", 1, 4096, "megabytes that a request may have"),
    STE_INT("max_connections", max_connections, "12000", 1, 1000000, "that may be open at a time"),
    STE_INT("max_per_address", max_per_address, "0", 0, 1000000, "of one address; 0: no bound"),
    STE_INT("max_jobs", max_jobs, "1024", 1, 1000000, "requests to the judge that may wait; more are told to come again"),
    STE_INT("idle", idle, "60", 1, 86400, "seconds after which a connection that sends and takes nothing is closed"),
    STE_INT("request_time", request_time, "30", 1, 86400, "seconds in which a request must have come in whole"),
    STE_INT("grace", grace, "30", 0, 86400, "seconds that running requests have to end when the server is stopped"),
    STE_TABLE("", how, ste_judge_options),
    {0},
};
/* clang-format on */

static volatile sig_atomic_t reload;

static void on_hangup(int sig)
{
    reload = 1;
}

/* The token is in a file, or in the environment; caller frees. */
static int read_token(const struct options *o, char **token, struct ste_err *err)
{
    const char *set = ste_setting("STE_TOKEN");
    struct ste_buf text = STE_BUF_INIT;
    *token = NULL;
    if (!o->token_file) {
        *token = set ? ste_xstrdup(set) : NULL;
        return 0;
    }
    int rc = ste_file_read(o->token_file, 1 << 16, &text, err);
    if (!rc) {
        ste_buf_cut(&text, strcspn(text.s, "\r\n"));
        if (text.len < 8)
            rc = ste_err_set(err, STE_EINPUT, "%s: line 1: a token has at least 8 characters", o->token_file);
        else
            *token = ste_xstrdup(text.s);
    }
    ste_buf_clear(&text);
    return rc;
}

/* The socket that systemd has opened for this process, or -1. */
static int given_socket(void)
{
    const char *pid = ste_setting("LISTEN_PID"), *n = ste_setting("LISTEN_FDS");
    return pid && n && atol(pid) == (long)getpid() && atoi(n) == 1 ? 3 : -1;
}

static int serve(const struct ste_service_params *p, double grace, struct ste_err *err)
{
    struct ste_service *s;
    struct ste_buf what = STE_BUF_INIT;
    const struct timespec moment = {0, 100000000};
    int rc = ste_service_open(&s, p, err), code = 0;
    if (rc)
        return rc;
    struct sigaction hangup = {.sa_handler = on_hangup}, ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGHUP, &hangup, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    if (p->judge)
        ste_buf_addf(&what, " judge %s", p->judge);
    if (p->runs)
        ste_buf_addf(&what, "%s runs in %s", p->judge ? "," : "", p->runs);
    printf("%s:%s\n", ste_service_url(s), what.s);
    fflush(stdout);
    ste_buf_clear(&what);
    while (!ste_cancelled() && !(code = ste_service_code(s))) {
        if (reload) {
            reload = 0;
            ste_service_reload(s);
        }
        nanosleep(&moment, NULL);
    }
    const struct sigaction at_once = {.sa_handler = SIG_DFL};
    sigaction(SIGTERM, &at_once, NULL); /* as a second Ctrl-C, a second TERM is not waited for */
    if (!code)
        ste_info("stopping; requests that are there have %.0f s to end", grace);
    ste_service_close(s, grace);
    return code ? ste_err_set(err, code, "the model's thread ended") : 0;
}

static int serve_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    char *token = NULL;
    if (!o->judge && !o->runs)
        return ste_err_set(err, STE_EUSAGE,
                           "name a judge to ask (--judge), a folder of runs to look at (--runs), or both");
    int rc = o->judge ? ste_judge_options_check(&o->how, err) : 0;
    if (!rc && o->runs && access(o->runs, R_OK | X_OK) != 0)
        rc = ste_err_set(err, STE_EIO, "--runs %s: there is no such folder to read", o->runs);
    if (!rc)
        rc = read_token(o, &token, err);
    if (!rc) {
        const struct ste_service_params p = {.judge = o->judge,
                                             .options = &o->how,
                                             .runs = o->runs,
                                             .host = o->host,
                                             .token = token,
                                             .port = (int)o->port,
                                             .socket = given_socket(),
                                             .names = o->allow_host,
                                             .max_body = o->max_body_mb << 20,
                                             .max_connections = o->max_connections,
                                             .max_per_address = o->max_per_address,
                                             .max_jobs = o->max_jobs,
                                             .idle_seconds = o->idle,
                                             .request_seconds = o->request_time,
                                             .context = ste_context()};
        rc = serve(&p, (double)o->grace, err);
    }
    ste_xfree(token);
    return rc;
}

STE_COMMAND(serve, "serve", "[--judge JUDGE] [--runs DIR] [flags]",
            "Answer requests over HTTP with a judge, and show runs in a browser.", options, 0, NULL, serve_run);
