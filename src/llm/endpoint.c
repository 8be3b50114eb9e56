#include "llm/endpoint.h"

#include <string.h>
#include <sys/prctl.h>

#include "core/context.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/options.h"
#include "core/yaml.h"

const char *const ste_api_names[] = {"auto", "vllm", "sglang", "llama-server", "openai", NULL};

/* clang-format off */
#define OPTIONS_OF struct ste_price
static const struct ste_option prices[] = {
    STE_REAL("input", input, "0", 0, 1e9, "of a million tokens that it reads"),
    STE_REAL("cached", cached, "-1", -1, 1e9, "of those that it had in its cache; -1: as input"),
    STE_REAL("output", output, "0", 0, 1e9, "of a million tokens that it writes"),
    STE_REAL("batch", batch, "0.5", 0, 1, "the share of these prices that batch files cost"),
    {0},
};
#undef OPTIONS_OF
#define OPTIONS_OF struct ste_endpoint
static const struct ste_option options[] = {
    STE_LIST("url", urls, "", NULL, "the address up to /v1; several share the load"),
    STE_STRING("model", model, NULL, NULL, "as the server calls it; default: the only one that it has"),
    STE_CHOICE("api", api, "auto", ste_api_names, "what serves there; auto: it is asked"),
    STE_STRING("key_env", key_env, NULL, NULL, "the environment variable with the key"),
    STE_STRING("key_file", key_file, NULL, NULL, "a file that holds the key"),
    STE_INT("max_in_flight", max_in_flight, "64", 1, 4096, "requests at a time, at each address"),
    STE_REAL("timeout", timeout, "600", 0.1, 1e6, "seconds for one request"),
    STE_REAL("patience", patience, "300", 0.1, 1e6, "seconds of failures, without any answer, that end the work"),
    STE_CHOICE("labels", labels, "auto", STE_NAMES("auto", "turn", "votes"),
               "how verdicts of closed mode are read; auto: by what the server was seen to do"),
    STE_BOOL("no_sampling", no_sampling, NULL, "send no temperature, top_p and seed, which some models refuse"),
    STE_TABLE("price", price, prices),
    STE_REAL("budget", budget, "0", 0, 1e12, "the most that may be spent by these prices; 0: no bound"),
    STE_BOOL("adapters", adapters, "true", "it may be given adapters, where it takes them"),
    STE_LIST("adapter_root", adapter_root, "", NULL, "[HERE, THERE]: a folder with adapters, and where the server sees it"),
    STE_LIST("on_adapter", on_adapter, "", NULL, "a command that gives the server an adapter: its words, then FOLDER NAME"),
    {0},
};
/* clang-format on */

bool ste_price_given(const struct ste_price *p)
{
    return p->input > 0 || p->output > 0 || p->cached > 0;
}

bool ste_endpoint_is(const char *name)
{
    return strstr(name, "://") || ste_ends_in(name, ".yaml") || ste_ends_in(name, ".yml");
}

/* URL,URL#MODEL */
static void read_name(struct ste_endpoint *e, const char *name)
{
    const char *hash = strrchr(name, '#');
    char *urls = ste_xstrndup(name, hash ? (size_t)(hash - name) : strlen(name));
    ste_strings_clear(&e->urls);
    ste_strings_parse(&e->urls, urls);
    ste_xfree(urls);
    if (hash && hash[1])
        e->model = ste_xstrdup(hash + 1);
}

static int read_file(struct ste_endpoint *e, const char *path, struct ste_err *err)
{
    json_t *yaml = ste_yaml_load(path, err);
    int rc = yaml ? ste_options_load(options, e, yaml, path, err) : STE_EINPUT;
    json_decref(yaml);
    if (!rc && !e->urls.n)
        rc = ste_err_set(err, STE_EINPUT, "%s names no server: give its address as url", path);
    return rc;
}

