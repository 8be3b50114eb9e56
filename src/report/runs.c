#include "report/runs.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/options.h"
#include "report/fields.h"
#include "store/run.h"
#include "store/store.h"

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_run(const char *dir)
{
    char *db = ste_path_join(dir, STE_RUN_DATABASE);
    const bool there = ste_run_is(dir) || ste_is_regular(db);
    ste_xfree(db);
    return there;
}

static void find(const char *dir, int deep, struct ste_strings *out)
{
    if (is_run(dir)) {
        ste_strings_add(out, dir);
        return;
    }
    DIR *d = deep ? ste_opendir(dir) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.' || (e->d_type != DT_DIR && e->d_type != DT_LNK && e->d_type != DT_UNKNOWN))
            continue;
        char *path = strcmp(dir, ".") ? ste_path_join(dir, e->d_name) : ste_xstrdup(e->d_name);
        if (ste_is_folder(path))
            find(path, deep - 1, out);
        ste_xfree(path);
    }
    ste_closedir(d);
}

void ste_runs_find(const char *dir, int deep, struct ste_strings *out)
{
    const size_t before = out->n;
    find(dir, deep, out);
    if (out->n > before)
        qsort(out->items + before, out->n - before, sizeof *out->items, by_name);
}

/* The state of a run that can be read, and *WHY and *BY, within G. */
static const char *state_of(const struct ste_glance *g, const char **why, const char **by)
{
    static const char *const ends[] = {"interrupted", "threshold", "failed", NULL};
    *why = *by = "";
    if (g->held) {
        *by = g->says;
        return "running";
    }
    if (g->stop) {
        *why = g->stop;
        return "stopped";
    }
    if (g->iterations && g->trained >= g->iterations)
        return "done";
    for (int i = 0; ends[i]; i++)
        if (strncmp(g->says, ends[i], strlen(ends[i])) == 0) {
            *why = g->says + strlen(ends[i]);
            *why += strspn(*why, ": ");
            return ends[i];
        }
    if (*g->says) {
        *by = g->says;
        return "killed";
    }
    return "begun";
}

static json_t *row_of(const char *run)
{
    struct ste_glance g;
    struct ste_err err = {0};
    char changed[32] = "";
    const char *why = "", *by = "";
    const int rc = ste_glance(&g, run, &err);
    const char *state = rc && !g.held ? "unreadable" : state_of(&g, &why, &by);
    if (rc)
        why = err.msg;
    const time_t t = (time_t)g.changed;
    struct tm utc;
    if (gmtime_r(&t, &utc))
        strftime(changed, sizeof changed, "%Y-%m-%dT%H:%M:%SZ", &utc);
    json_t *row =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:I, s:s, s:I}", "run", run, "state", state, "why", why,
                  "by", by, "iteration", (json_int_t)g.trained, "iterations", (json_int_t)g.iterations, "seed",
                  g.seed ? g.seed : "", "objective", g.objective ? g.objective : "", "pairs", (json_int_t)g.pairs,
                  "changed", changed, "bytes", (json_int_t)g.bytes);
    ste_glance_clear(&g);
    return row ? row : json_pack("{s:s, s:s}", "run", "?", "state", "unreadable"); /* a name that is not UTF-8 */
}

json_t *ste_runs_list(const struct ste_strings *runs)
{
    json_t *list = json_array();
    for (size_t i = 0; i < runs->n; i++)
        json_array_append_new(list, row_of(runs->items[i]));
    return list;
}

/* The end of TEXT that has room, which tells runs apart. */
static void column(struct ste_buf *out, const char *text, int width)
{
    const int n = (int)strlen(text);
    ste_buf_addf(out, "%-*s ", width, n > width ? text + n - width : text);
}

void ste_runs_text(const json_t *list, struct ste_buf *out)
{
    size_t i;
    json_t *r;
    ste_buf_addf(out, "%-24s %-11s %5s %6s %-16s %7s\n", "run", "state", "iter.", "pairs", "changed (UTC)", "MB");
    json_array_foreach(list, i, r)
    {
        char turns[32] = "", changed[32] = "";
        snprintf(turns, sizeof turns, "%lld/%lld", ste_field_whole(r, "iteration"), ste_field_whole(r, "iterations"));
        snprintf(changed, sizeof changed, "%.10s %.5s", ste_field_text(r, "changed"),
                 strlen(ste_field_text(r, "changed")) > 11 ? ste_field_text(r, "changed") + 11 : "");
        column(out, ste_field_text(r, "run"), 24);
        ste_buf_addf(out, "%-11s %5s %6lld %-16s %7.1f\n", ste_field_text(r, "state"), turns,
                     ste_field_whole(r, "pairs"), changed, (double)ste_field_whole(r, "bytes") / 1e6);
        const char *text = *ste_field_text(r, "why") ? ste_field_text(r, "why") : ste_field_text(r, "by");
        if (*text) {
            ste_buf_adds(out, "    ");
            ste_wrap(out, text, 4, 4, 80);
        }
    }
}
