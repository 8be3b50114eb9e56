#include "data/index.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/context.h"
#include "core/buf.h"
#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/strings.h"
#include "net/http.h"

#define MAX_PAGE ((size_t)64 << 20)

/* index-url of the [global] (or [install]) section of a pip.conf; caller frees; NULL: none. */
static char *from_pip_conf(const char *path)
{
    struct ste_buf b = STE_BUF_INIT;
    char *url = NULL;
    if (ste_file_exists(path) && ste_file_read(path, 1 << 20, &b, NULL) == 0) {
        char *save = NULL;
        bool ours = false;
        for (char *line = strtok_r(b.s, "\r\n", &save); line && !url; line = strtok_r(NULL, "\r\n", &save)) {
            line += strspn(line, " \t");
            if (*line == '[')
                ours = strncmp(line, "[global]", 8) == 0 || strncmp(line, "[install]", 9) == 0;
            if (!ours || (strncmp(line, "index-url", 9) != 0 && strncmp(line, "index_url", 9) != 0))
                continue;
            line += 9;
            line += strspn(line, " \t");
            if (*line != '=' && *line != ':')
                continue;
            line += 1 + strspn(line + 1, " \t");
            size_t n = strcspn(line, " \t");
            url = n ? ste_xstrndup(line, n) : NULL;
        }
    }
    ste_buf_clear(&b);
    return url;
}

static char *from_home(const char *sub)
{
    const char *home = ste_setting("HOME");
    if (!home)
        return NULL;
    char *path = ste_path_join(home, sub), *url = from_pip_conf(path);
    ste_xfree(path);
    return url;
}

static char *from_config(void)
{
    const char *named = ste_setting("PIP_CONFIG_FILE"), *xdg = ste_setting("XDG_CONFIG_HOME");
    char *url = named ? from_pip_conf(named) : NULL;
    if (!url && xdg) {
        char *path = ste_path_join(xdg, "pip/pip.conf");
        url = from_pip_conf(path);
        ste_xfree(path);
    }
    if (!url)
        url = from_home(".config/pip/pip.conf");
    if (!url)
        url = from_home(".pip/pip.conf");
    return url ? url : from_pip_conf("/etc/pip.conf");
}

static char *from_pip_itself(void)
{
    FILE *p =
        popen("python3 -c 'from pip._internal.models.index import PyPI; print(PyPI.simple_url)' 2>/dev/null", "r");
    char line[1024] = "";
    if (!p)
        return NULL;
    if (!fgets(line, sizeof line, p))
        line[0] = 0;
    pclose(p);
    line[strcspn(line, "\r\n")] = 0;
    return strncmp(line, "http", 4) == 0 ? ste_xstrdup(line) : NULL;
}

int ste_index_address(char **out, struct ste_err *err)
{
    static const char *const names[] = {"STE_INDEX_URL", "PIP_INDEX_URL"};
    char *url = NULL;
    for (int i = 0; i < 2 && !url; i++) {
        const char *v = ste_setting(names[i]);
        url = v ? ste_xstrdup(v) : NULL;
    }
    if (!url)
        url = from_config();
    if (!url)
        url = from_pip_itself();
    if (!url)
        return ste_err_set(err, STE_ENOTFOUND,
                           "no Python package index is known; give its address in STE_INDEX_URL or install pip "
                           "(python3-pip)");
    while (*url && url[strlen(url) - 1] == '/')
        url[strlen(url) - 1] = 0;
    *out = url;
    return 0;
}

void ste_index_file_clear(struct ste_index_file *f)
{
    ste_xfree(f->name);
    ste_xfree(f->url);
    *f = (struct ste_index_file){0};
}

/* PEP 503: lower case, runs of - _ . as one dash. N bytes of NAME. */
static char *normal_name(const char *name, size_t n)
{
    struct ste_buf b = STE_BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        bool dash = strchr("-_.", name[i]) != NULL;
        if (!dash)
            ste_buf_addc(&b, (char)tolower((unsigned char)name[i]));
        else if (b.len && b.s[b.len - 1] != '-')
            ste_buf_addc(&b, '-');
    }
    return ste_buf_detach(&b);
}

