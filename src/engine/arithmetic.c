#include "engine/arithmetic.h"

#include <string.h>

#include "engine/cpu/isa.h"

static const char *const names[] = {"f32", "int8", "bf16", "bf16x3", "int8-g128", "int8-g64"};

int ste_activations_by_name(const char *name, bool training, enum ste_activations *out, struct ste_err *err)
{
    if (!name)
        return 0;
    if (!strcmp(name, "auto")) {
        *out = ste_cpu_activations(training);
        return 0;
    }
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (!strcmp(name, names[i])) {
            *out = (enum ste_activations)i;
            return 0;
        }
    return ste_err_set(
        err, STE_EUSAGE,
        "there is no activation precision \"%s\": use auto, f32, int8, int8-g128, int8-g64, bf16 or bf16x3", name);
}

const char *ste_activations_name(enum ste_activations act)
{
    return names[act];
}

bool ste_activations_are_int8(enum ste_activations act)
{
    return act == STE_ACT_INT8 || act == STE_ACT_INT8_G128 || act == STE_ACT_INT8_G64;
}

enum ste_activations ste_activations_of(enum ste_activations act, enum ste_linear l)
{
    return act == STE_ACT_INT8_G128 && l == STE_DOWN ? STE_ACT_INT8_G64 : act;
}
