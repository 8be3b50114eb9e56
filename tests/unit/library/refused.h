/* Allocations that are refused: those of the library itself (the test is linked with --wrap, tests/CMakeLists.txt), of
 * jansson and of SQLite. What libc, libyaml and the other libraries allocate themselves is not counted. */
#ifndef STE_TEST_REFUSED_H
#define STE_TEST_REFUSED_H

#include <errno.h>
#include <jansson.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

static atomic_bool counting;
static atomic_long seen;    /* allocations since counting began */
static long refused_at;     /* this one is refused, */
static bool refused_behind; /* and those behind it */

static bool is_refused(void)
{
    if (!atomic_load(&counting))
        return false;
    const long n = atomic_fetch_add(&seen, 1) + 1;
    if (n != refused_at && !(refused_behind && n > refused_at))
        return false;
    errno = ENOMEM;
    return true;
}

#define WRAP(type, name, parameters, arguments, failure)                                                               \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters                                                                                      \
    {                                                                                                                  \
        return is_refused() ? failure : __real_##name arguments;                                                       \
    }
WRAP(void *, malloc, (size_t n), (n), NULL)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), NULL)
WRAP(void *, realloc, (void *p, size_t n), (p, n), NULL)
WRAP(void *, aligned_alloc, (size_t to, size_t n), (to, n), NULL)
WRAP(char *, strdup, (const char *s), (s), NULL)
WRAP(int, vasprintf, (char **s, const char *fmt, va_list ap), (s, fmt, ap), -1)
WRAP(void *, mmap, (void *at, size_t n, int prot, int flags, int fd, long from), (at, n, prot, flags, fd, from),
     (void *)-1)

static sqlite3_mem_methods of_sqlite;

static void *for_sqlite(int n)
{
    return is_refused() ? NULL : of_sqlite.xMalloc(n);
}

static void *more_for_sqlite(void *p, int n)
{
    return is_refused() ? NULL : of_sqlite.xRealloc(p, n);
}

/* Before anything else. */
static void refuse_others_too(void)
{
    json_set_alloc_funcs(__wrap_malloc, free);
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &of_sqlite);
    sqlite3_mem_methods counted = of_sqlite;
    counted.xMalloc = for_sqlite;
    counted.xRealloc = more_for_sqlite;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &counted);
}

static void count_from_here(long at, bool behind)
{
    refused_at = at;
    refused_behind = behind;
    atomic_store(&seen, 0);
    atomic_store(&counting, true);
}

/* Whether there was one to be refused. */
static bool count_to_here(void)
{
    atomic_store(&counting, false);
    return atomic_load(&seen) >= refused_at;
}

#endif
