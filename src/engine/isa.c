#include "engine/int8.h"
#include "engine/matrix.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const char *const names[] = {"portable", "avx2", "avx512"};

static bool has(enum ste_isa isa)
{
    if (isa == STE_ISA_PORTABLE)
        return true;
#if defined(__x86_64__)
    unsigned a, b, c, d;
    bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1);
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c;
    if (isa == STE_ISA_AVX2)
        return avx2;
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#else
    return false;
#endif
}

int ste_isa_choose(const char *name, enum ste_isa *out, struct ste_err *err)
{
    for (int i = STE_ISA_AVX512; i >= STE_ISA_PORTABLE; i--) {
        if (name && strcmp(name, names[i]) != 0)
            continue;
        if (has((enum ste_isa)i)) {
            *out = (enum ste_isa)i;
            return 0;
        }
        if (name)
            return ste_err_set(err, STE_EUSAGE,
                               "this machine lacks the instruction set %s; leave it out to take the best there is",
                               name);
    }
    return ste_err_set(err, STE_EUSAGE, "unknown instruction set '%s'; there are portable, avx2 and avx512", name);
}

const char *ste_isa_name(enum ste_isa isa)
{
    return names[isa];
}

int ste_activations_by_name(const char *name, enum ste_activations *out, struct ste_err *err)
{
    if (name && strcmp(name, "f32") && strcmp(name, "int8"))
        return ste_err_set(err, STE_EUSAGE, "there is no activation precision \"%s\": use f32 or int8", name);
    if (name)
        *out = strcmp(name, "int8") ? STE_ACT_F32 : STE_ACT_INT8;
    return 0;
}

#if defined(__x86_64__)
#define PICK(isa, portable, avx2, avx512)                                                                              \
    ((isa) == STE_ISA_AVX512 ? (avx512) : (isa) == STE_ISA_AVX2 ? (avx2) : (portable))
#else
#define PICK(isa, portable, avx2, avx512) ((void)(isa), (portable))
#endif

const struct ste_matrix_kernels *ste_matrix_kernels_of(enum ste_isa isa)
{
    return PICK(isa, &ste_matrix_portable, &ste_matrix_avx2, &ste_matrix_avx512);
}

const struct ste_int8_kernels *ste_int8_kernels_of(enum ste_isa isa)
{
#if defined(__x86_64__)
    if (isa == STE_ISA_AVX512 && !__builtin_cpu_supports("avx512vnni"))
        isa = STE_ISA_AVX2;
#endif
    return PICK(isa, &ste_int8_portable, &ste_int8_avx2, &ste_int8_vnni);
}

const struct ste_ops *ste_ops_of(enum ste_isa isa)
{
    return PICK(isa, &ste_ops_portable, &ste_ops_avx2, &ste_ops_avx512);
}
