#include "library/features.h"

#include <archive.h>
#include <curl/curl.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <string.h>
#include <utf8proc.h>
#include <yaml.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/mem.h"
#include "core/options.h"
#include "engine/cpu/isa.h"
#include "store/store.h"

static void put(json_t *to, const char *name, const char *version)
{
    json_object_set_new(to, name, json_stringn(version, strcspn(version, " ")));
}

/* Those that are loaded, which need not be those that it was built with. */
static json_t *libraries(void)
{
    json_t *l = json_object();
    char pcre2[64] = "";
    pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
    put(l, "jansson", jansson_version_str());
    put(l, "libarchive", strpbrk(archive_version_string(), "0123456789"));
    put(l, "libcurl", curl_version_info(CURLVERSION_NOW)->version);
    put(l, "libmicrohttpd", MHD_get_version());
    put(l, "libyaml", yaml_get_version_string());
    put(l, "openssl", OpenSSL_version(OPENSSL_VERSION_STRING));
    put(l, "pcre2", pcre2);
    put(l, "sqlite", ste_store_sqlite());
    put(l, "utf8proc", utf8proc_version());
    return l;
}

json_t *ste_features(void)
{
    json_t *isa = json_array();
#if defined(__x86_64__)
    const int last = STE_ISA_AMX;
#else
    const int last = STE_ISA_PORTABLE;
#endif
    for (int i = STE_ISA_PORTABLE; i <= last; i++)
        json_array_append_new(isa, json_string(ste_isa_name((enum ste_isa)i)));
#if defined(__clang__)
    const char *compiler = "clang " __clang_version__;
#else
    const char *compiler = "gcc " __VERSION__;
#endif
    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:o}", "version", STE_VERSION, "commit", ste_commit, "date", ste_date,
                     "isa", isa, "compiler", compiler, "libraries", libraries());
}

void ste_features_text(struct ste_buf *out)
{
    json_t *f = ste_features(), *v;
    const char *name, *between = "libraries:";
    size_t i;
    ste_buf_addf(out, "ste %s", STE_VERSION);
    if (*ste_commit)
        ste_buf_addf(out, " (%s, %s)", ste_commit, ste_date);
    ste_buf_adds(out, "\ninstruction sets:");
    json_array_foreach(json_object_get(f, "isa"), i, v) ste_buf_addf(out, " %s", json_string_value(v));
    ste_buf_addf(out, "\ncompiler: %s\n", json_string_value(json_object_get(f, "compiler")));
    struct ste_buf list = STE_BUF_INIT;
    json_object_foreach(json_object_get(f, "libraries"), name, v)
    {
        ste_buf_addf(&list, "%s %s %s", between, name, json_string_value(v));
        between = ",";
    }
    ste_wrap(out, list.s, 0, 4, 80);
    ste_buf_clear(&list);
    json_decref(f);
}
