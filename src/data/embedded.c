#include "data/embedded.h"

#include <string.h>

const struct ste_embedded *ste_embedded_find(const char *name)
{
    for (const struct ste_embedded *f = ste_embedded_files; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}
