/* The sandbox: what it runs ends, one way or the other, and nothing outside is touched or seen. Skipped where bwrap is
 * not there or may not work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/sandbox.h"

static const struct ste_sandbox_limits limits = {.seconds = 1, .memory_mb = 256, .disk_mb = 4, .processes = 8};

static int run(const char *code, struct ste_buf *said)
{
    const char *const argv[] = {"python3", "-I", "-c", code, NULL};
    struct ste_err err = {0};
    int status = 0;
    ste_buf_reset(said);
    if (ste_sandbox_run(argv, &limits, &status, said, &err) != 0)
        fail_msg("%s", err.msg);
    return status;
}

/* CODE fails, and says WHY. */
static void fails(const char *code, const char *why)
{
    struct ste_buf said = STE_BUF_INIT;
    const int status = run(code, &said);
    if (status != 1 || !strstr(said.s, why))
        fail_msg("%s\nended with %d and said %s", code, status, said.s);
    ste_buf_clear(&said);
}

static void test_ends(void **state)
{
    struct ste_buf said = STE_BUF_INIT;
    assert_int_equal(run("print(1)", &said), 0);
    assert_int_equal(run("raise SystemExit(77)", &said), 77);
    assert_int_equal(run("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", &said), 128 + 11);
    ste_buf_clear(&said);
}

static void test_time(void **state)
{
    struct ste_buf said = STE_BUF_INIT;
    const time_t began = time(NULL);
    assert_int_equal(run("import time\nwhile True: time.sleep(1)", &said), STE_SANDBOX_TIMED_OUT);
    const int status = run("while True: pass", &said); /* by the one limit or the other */
    assert_true(status == 128 + 9 || status == STE_SANDBOX_TIMED_OUT);
    assert_true(time(NULL) - began < 30);
    ste_buf_clear(&said);
}

static void test_forks(void **state)
{
    fails("import os\nwhile True: os.fork() or __import__('time').sleep(1)", "Resource temporarily unavailable");
    /* What it leaves running ends with it. */
    char *mark = ste_xasprintf("%d", (int)getpid() * 1000 + 1);
    char *code = ste_xasprintf(
        "import os, sys, time\nif os.fork() == 0:\n    os.setsid()\n    os.execvp('sleep', ['sleep', '%s'])\n"
        "time.sleep(.2)",
        mark);
    struct ste_buf said = STE_BUF_INIT;
    assert_int_equal(run(code, &said), 0);
    char *find = ste_xasprintf(
        "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$f; echo; done 2>/dev/null | grep -q '^sleep %s '", mark);
    assert_true(system(find) != 0);
    free(find);
    free(code);
    free(mark);
    ste_buf_clear(&said);
}

static void test_disk(void **state)
{
    fails("open('/tmp/a', 'wb').write(bytes(8 << 20))", "File too large");
    fails("for i in range(99): open('/tmp/%d' % i, 'wb').write(bytes(1 << 20))", "No space left");
    fails("open('/dev/shm/a', 'wb').write(bytes(1 << 20))", "No space left");
    for (const char *const *p = (const char *const[]){"/a", "/usr/a", "/dev/a", "/etc/a", NULL}; *p; p++) {
        char *code = ste_xasprintf("open('%s', 'w')", *p);
        fails(code, "Read-only file system");
        free(code);
    }
    fails("bytearray(1 << 30)", "MemoryError");
}

static void test_network(void **state)
{
    fails("import socket; socket.create_connection(('192.0.2.1', 80), 1)", "Network is unreachable");
    /* Nor this machine's own ports and sockets. */
    fails("import socket; socket.create_connection(('127.0.0.1', 22), 1)", "Connection refused");
    fails("import os; os.listdir('/run')", "No such file");
}

static void test_home(void **state)
{
    char path[] = "/tmp/ste-sandbox-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    const char *home = getenv("HOME");
    const char *const hidden[] = {path, home ? home : "/root", STE_SOURCE_DIR "/README.md", "/etc/passwd", "/var"};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        char *code = ste_xasprintf("import os; os.stat('%s')", hidden[i]);
        fails(code, "No such file");
        free(code);
    }
    setenv("STE_SECRET", "known", 1);
    fails("import os; os.environ['STE_SECRET']", "KeyError");
    close(fd);
    unlink(path);
}

int main(void)
{
    const char *const argv[] = {"python3", "-c", "raise SystemExit(77)", NULL};
    struct ste_buf said = STE_BUF_INIT;
    struct ste_err err = {0};
    int status = 0;
    if (ste_sandbox_run(argv, &limits, &status, &said, &err) != 0 || status != 77) {
        printf("skipped: %s%s\n", err.msg, said.s);
        return 77;
    }
    ste_buf_clear(&said);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ends),    cmocka_unit_test(test_time),
                                       cmocka_unit_test(test_forks),   cmocka_unit_test(test_disk),
                                       cmocka_unit_test(test_network), cmocka_unit_test(test_home)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
