#include "net/curl.h"

#include <jansson.h>
#include <pthread.h>
#include <string.h>

#include "core/buf.h"
#include "core/context.h"
#include "core/domain.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "net/http.h"

#define CONNECT_SECONDS 10L
#define SHOWN_REASON 300 /* bytes of what a server says */

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

CURL *ste_curl_new(void)
{
    pthread_once(&once, init);
    CURL *c = curl_easy_init();
    if (!c)
        ste_no_memory(0);
    return c;
}

long ste_curl_status(CURL *c)
{
    long status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static const char *first_set(const char *const *names)
{
    for (; *names; names++) {
        const char *v = ste_setting(*names);
        if (v)
            return v;
    }
    return NULL;
}

/* Certificates where pip, requests and OpenSSL would be told of them. */
static void set_certificates(CURL *curl)
{
    static const char *const names[] = {"CURL_CA_BUNDLE", "SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", NULL};
    const char *file = first_set(names);
    if (file && ste_is_folder(file))
        curl_easy_setopt(curl, CURLOPT_CAPATH, file);
    else if (file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, file);
    const char *folder = ste_setting("SSL_CERT_DIR");
    if (folder)
        curl_easy_setopt(curl, CURLOPT_CAPATH, folder);
}

void ste_curl_prepare(CURL *c, char *problem)
{
    problem[0] = 0;
    curl_easy_setopt(c, CURLOPT_USERAGENT, "ste/" STE_VERSION);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, problem);
    set_certificates(c);
}

struct curl_slist *ste_curl_headers(const char *const *headers)
{
    struct curl_slist *l = NULL;
    for (; headers && *headers; headers++)
        l = curl_slist_append(l, *headers);
    return l;
}

/* What the server cannot do (501 and its like) it cannot do the next time either; 52x are those of proxies. */
bool ste_http_passes(long status)
{
    return status == 408 || status == 425 || status == 429 || status == 500 || (status >= 502 && status <= 504) ||
           (status >= 520 && status < 530);
}

char *ste_http_shown(const char *url)
{
    size_t n = strcspn(url, "?#");
    const char *host = strstr(url, "://");
    host = host && host < url + n ? host + 3 : url;
    const char *at = memchr(host, '@', strcspn(host, "/?#"));
    if (!at)
        return ste_xstrndup(url, n);
    return ste_xasprintf("%.*s%.*s", (int)(host - url), url, (int)(url + n - at - 1), at + 1);
}

/* "error", "message", "detail" or "error_message" of a JSON body, which may be an object with a message itself. */
static const char *json_reason(const json_t *j)
{
    static const char *const keys[] = {"error", "message", "detail", "error_message"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *v = json_object_get(j, keys[i]);
        if (json_is_object(v))
            v = json_object_get(v, "message");
        if (json_is_string(v))
            return json_string_value(v);
    }
    return NULL;
}

/* A page of HTML says it in its title. */
char *ste_http_reason(const char *body, size_t size)
{
    json_t *j = json_loadb(body, size, 0, NULL);
    const char *said = json_reason(j), *text = said ? said : j || !size ? "" : body;
    size_t n = strlen(text);
    const char *title = strcasestr(text, "<title>");
    if (title) {
        text = title + strlen("<title>");
        n = strcspn(text, "<");
    } else if (text[strspn(text, " \t\r\n")] == '<') {
        n = 0;
    }
    struct ste_buf line = STE_BUF_INIT;
    for (size_t i = 0; i < n && line.len < SHOWN_REASON; i++) {
        const unsigned char c = (unsigned char)text[i];
        const bool space = c <= ' ' || c == 0x7F; /* what a terminal would act on, too */
        if (!space)
            ste_buf_addc(&line, (char)c);
        else if (line.len && line.s[line.len - 1] != ' ')
            ste_buf_addc(&line, ' ');
    }
    line.len = ste_utf8_bad(line.s, line.len);
    while (line.len && line.s[line.len - 1] == ' ')
        line.len--;
    char *out = line.len ? ste_xasprintf(" (%.*s)", (int)line.len, line.s) : ste_xstrdup("");
    ste_buf_clear(&line);
    json_decref(j);
    return out;
}
