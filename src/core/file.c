#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"

int ste_file_read(const char *path, size_t max_bytes, struct ste_buf *out, struct ste_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ste_err_errno(err, "cannot open %s", path);
    char chunk[65536];
    ssize_t n;
    int rc = 0;
    while ((n = read(fd, chunk, sizeof chunk)) > 0) {
        if (out->len + (size_t)n > max_bytes) {
            rc = ste_err_set(err, STE_EINPUT, "%s is larger than %zu bytes, too large for what it should be", path, max_bytes);
            break;
        }
        ste_buf_add(out, chunk, (size_t)n);
    }
    if (n < 0)
        rc = ste_err_errno(err, "cannot read %s", path);
    close(fd);
    return rc;
}

int ste_folder_sync(const char *path, struct ste_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ste_err_errno(err, "cannot open the folder %s", path);
    int rc = fsync(fd) && errno != EINVAL ? ste_err_errno(err, "cannot sync the folder %s", path) : 0;
    close(fd);
    return rc;
}

static int sync_parent(const char *path, struct ste_err *err)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? ste_xstrndup(path, slash == path ? 1 : (size_t)(slash - path)) : ste_xstrdup(".");
    int rc = ste_folder_sync(dir, err);
    free(dir);
    return rc;
}

int ste_file_write(const char *path, const void *p, size_t n, struct ste_err *err)
{
    char *tmp = ste_xasprintf("%s.tmp%ld", path, (long)getpid());
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        int rc = ste_err_errno(err, "cannot write %s", path);
        free(tmp);
        return rc;
    }
    const char *at = p;
    int rc = 0;
    while (n && !rc) {
        ssize_t w = write(fd, at, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            rc = ste_err_errno(err, "cannot write %s", path);
        else
            at += w, n -= (size_t)w;
    }
    if (!rc && fsync(fd))
        rc = ste_err_errno(err, "cannot write %s", path);
    if (close(fd) && !rc)
        rc = ste_err_errno(err, "cannot write %s", path);
    if (!rc && rename(tmp, path))
        rc = ste_err_errno(err, "cannot rename %s to %s", tmp, path);
    if (rc)
        unlink(tmp);
    else
        rc = sync_parent(path, err);
    free(tmp);
    return rc;
}

bool ste_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool ste_is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int ste_mkdirs(const char *path, struct ste_err *err)
{
    char *p = ste_xstrdup(path);
    int rc = 0;
    for (char *s = p + 1; !rc; s++) {
        if (*s != '/' && *s)
            continue;
        char was = *s;
        *s = 0;
        if (mkdir(p, 0777) && errno != EEXIST)
            rc = ste_err_errno(err, "cannot make the folder %s", p);
        *s = was;
        if (!was)
            break;
    }
    if (!rc && !ste_is_folder(path))
        rc = ste_err_set(err, STE_EIO, "%s is a file, not a folder", path);
    free(p);
    return rc;
}

char *ste_path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);
    return ste_xasprintf("%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

char *ste_home_path(const char *sub)
{
    const char *home = getenv("STE_HOME");
    const char *user = getenv("HOME");
    char *base = home && *home ? ste_xstrdup(home) : ste_path_join(user && *user ? user : ".", ".cache/ste");
    if (!sub)
        return base;
    char *path = ste_path_join(base, sub);
    free(base);
    return path;
}

int ste_lock(const char *path, int *fd, struct ste_err *err)
{
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0)
        return ste_err_errno(err, "cannot open %s", path);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    int rc = errno == EWOULDBLOCK
                 ? ste_err_set(err, STE_EBUSY, "%s is held by another ste; wait for it to end or stop it", path)
                 : ste_err_errno(err, "cannot lock %s", path);
    close(*fd);
    *fd = -1;
    return rc;
}

void ste_unlock(int fd)
{
    if (fd >= 0)
        close(fd);
}
