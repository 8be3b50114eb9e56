#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/buf.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/profile.h"

static bool no_stdout;

int ste_standard_descriptors(struct ste_err *err)
{
    no_stdout = fcntl(STDOUT_FILENO, F_GETFD) < 0 && errno == EBADF;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) /* what is opened gets the lowest number that is free */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return ste_err_errno(err, "cannot open /dev/null in the place of a closed standard descriptor");
    return 0;
}

int ste_outputs_try(const char *const *paths, size_t n, struct ste_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++)
        if (paths[i] && strcmp(paths[i], "-") == 0 && no_stdout)
            rc = ste_err_set(err, STE_EIO, "the standard output is closed, and the result should go there (-)");
        else if (paths[i])
            rc = ste_file_try(paths[i], err);
    return rc;
}

void ste_print_profile(FILE *out)
{
    struct ste_buf text = STE_BUF_INIT;
    ste_profile_table(&text);
    if (text.len)
        fprintf(out, "\n%s", text.s);
    ste_buf_clear(&text);
}

int ste_write_page(const char *path, const struct ste_buf *page, struct ste_err *err)
{
    fflush(stdout); /* PATH may be "-" */
    return ste_result_write(path, page->s, page->len, err);
}

int ste_write_json(const char *path, json_t *j, struct ste_err *err)
{
    char *text = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    struct ste_buf b = STE_BUF_INIT;
    ste_buf_addf(&b, "%s\n", text);
    fflush(stdout); /* PATH may be "-" */
    int rc = ste_result_write(path, b.s, b.len, err);
    ste_buf_clear(&b);
    ste_xfree(text);
    json_decref(j);
    return rc;
}
