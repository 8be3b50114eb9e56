#include "store/run.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"

/* Whether DIR, which is freed, holds the file NAME. */
static bool holds(char *dir, const char *name)
{
    char *path = ste_path_join(dir, name);
    const bool there = ste_file_exists(path);
    ste_xfree(path);
    ste_xfree(dir);
    return there;
}

bool ste_run_is(const char *dir)
{
    return holds(ste_xstrdup(dir), STE_RUN_RECIPE);
}

char *ste_run_adapters(const char *dir)
{
    return ste_path_join(dir, "adapters");
}

char *ste_run_adapter(const char *dir, long iteration)
{
    return ste_xasprintf("%s/adapters/iter-%ld", dir, iteration);
}

char *ste_run_training(const char *dir, long iteration)
{
    return ste_xasprintf("%s/training/iter-%ld", dir, iteration);
}

bool ste_run_has_adapter(const char *dir, long iteration)
{
    return holds(ste_run_adapter(dir, iteration), "adapter_config.json");
}

long ste_run_iteration(const char *text)
{
    const size_t n = strspn(text, "0123456789");
    return n == 0 || n > 6 || text[n] ? -1 : strtol(text, NULL, 10);
}

long ste_run_newest(const char *dir)
{
    long newest = 0;
    char *adapters = ste_run_adapters(dir);
    DIR *d = ste_opendir(adapters);
    for (struct dirent *e; d && (e = readdir(d));) {
        const long n = strncmp(e->d_name, "iter-", 5) == 0 ? ste_run_iteration(e->d_name + 5) : -1;
        if (n > newest && ste_run_has_adapter(dir, n))
            newest = n;
    }
    ste_closedir(d);
    ste_xfree(adapters);
    return newest;
}

char *ste_run_of_adapter(const char *peft_dir)
{
    char *dir = ste_path_join(peft_dir, "../..");
    if (ste_run_is(dir))
        return dir;
    ste_xfree(dir);
    return NULL;
}