/* Nothing secret may stand in an address, since it is kept with the run; nor would a query reach the right path. */
static int check_url(char *url, struct ste_err *err)
{
    size_t n = strlen(url);
    const bool http = strncmp(url, "http://", 7) == 0, https = strncmp(url, "https://", 8) == 0;
    const char *host = http ? url + 7 : url + 8;
    while (n && url[n - 1] == '/')
        url[--n] = 0;
    if ((!http && !https) || !*host || url[strcspn(url, " \t\r\n\"")])
        return ste_err_set(err, STE_EUSAGE, "%.200s is no address of a server; one is http://localhost:8000/v1", url);
    if (memchr(host, '@', strcspn(host, "/?#")) || strchr(url, '?'))
        return ste_err_set(err, STE_EUSAGE,
                           "the address of a server takes no user, password or query, which would be kept with the "
                           "run; a key comes from the environment (STE_API_KEY) or a file (key_file)");
    return 0;
}

/* One line of characters that a header can have. */
static int set_key(struct ste_endpoint *e, const char *text, const char *from, struct ste_err *err)
{
    size_t n = strlen(text);
    while (n && strchr(" \t\r\n", text[n - 1]))
        n--;
    if (!n)
        return ste_err_set(err, STE_EINPUT, "%s: there is no key in %s", e->name, from);
    for (size_t i = 0; i < n; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return ste_err_set(err, STE_EINPUT,
                               "%s: what is in %s is no key: it has spaces or other characters that "
                               "none has",
                               e->name, from);
    e->key = ste_xstrndup(text, n);
    prctl(PR_SET_DUMPABLE, 0); /* a process that has a key leaves no core file, and no other one of its user reads it */
    return 0;
}

bool ste_endpoint_is_openai(const struct ste_endpoint *e)
{
    for (size_t i = 0; i < e->urls.n; i++)
        if (strncmp(e->urls.items[i], "https://api.openai.com/", 23) != 0)
            return false;
    return true;
}

static int read_key(struct ste_endpoint *e, struct ste_err *err)
{
    if (e->key_file) {
        struct ste_buf text = STE_BUF_INIT;
        int rc = ste_file_read(e->key_file, 1 << 16, &text, err);
        if (!rc)
            rc = set_key(e, text.s, e->key_file, err);
        memset(text.s, 0, text.len);
        ste_buf_clear(&text);
        return rc;
    }
    if (e->key_env) {
        const char *key = ste_setting(e->key_env);
        return key ? set_key(e, key, e->key_env, err)
                   : ste_err_set(err, STE_EUSAGE, "%s: the environment has no %s, which key_env names", e->name,
                                 e->key_env);
    }
    const char *from = "STE_API_KEY", *key = ste_setting(from);
    if (!key && ste_endpoint_is_openai(e))
        key = ste_setting(from = "OPENAI_API_KEY");
    return key ? set_key(e, key, from, err) : 0;
}

int ste_endpoint_read_keyless(struct ste_endpoint *e, const char *name, struct ste_err *err)
{
    ste_options_init(options, e);
    e->key = NULL;
    e->name = ste_xstrdup(name);
    int rc = 0;
    if (strstr(name, "://"))
        read_name(e, name);
    else
        rc = read_file(e, name, err);
    for (size_t i = 0; i < e->urls.n && !rc; i++)
        rc = check_url(e->urls.items[i], err);
    if (!rc && e->key_env && e->key_file)
        rc = ste_err_set(err, STE_EUSAGE, "%s: give key_env or key_file, not both", name);
    if (!rc && e->budget > 0 && !ste_price_given(&e->price))
        rc = ste_err_set(err, STE_EUSAGE,
                         "%s: budget goes with price, as in price: {input: 0.15, cached: 0.075, output: 0.6}, of a "
                         "million tokens",
                         name);
    if (!rc && e->adapter_root.n && e->adapter_root.n != 2)
        rc = ste_err_set(err, STE_EUSAGE,
                         "%s: adapter_root is two folders, the one here and what the server calls it: "
                         "[/home/me/runs, /mnt/runs]",
                         name);
    return rc;
}

int ste_endpoint_read(struct ste_endpoint *e, const char *name, struct ste_err *err)
{
    int rc = ste_endpoint_read_keyless(e, name, err);
    return rc ? rc : read_key(e, err);
}

void ste_endpoint_clear(struct ste_endpoint *e)
{
    ste_options_clear(options, e);
    ste_xfree(e->name);
    if (e->key)
        memset(e->key, 0, strlen(e->key));
    ste_xfree(e->key);
    *e = (struct ste_endpoint){0};
}
