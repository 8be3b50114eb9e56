#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "report/fields.h"

double ste_field_real(const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

long long ste_field_whole(const json_t *row, const char *key)
{
    return (long long)json_integer_value(json_object_get(row, key));
}

const char *ste_field_text(const json_t *row, const char *key)
{
    const char *s = json_string_value(json_object_get(row, key));
    return s ? s : "";
}

bool ste_field_is_of(const json_t *row, const char *suite, const char *kind)
{
    return strcmp(ste_field_text(row, "suite"), suite) == 0 && strcmp(ste_field_text(row, "kind"), kind) == 0;
}

const json_t *ste_field_find(const json_t *list, const char *suite, const char *kind, long long iteration)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        if (ste_field_is_of(row, suite, kind) && ste_field_whole(row, "iteration") == iteration)
            return row;
    }
    return NULL;
}
