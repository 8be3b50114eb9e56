#include "cli/cli.h"
#include "report/doctor.h"

struct options {
    bool full, json;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_BOOL("full", full, NULL, "read the models whole and compare their SHA-256, not only their sizes"),
    STE_BOOL("json", json, NULL, "as JSON"),
    {0},
};
/* clang-format on */

static int doctor_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    struct ste_buf text = STE_BUF_INIT;
    int broken, rc = 0;
    json_t *list = ste_doctor(o->full, &broken);
    if (o->json)
        rc = ste_write_json("-", json_incref(list), err);
    else
        ste_doctor_text(list, &text);
    fputs(text.s, stdout);
    ste_buf_clear(&text);
    json_decref(list);
    if (!rc && broken)
        rc = ste_err_set(err, STE_EFAIL, "%d of the things above %s broken; what is behind the arrow mends it", broken,
                         broken == 1 ? "is" : "are");
    return rc;
}

STE_COMMAND(doctor, "doctor", "[--full] [--json]", "Say what this machine can do, and what stands in the way.", options,
            0, NULL, doctor_run);
