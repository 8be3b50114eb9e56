#include "engine/arithmetic.h"

#include <stddef.h>

#include "engine/cpu/isa.h"

const char *const ste_activations_names[] = {"f32",       "int8",     "bf16", "bf16x3", "bf16-dot",
                                             "int8-g128", "int8-g64", "auto", NULL};

enum ste_activations ste_activations_settle(enum ste_activations act, bool training)
{
    return act == STE_ACT_AUTO ? ste_cpu_activations(training) : act;
}

const char *ste_activations_name(enum ste_activations act)
{
    return ste_activations_names[act];
}

const char *const ste_gradients_names[] = {"f32", "bf16", "bf16x3", "bf16-dot", "auto", NULL};

enum ste_gradients ste_gradients_settle(enum ste_gradients g, enum ste_activations act)
{
    if (g != STE_GRAD_AUTO)
        return g;
    for (int i = 0; i < STE_GRAD_AUTO; i++)
        if (ste_gradients_as((enum ste_gradients)i) == act)
            return (enum ste_gradients)i;
    return ste_cpu_gradients();
}

enum ste_activations ste_gradients_as(enum ste_gradients g)
{
    static const enum ste_activations as[] = {STE_ACT_F32, STE_ACT_BF16, STE_ACT_BF16X3, STE_ACT_BF16_DOT};
    return as[g];
}

bool ste_activations_are_int8(enum ste_activations act)
{
    return act == STE_ACT_INT8 || act == STE_ACT_INT8_G128 || act == STE_ACT_INT8_G64;
}

bool ste_activations_are_bf16(enum ste_activations act)
{
    return act == STE_ACT_BF16 || act == STE_ACT_BF16X3 || act == STE_ACT_BF16_DOT;
}

bool ste_activations_round_for(enum ste_activations act, enum ste_type type)
{
    if (ste_type_block(type) > 1)
        return act != STE_ACT_F32;
    return type == STE_BF16 && act != STE_ACT_F32 && act != STE_ACT_BF16X3;
}

enum ste_activations ste_activations_of(enum ste_activations act, enum ste_linear l)
{
    return act == STE_ACT_INT8_G128 && l == STE_DOWN ? STE_ACT_INT8_G64 : act;
}
