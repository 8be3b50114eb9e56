#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/buf.h"
#include "core/file.h"
#include "core/profile.h"

void ste_print_profile(FILE *out)
{
    struct ste_buf text = STE_BUF_INIT;
    ste_profile_table(&text);
    if (text.len)
        fprintf(out, "\n%s", text.s);
    ste_buf_clear(&text);
}

int ste_write_json(const char *path, json_t *j, struct ste_err *err)
{
    char *text = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    struct ste_buf b = STE_BUF_INIT;
    ste_buf_addf(&b, "%s\n", text);
    int rc = 0;
    if (strcmp(path, "-") == 0)
        fputs(b.s, stdout);
    else
        rc = ste_file_write(path, b.s, b.len, err);
    ste_buf_clear(&b);
    free(text);
    json_decref(j);
    return rc;
}
