/*
 * Errors. A function that can fail returns 0 or one of the negative codes below and takes a
 * `struct ste_err *`, which collects one sentence: what was being done, to what, what went wrong and
 * what would help. The command line prints it as it is. The caller owns the struct; a NULL sink is
 * allowed everywhere.
 */
#ifndef STE_CORE_ERR_H
#define STE_CORE_ERR_H

enum {
    STE_EFAIL = -1,        /* anything without a code of its own */
    STE_EUSAGE = -2,       /* a wrong flag, recipe key or argument */
    STE_EINPUT = -3,       /* a file or row whose content is wrong */
    STE_EIO = -4,          /* the system refused: missing file, full disk, no permission */
    STE_ENOMEM = -5,       /* a large tensor or cache does not fit */
    STE_ETHRESHOLD = -6,   /* a threshold was not met: exit code 3 */
    STE_EINTERRUPTED = -7, /* Ctrl-C: exit code 130 */
    STE_EBUSY = -8,        /* another process holds the run */
    STE_ENOTFOUND = -9,    /* no such model, run, iteration, row */
    STE_ETOOLONG = -10,    /* a prompt that does not fit the context */
};

struct ste_err {
    int code;
    char msg[1024];
};

/* Sets the sentence and returns CODE, so that a caller can write `return ste_err_set(err, ...)`. */
int ste_err_set(struct ste_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* As above, with ": " and the text of errno after the sentence. A full disk names its mend. */
int ste_err_errno(struct ste_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "FMT: " before the sentence that is there; the code stays. Returns the code. */
int ste_err_wrap(struct ste_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Of work that is done although LATE says that something beside it went wrong: RC, or LATE's code where RC is 0; both
 * sentences where there are two. */
int ste_err_pass(struct ste_err *err, const struct ste_err *late, int rc);

/* 0 done, 1 failed, 2 usage, 3 a threshold was not met, 130 interrupted. */
int ste_exit_code(int rc);

#endif
