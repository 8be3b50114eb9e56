/* The socket that is listened on, and how many connections there may be. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "serve/http_internal.h"

#define SPARE_DESCRIPTORS 128 /* for files, databases and the like */

int ste_listen(const char *host, int at, int *fd, struct ste_err *err)
{
    char port[16];
    struct addrinfo *list = NULL, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    snprintf(port, sizeof port, "%d", at);
    const int rc = getaddrinfo(host, port, &hints, &list);
    if (rc)
        return ste_err_set(err, STE_EUSAGE, "--host %s is no address of this machine: %s", host, gai_strerror(rc));
    *fd = -1;
    int why = 0;
    for (const struct addrinfo *a = list; a && *fd < 0; a = a->ai_next) {
        const int s = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol), yes = 1;
        if (s < 0) {
            why = errno;
            continue;
        }
        setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        if (bind(s, a->ai_addr, a->ai_addrlen) == 0 && listen(s, 4096) == 0) {
            *fd = s;
        } else {
            why = errno;
            close(s);
        }
    }
    freeaddrinfo(list);
    return *fd >= 0 ? 0
                    : ste_err_set(err, STE_EIO, "cannot listen on port %d of %s: %s%s", at, host, strerror(why),
                                  why == EADDRINUSE ? "; --port takes another, 0 any that is free" : "");
}

char *ste_url_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    char host[64] = "?", port[16] = "?";
    if (getsockname(fd, (struct sockaddr *)&a, &n) == 0)
        getnameinfo((struct sockaddr *)&a, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    return ste_xasprintf(strchr(host, ':') ? "http://[%s]:%s" : "http://%s:%s", host, port);
}

bool ste_socket_is_local(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    char host[64] = "?";
    if (getsockname(fd, (struct sockaddr *)&a, &n) ||
        (a.ss_family != AF_UNIX && getnameinfo((struct sockaddr *)&a, n, host, sizeof host, NULL, 0, NI_NUMERICHOST)))
        return false;
    return a.ss_family == AF_UNIX || ste_guard_is_loopback(host);
}

unsigned ste_connections_for(unsigned wanted)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return wanted;
    if (r.rlim_cur < wanted + SPARE_DESCRIPTORS) {
        r.rlim_cur = r.rlim_max == RLIM_INFINITY || r.rlim_max > wanted + SPARE_DESCRIPTORS ? wanted + SPARE_DESCRIPTORS
                                                                                            : r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
        getrlimit(RLIMIT_NOFILE, &r);
    }
    if (r.rlim_cur >= wanted + SPARE_DESCRIPTORS)
        return wanted;
    const unsigned have =
        r.rlim_cur > 2 * SPARE_DESCRIPTORS ? (unsigned)r.rlim_cur - SPARE_DESCRIPTORS : SPARE_DESCRIPTORS;
    ste_warn("at most %u connections at a time, since the limit on open files is %llu (ulimit -n)", have,
             (unsigned long long)r.rlim_cur);
    return have;
}