/* How good FILE is as PACKAGE at VERSION: 3 a wheel for any machine, 2 another wheel, 1 a source archive, 0 none. */
static int rank_of(const char *file, const char *package, const char *version)
{
    bool wheel = ste_ends_in(file, ".whl");
    size_t tail = wheel ? 4 : ste_ends_in(file, ".tar.gz") ? 7 : 0;
    if (!tail || strchr(file, '/'))
        return 0;
    /* a wheel's name has no dash in the name of the package; a source archive's version stands last */
    const char *dash = wheel ? strchr(file, '-') : strrchr(file, '-');
    if (!dash)
        return 0;
    size_t n = strcspn(dash + 1, wheel ? "-" : "");
    n -= wheel ? 0 : tail;
    char *have = normal_name(file, (size_t)(dash - file)), *want = normal_name(package, strlen(package));
    bool same = strcmp(have, want) == 0 && n == strlen(version) && strncmp(dash + 1, version, n) == 0;
    ste_xfree(have);
    ste_xfree(want);
    return !same ? 0 : !wheel ? 1 : ste_ends_in(file, "-none-any.whl") ? 3 : 2;
}

static bool is_sha256(const char *s)
{
    return s && strspn(s, "0123456789abcdef") == 64;
}

static void offer(struct ste_index_file *out, int *best, const char *file, const char *link, const char *sha256,
                  const char *base, const char *package, const char *version)
{
    int rank = rank_of(file, package, version);
    if (rank <= *best)
        return;
    char *url = ste_http_join(base, link);
    if (!url)
        return;
    *best = rank;
    ste_index_file_clear(out);
    out->name = ste_xstrdup(file);
    out->url = url;
    if (is_sha256(sha256))
        memcpy(out->sha256, sha256, 64);
}

static int read_json(struct ste_index_file *out, int *best, const char *page, size_t n, const char *url,
                     const char *package, const char *version, struct ste_err *err)
{
    json_t *j = ste_json_parse(page, n, url, err);
    if (!j)
        return STE_EINPUT;
    const json_t *files = json_object_get(j, "files");
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *f = json_array_get(files, i);
        const char *name = json_string_value(json_object_get(f, "filename"));
        const char *link = json_string_value(json_object_get(f, "url"));
        const char *sha = json_string_value(json_object_get(json_object_get(f, "hashes"), "sha256"));
        if (name && link)
            offer(out, best, name, link, sha, url, package, version);
    }
    json_decref(j);
    return 0;
}

/* href="..." of every anchor; the file's name is the last part of its path, the hash stands behind '#'. */
static void read_html(struct ste_index_file *out, int *best, const char *page, const char *url, const char *package,
                      const char *version)
{
    for (const char *at = page; (at = strcasestr(at, "href"));) {
        at += 4;
        at += strspn(at, " \t\r\n");
        if (*at != '=')
            continue;
        at += 1 + strspn(at + 1, " \t\r\n");
        char quote = *at;
        if (quote != '"' && quote != '\'')
            continue;
        const char *end = strchr(++at, quote);
        if (!end)
            return;
        struct ste_buf link = STE_BUF_INIT;
        for (const char *p = at; p < end; p++) {
            ste_buf_addc(&link, *p);
            if (strncmp(p, "&amp;", 5) == 0)
                p += 4;
        }
        ste_buf_reserve(&link, 0);
        char *hash = strchr(link.s, '#');
        const char *sha = hash && strncmp(hash, "#sha256=", 8) == 0 ? hash + 8 : NULL;
        if (hash)
            *hash = 0;
        char *path = ste_xstrndup(link.s, strcspn(link.s, "?"));
        offer(out, best, ste_path_base(path), link.s, sha, url, package, version);
        ste_xfree(path);
        ste_buf_clear(&link);
        at = end;
    }
}

int ste_index_read_page(struct ste_index_file *out, const char *page, size_t n, const char *url, const char *package,
                        const char *version, struct ste_err *err)
{
    int best = 0, rc = 0;
    *out = (struct ste_index_file){0};
    const char *start = page + strspn(page, " \t\r\n");
    if (*start == '{')
        rc = read_json(out, &best, page, n, url, package, version, err);
    else
        read_html(out, &best, page, url, package, version);
    if (!rc && !best)
        rc = ste_err_set(err, STE_ENOTFOUND, "the package index has no file of %s %s", package, version);
    return rc;
}

int ste_index_find(struct ste_index_file *out, const char *index, const char *package, const char *version,
                   struct ste_err *err)
{
    static const char *const accept[] = {
        "Accept: application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1",
        NULL};
    struct ste_buf page = STE_BUF_INIT;
    *out = (struct ste_index_file){0};
    char *name = normal_name(package, strlen(package));
    char *url = ste_xasprintf("%s/%s/", index, name);
    int rc = ste_http_get(url, accept, MAX_PAGE, &page, err);
    if (!rc)
        rc = ste_index_read_page(out, page.s, page.len, url, package, version, err);
    ste_xfree(name);
    ste_xfree(url);
    ste_buf_clear(&page);
    return rc;
}
