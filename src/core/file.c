#include "core/context.h"
#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/domain.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/utf8.h"

static void end_fd(void *of, size_t n)
{
    close((int)n);
}

int ste_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0666);
    if (fd >= 0)
        ste_own((void *)(intptr_t)fd, (size_t)fd, end_fd);
    return fd;
}

int ste_close(int fd)
{
    ste_disown((void *)(intptr_t)fd, end_fd);
    return close(fd);
}

static void end_folder(void *of, size_t n)
{
    closedir(of);
}

DIR *ste_opendir(const char *path)
{
    DIR *d = opendir(path);
    if (d)
        ste_own(d, 0, end_folder);
    else if (errno == ENOMEM)
        ste_no_memory(0);
    return d;
}

void ste_closedir(DIR *d)
{
    ste_disown(d, end_folder);
    if (d)
        closedir(d);
}

int ste_file_read(const char *path, size_t max_bytes, struct ste_buf *out, struct ste_err *err)
{
    int fd = ste_open(path, O_RDONLY);
    if (fd < 0)
        return ste_err_errno(err, "cannot open %s", path);
    char chunk[65536];
    ssize_t n;
    int rc = 0;
    while ((n = read(fd, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        if (out->len + (size_t)n > max_bytes) {
            rc = ste_err_set(err, STE_EINPUT, "%s is larger than %zu bytes, too large for what it should be", path,
                             max_bytes);
            break;
        }
        ste_buf_add(out, chunk, (size_t)n);
    }
    if (n < 0)
        rc = ste_err_errno(err, "cannot read %s", path);
    ste_close(fd);
    return rc;
}

int ste_folder_sync(const char *path, struct ste_err *err)
{
    int fd = ste_open(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return ste_err_errno(err, "cannot open the folder %s", path);
    int rc = fsync(fd) && errno != EINVAL ? ste_err_errno(err, "cannot sync the folder %s", path) : 0;
    ste_close(fd);
    return rc;
}

static int sync_parent(const char *path, struct ste_err *err)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? ste_xstrndup(path, slash == path ? 1 : (size_t)(slash - path)) : ste_xstrdup(".");
    int rc = ste_folder_sync(dir, err);
    ste_xfree(dir);
    return rc;
}

struct ste_file_writer {
    int fd;
    char *path, *tmp; /* TMP NULL: written in place */
    struct ste_buf pending;
    bool keep, sent; /* SENT: something went out in place */
    char *kept;      /* where the bytes go since PATH refused them for the reason WHY */
    int why, tried;
};

/* Renaming onto /dev/null or /dev/stdout would replace the device or the link. */
static bool written_in_place(const char *path)
{
    struct stat st;
    const bool device = strncmp(path, "/dev/", 5) == 0 && strncmp(path, "/dev/shm/", 9) != 0; /* which is a folder */
    return device || (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
}

int ste_file_try(const char *path, struct ste_err *err)
{
    if (strcmp(path, "-") == 0)
        return 0;
    if (!*path)
        return ste_err_set(err, STE_EUSAGE, "the name of a file to write is empty");
    if (written_in_place(path)) /* not opened: that of a pipe would wait for its reader */
        return access(path, W_OK) ? ste_err_errno(err, "cannot write %s", path) : 0;
    const char *base = ste_path_base(path);
    char *folder = ste_xstrndup(path, base > path + 1 ? (size_t)(base - path) - 1 : (size_t)(base - path));
    struct ste_file_writer *w;
    int rc = *folder && !ste_file_exists(folder)
                 ? ste_err_set(err, STE_EIO, "cannot write %s: there is no folder %s; `mkdir -p %s` makes it", path,
                               folder, folder)
                 : ste_file_create(&w, path, false, err);
    if (!rc)
        ste_file_abort(w);
    ste_xfree(folder);
    return rc;
}

int ste_folder_try(const char *path, struct ste_err *err)
{
    char *at = ste_xstrdup(*path ? path : "."), *probe;
    while (!ste_file_exists(at)) { /* the nearest that is there */
        char *slash = strrchr(at, '/');
        if (slash && !slash[1] && slash != at) {
            *slash = 0;
            continue;
        }
        if (!slash)
            strcpy(at, ".");
        else
            slash[slash == at] = 0;
    }
    probe = ste_xasprintf("%s/.ste-try-%ld", at, (long)getpid());
    int rc = mkdir(probe, 0777) || rmdir(probe) ? ste_err_errno(err, "cannot make the folder %s", path) : 0;
    ste_xfree(probe);
    ste_xfree(at);
    return rc;
}

char *ste_keep_path(const char *path, int which)
{
    const char *tmp = ste_setting("TMPDIR"), *slash = strrchr(path, '/'), *name = slash && slash[1] ? slash + 1 : path;
    char *home = ste_home_path(NULL);
    const char *const folders[] = {tmp ? tmp : "/tmp", "/tmp", "/var/tmp", home, "."};
    char *at = NULL;
    const int n = (int)ste_utf8_whole(name, strnlen(name, 100));
    for (int i = 0; which < (int)(sizeof folders / sizeof *folders) && (!at || ste_file_exists(at)); i++) {
        ste_xfree(at);
        at = ste_xasprintf("%s/ste-kept-%ld.%d-%.*s", folders[which], (long)getpid(), i, n, name);
    }
    ste_xfree(home);
    return at;
}

static void close_and_remove(struct ste_file_writer *w)
{
    if (w->fd >= 0 && w->fd != STDOUT_FILENO)
        close(w->fd);
    if (w->tmp)
        unlink(w->tmp);
    if (w->kept)
        unlink(w->kept);
    w->fd = -1;
}

static void end_writer(void *of, size_t n)
{
    close_and_remove(of);
}

static void writer_free(struct ste_file_writer *w)
{
    ste_disown(w, end_writer);
    ste_buf_clear(&w->pending);
    ste_xfree(w->path);
    ste_xfree(w->tmp);
    ste_xfree(w->kept);
    ste_xfree(w);
}

int ste_file_create(struct ste_file_writer **out, const char *path, bool keep, struct ste_err *err)
{
    const bool std = strcmp(path, "-") == 0;
    *out = NULL;
    if (!std && !written_in_place(path) && ste_is_folder(path))
        return ste_err_set(err, STE_EIO, "cannot write %s: it is a folder", path);
    struct ste_file_writer *w = ste_xcalloc(1, sizeof *w);
    *w = (struct ste_file_writer){.fd = -1, .keep = keep, .pending = STE_BUF_INIT};
    if (std) {
        w->path = ste_xstrdup("the standard output");
        w->fd = STDOUT_FILENO;
    } else if (written_in_place(path)) {
        w->path = ste_xstrdup(path);
        w->fd = open(path, O_WRONLY | O_CLOEXEC);
    } else {
        char *target = realpath(path, NULL); /* a link stays a link */
        w->path = target || errno == ENOMEM ? ste_xtake(target, 0) : ste_xstrdup(path);
        w->tmp = ste_xasprintf("%s.tmp%ld", w->path, (long)getpid());
        w->fd = open(w->tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    }
    if (w->fd < 0) {
        int rc = ste_err_errno(err, "cannot write %s", path);
        writer_free(w);
        return rc;
    }
    ste_own(w, 0, end_writer);
    *out = w;
    return 0;
}

static bool write_all(int fd, const char *at, size_t n)
{
    while (n) {
        ssize_t done = write(fd, at, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

/* All bytes of FROM to TO. */
static bool copy_bytes(int from, int to)
{
    char chunk[1 << 14];
    ssize_t n;
    for (off_t at = 0; (n = pread(from, chunk, sizeof chunk, at)) > 0; at += n)
        if (!write_all(to, chunk, (size_t)n))
            return false;
    return n == 0;
}

/* PATH takes no more (errno says why): goes on in another folder, with the bytes that are in the temporary file. False:
 * nobody wants the bytes, or no folder takes them; errno stays. */
static bool keep_elsewhere(struct ste_file_writer *w)
{
    const int why = errno;
    if (!w->keep || why == EPIPE)
        return false;
    for (char *at; (at = ste_keep_path(w->fd == STDOUT_FILENO ? "stdout" : w->path, w->tried)); w->tried++) {
        int fd = open(at, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 && (!(w->tmp || w->kept) || copy_bytes(w->fd, fd))) {
            const bool first = !w->kept;
            close_and_remove(w);
            ste_xfree(w->tmp);
            ste_xfree(w->kept);
            w->fd = fd;
            w->tmp = NULL;
            w->kept = at;
            w->tried++;
            if (first) {
                w->why = why;
                ste_warn("cannot write %s: %s; going on in %s", w->path, strerror(why), at);
            }
            return true;
        }
        if (fd >= 0) {
            close(fd);
            unlink(at);
        }
        ste_xfree(at);
    }
    errno = why;
    return false;
}

static int drain(struct ste_file_writer *w, const char *at, size_t n, struct ste_err *err)
{
    while (n) {
        ssize_t done = write(w->fd, at, n);
        if (done < 0 && (errno == EINTR || keep_elsewhere(w)))
            continue;
        if (done < 0)
            return ste_err_errno(err, "cannot write %s", w->path);
        w->sent |= !w->tmp && !w->kept;
        at += done;
        n -= (size_t)done;
    }
    return 0;
}

int ste_file_put(struct ste_file_writer *w, const void *p, size_t n, struct ste_err *err)
{
    if (n < (1 << 16) && w->pending.len + n < (1 << 17)) {
        ste_buf_add(&w->pending, p, n);
        return 0;
    }
    int rc = ste_file_flush(w, err);
    return rc ? rc : drain(w, p, n, err);
}

int ste_file_flush(struct ste_file_writer *w, struct ste_err *err)
{
    int rc = drain(w, w->pending.s, w->pending.len, err);
    ste_buf_reset(&w->pending);
    return rc;
}

void ste_file_abort(struct ste_file_writer *w)
{
    if (!w)
        return;
    close_and_remove(w);
    writer_free(w);
}

/* The error of a path whose bytes are elsewhere. */
static int kept_error(const struct ste_file_writer *w, struct ste_err *err)
{
    return ste_err_set(err, STE_EIO, "cannot write %s: %s; %s is kept in %s", w->path, strerror(w->why),
                       w->sent ? "what had not gone out yet" : "the result", w->kept);
}

int ste_file_commit(struct ste_file_writer *w, struct ste_err *err)
{
    int rc = drain(w, w->pending.s, w->pending.len, err);
    while (!rc && (w->tmp || w->kept) && fsync(w->fd))
        if (!keep_elsewhere(w))
            rc = ste_err_errno(err, "cannot write %s", w->path);
    if (!rc && w->tmp && rename(w->tmp, w->path) && !keep_elsewhere(w))
        rc = ste_err_errno(err, "cannot rename %s to %s", w->tmp, w->path);
    if (w->fd != STDOUT_FILENO && close(w->fd) && !rc)
        rc = ste_err_errno(err, "cannot write %s", w->path);
    w->fd = -1;
    if (rc)
        close_and_remove(w);
    else if (w->kept)
        rc = kept_error(w, err);
    else if (w->tmp)
        rc = sync_parent(w->path, err);
    writer_free(w);
    return rc;
}

static int write_whole(const char *path, const void *p, size_t n, bool keep, struct ste_err *err)
{
    struct ste_file_writer *w;
    int rc = ste_file_create(&w, path, keep, err);
    if (rc)
        return rc;
    rc = ste_file_put(w, p, n, err);
    if (!rc)
        return ste_file_commit(w, err);
    ste_file_abort(w);
    return rc;
}

int ste_file_write(const char *path, const void *p, size_t n, struct ste_err *err)
{
    return write_whole(path, p, n, false, err);
}

int ste_result_write(const char *path, const void *p, size_t n, struct ste_err *err)
{
    return write_whole(path, p, n, true, err);
}

const char *ste_bytes_are(const void *p, size_t n)
{
    static const struct {
        const char *begins, *is;
        size_t n;
    } kinds[] = {
#define KIND(begins, is) {begins, is, sizeof begins - 1}
        KIND("GGUF", "a GGUF file"),
        KIND("PK\3\4", "a ZIP archive (PyTorch's weights are one, too)"),
        KIND("\x1F\x8B", "a file compressed by gzip"),
        KIND("\x28\xB5\x2F\xFD", "a file compressed by zstd"),
        KIND("PAR1", "a Parquet file"),
        KIND("ARROW1", "an Arrow file"),
        KIND("SQLite format 3", "an SQLite database"),
        KIND("version https://git-lfs", "a pointer of Git LFS, not the file itself (`git lfs pull` gets that)"),
        KIND("<!DOCTYPE", "a web page"),
        KIND("<!doctype", "a web page"),
        KIND("<html", "a web page"),
#undef KIND
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n >= kinds[i].n && memcmp(p, kinds[i].begins, kinds[i].n) == 0)
            return kinds[i].is;
    /* The length of the head, 64 bits of which the upper ones are 0, and the head. */
    return n > 8 && memcmp((const char *)p + 4, "\0\0\0\0{", 5) == 0 ? "a safetensors file" : NULL;
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

bool ste_is_regular(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int ste_mkdirs(const char *path, struct ste_err *err)
{
    char *p = ste_xstrdup(path);
    int rc = 0;
    for (char *s = *p ? p + 1 : p; !rc && *p; s++) {
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
    ste_xfree(p);
    return rc;
}

char *ste_path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);
    return ste_xasprintf("%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

char *ste_home_path(const char *sub)
{
    const char *home = ste_setting("STE_HOME");
    const char *user = ste_setting("HOME");
    char *base = home ? ste_xstrdup(home) : ste_path_join(user ? user : ".", ".cache/ste");
    if (!sub)
        return base;
    char *path = ste_path_join(base, sub);
    ste_xfree(base);
    return path;
}

int ste_lock(const char *path, int *fd, struct ste_err *err)
{
    *fd = ste_open(path, O_RDWR | O_CREAT);
    if (*fd < 0)
        return ste_err_errno(err, "cannot open %s", path);
    for (int i = 0; i < 3; i++) { /* ste_lock_held has it for a moment */
        if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        errno = EWOULDBLOCK;
    }
    int rc = errno == EWOULDBLOCK
                 ? ste_err_set(err, STE_EBUSY, "%s is held by another ste; wait for it to end or stop it", path)
                 : ste_err_errno(err, "cannot lock %s", path);
    ste_close(*fd);
    *fd = -1;
    return rc;
}

int ste_lock_signed(const char *path, int *fd, struct ste_err *err)
{
    char host[256] = "", text[512];
    const char *job = ste_setting("SLURM_JOB_ID");
    int rc = ste_lock(path, fd, err);
    if (rc == STE_EBUSY) {
        struct ste_buf who = STE_BUF_INIT;
        ste_lock_held(path, &who);
        if (who.len)
            ste_err_set(err, rc, "%s is held by another ste (%s); wait for it to end or stop it", path, who.s);
        ste_buf_clear(&who);
    }
    if (rc)
        return rc;
    gethostname(host, sizeof host - 1);
    const int n = snprintf(text, sizeof text, "process %ld on %s%s%.100s\n", (long)getpid(), host,
                           job ? ", Slurm job " : "", job ? job : "");
    if (ftruncate(*fd, 0) != 0 || pwrite(*fd, text, (size_t)n, 0) != n)
        ste_warn("cannot write to %s who holds it", path); /* the lock holds without */
    return 0;
}

void ste_unlock(int fd)
{
    if (fd >= 0)
        ste_close(fd);
}

const char *ste_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void ste_unlock_signed(int fd, const char *text)
{
    if (fd < 0)
        return;
    const size_t n = strlen(text);
    if (ftruncate(fd, 0) != 0 || (n && pwrite(fd, text, n, 0) != (ssize_t)n))
        ste_warn("cannot write to a run's lock how it ended");
    ste_close(fd);
}

bool ste_lock_held(const char *path, struct ste_buf *says)
{
    char text[512];
    const int fd = ste_open(path, O_RDONLY);
    if (fd < 0)
        return false;
    const bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    const ssize_t n = read(fd, text, sizeof text);
    for (ssize_t i = 0; i < n && text[i] && text[i] != '\n'; i++)
        ste_buf_addc(says, text[i]);
    ste_close(fd);
    return held;
}

char *ste_path_stem(const char *path)
{
    if (strcmp(path, "-") == 0)
        return ste_xstrdup("stdin");
    const char *base = ste_path_base(path), *dot = strrchr(base, '.');
    return ste_xstrndup(base, dot && dot != base ? (size_t)(dot - base) : strlen(base));
}
