#include "core/machine.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The number behind KEY in a file of such lines; 0: there is none. */
static size_t number_in(const char *path, const char *key)
{
    FILE *f = fopen(path, "re");
    char line[256];
    unsigned long long n = 0;
    const size_t len = strlen(key);
    while (f && !n && fgets(line, sizeof line, f))
        if (strncmp(line, key, len) == 0)
            sscanf(line + len, "%llu", &n);
    if (f)
        fclose(f);
    return (size_t)n;
}

/* The folder of this process's group: of version 2, or of CONTROLLER of version 1; "" at the root. */
static void group_of(const char *controller, char *out, size_t n)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    char line[4096];
    *out = 0;
    while (f && fgets(line, sizeof line, f)) {
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        path[strcspn(path, "\n")] = 0;
        if (strcmp(names + 1, controller) == 0 && strcmp(path, "/") != 0)
            snprintf(out, n, "%s", path);
    }
    if (f)
        fclose(f);
}

/* Calls FN with the folder of each group that holds this process, from its own one up. */
static void each_group(bool v2, const char *controller, void (*fn)(void *arg, const char *folder), void *arg)
{
    char group[2048], path[2304];
    group_of(v2 ? "" : controller, group, sizeof group);
    for (char *slash;; *slash = 0) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s%s%s", v2 ? "" : "/", v2 ? "" : controller, group);
        fn(arg, path);
        if (!(slash = strrchr(group, '/')))
            return;
    }
}

struct memory {
    size_t whole, free;
    const char *most, *used;
};

static void limit_memory(void *arg, const char *folder)
{
    struct memory *m = arg;
    char path[2400];
    snprintf(path, sizeof path, "%s/%s", folder, m->most);
    const size_t most = number_in(path, "");
    snprintf(path, sizeof path, "%s/%s", folder, m->used);
    const size_t used = number_in(path, "");
    if (!most || most >= m->whole)
        return;
    m->whole = most;
    if (most - (used < most ? used : most) < m->free)
        m->free = most - (used < most ? used : most);
}

void ste_machine_memory(size_t *whole, size_t *free)
{
    struct memory m = {number_in("/proc/meminfo", "MemTotal:") << 10, number_in("/proc/meminfo", "MemAvailable:") << 10,
                       "memory.max", "memory.current"};
    each_group(true, "", limit_memory, &m);
    m.most = "memory.limit_in_bytes";
    m.used = "memory.usage_in_bytes";
    each_group(false, "memory", limit_memory, &m);
    *whole = m.whole;
    *free = m.free;
}

static void limit_cores(struct ste_machine_cores *c, double quota, double period)
{
    if (quota > 0 && period > 0 && (c->quota == 0 || quota / period < c->quota))
        c->quota = quota / period;
}

static void limit_cores_v2(void *arg, const char *folder)
{
    char path[2400];
    double quota = 0, period = 0;
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    FILE *f = fopen(path, "re");
    if (f && fscanf(f, "%lf %lf", &quota, &period) == 2)
        limit_cores(arg, quota, period);
    if (f)
        fclose(f);
}

static void limit_cores_v1(void *arg, const char *folder)
{
    char path[2400];
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    const double quota = (double)(long long)number_in(path, ""); /* -1: none */
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    limit_cores(arg, quota, (double)number_in(path, ""));
}

void ste_machine_cores(struct ste_machine_cores *out)
{
    cpu_set_t set;
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    *out = (struct ste_machine_cores){.online = online > 0 ? (int)online : 1};
    out->allowed = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : out->online;
    each_group(true, "", limit_cores_v2, out);
    each_group(false, "cpu", limit_cores_v1, out);
}

void ste_machine_cpu(char *out, size_t n)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256];
    *out = 0;
    while (f && !*out && fgets(line, sizeof line, f))
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':')) {
            line[strcspn(line, "\n")] = 0;
            snprintf(out, n, "%s", strchr(line, ':') + 1 + strspn(strchr(line, ':') + 1, " "));
        }
    if (f)
        fclose(f);
}
