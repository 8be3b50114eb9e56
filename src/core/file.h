/* Files: whole reads, writes that are all or nothing, folders, locks. Paths returned are the caller's. */
#ifndef STE_CORE_FILE_H
#define STE_CORE_FILE_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"

int ste_file_read(const char *path, size_t max_bytes, struct ste_buf *out, struct ste_err *err);
/* Written to a temporary name beside PATH, synced, renamed: a reader sees the old file or the new one. */
int ste_file_write(const char *path, const void *p, size_t n, struct ste_err *err);
/* The same of what took hours to make: where PATH does not take the bytes (a full disk), they go to another folder, and
 * the error, STE_EIO all the same, says where they are. */
int ste_result_write(const char *path, const void *p, size_t n, struct ste_err *err);
/* The same in pieces. A device, a pipe or a name under /dev is written in place; "-" is stdout. KEEP: as
 * ste_result_write; the pieces then go on elsewhere, which is warned of, and ste_file_commit returns the error. */
struct ste_file_writer;
int ste_file_create(struct ste_file_writer **out, const char *path, bool keep, struct ste_err *err);
int ste_file_put(struct ste_file_writer *w, const void *p, size_t n, struct ste_err *err);
int ste_file_flush(struct ste_file_writer *w, struct ste_err *err);  /* what is pending goes out */
int ste_file_commit(struct ste_file_writer *w, struct ste_err *err); /* frees W, whatever it returns */
void ste_file_abort(struct ste_file_writer *w);                      /* removes the temporary file; NULL is allowed */
/* Check, before the work whose result goes there, whether PATH can be written as a file, or made as a folder. They
 * leave nothing behind. */
int ste_file_try(const char *path, struct ste_err *err);
int ste_folder_try(const char *path, struct ste_err *err);
/* A name for the result that PATH did not take, in the WHICH-th folder to try, from 0; NULL: there is no further one.
 * Caller frees. */
char *ste_keep_path(const char *path, int which);
bool ste_file_exists(const char *path);
/* Says what a file is that begins with these bytes, as "a ZIP archive": for the error of one that is given as something
 * else. NULL: nothing known. */
const char *ste_bytes_are(const void *p, size_t n);
const char *ste_path_base(const char *path); /* the file's name without folder, within PATH */
char *ste_path_stem(const char *path); /* the file's name without folder and ending; "stdin" for "-". Caller frees. */
bool ste_is_folder(const char *path);
bool ste_is_regular(const char *path); /* a file that can be read again: no pipe, device or folder */
int ste_mkdirs(const char *path, struct ste_err *err);
/* fsync of a folder, so that a rename in it survives a power cut. */
int ste_folder_sync(const char *path, struct ste_err *err);

char *ste_path_join(const char *dir, const char *name);
/* ${STE_HOME:-~/.cache/ste}/SUB; SUB may be NULL. */
char *ste_home_path(const char *sub);

/* Do what open (O_CLOEXEC, 0666), close, opendir and closedir do; what is open is closed should memory run out
 * (domain.h). */
int ste_open(const char *path, int flags);
int ste_close(int fd);
DIR *ste_opendir(const char *path);
void ste_closedir(DIR *d); /* NULL is allowed */

/* An exclusive lock on PATH (made if missing), held until ste_unlock or the end of the process.
 * STE_EBUSY when another process has it. */
int ste_lock(const char *path, int *fd, struct ste_err *err);
/* The same on a file that is there for nothing else: it is left with who holds it (process, machine, Slurm job), and
 * the sentence of STE_EBUSY names that one: on a cluster it may be on another machine. */
int ste_lock_signed(const char *path, int *fd, struct ste_err *err);
void ste_unlock(int fd);
/* Leaves the line TEXT ("": none) in the file of ste_lock_signed, in the place of who holds it, and unlocks. */
void ste_unlock_signed(int fd, const char *text);
/* Whether a process has the lock on PATH. SAYS gets the first line of the file. */
bool ste_lock_held(const char *path, struct ste_buf *says);

#endif
