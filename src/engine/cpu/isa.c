#include "engine/cpu/attention/attention.h"
#include "engine/cpu/bf16/bf16.h"
#include "engine/cpu/int8/int8.h"
#include "engine/cpu/matrix/matrix.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

static const char *const names[] = {"portable", "avx2", "avx-vnni", "avx512", "amx"};

/* Tiles are kept for a process that asks for them: from here on, all its threads. */
static bool has_tiles(void)
{
#if defined(__linux__) && defined(__x86_64__)
    unsigned a, b, c, d, bf16;
    enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, AVX512_BF16 = 1 << 5, ASK_FOR_STATE = 0x1023, TILE_DATA = 18 };
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & AMX_BF16) || !(d & AMX_TILE) ||
        !__get_cpuid_count(7, 1, &bf16, &b, &c, &d) || !(bf16 & AVX512_BF16) || !__builtin_cpu_supports("avx512vnni"))
        return false;
    return syscall(SYS_arch_prctl, ASK_FOR_STATE, TILE_DATA) == 0;
#else
    return false;
#endif
}

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
    enum { AVX_VNNI = 1 << 4 }; /* gcc 12 has no name for it */
    if (isa == STE_ISA_AVX_VNNI)
        return avx2 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & AVX_VNNI);
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    return isa == STE_ISA_AVX512 ? avx512 : avx512 && has_tiles();
#else
    return false;
#endif
}

int ste_isa_choose(const char *name, enum ste_isa *out, struct ste_err *err)
{
    name = name && *name ? name : NULL;
    for (int i = STE_ISA_AMX; i >= STE_ISA_PORTABLE; i--) {
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
    return ste_err_set(err, STE_EUSAGE,
                       "unknown instruction set '%s'; there are portable, avx2, avx-vnni, avx512 and amx", name);
}

const char *ste_isa_name(enum ste_isa isa)
{
    return names[isa];
}

enum ste_activations ste_cpu_activations(bool training)
{
    enum ste_isa best = STE_ISA_PORTABLE;
    ste_isa_choose(NULL, &best, NULL);
    if (best == STE_ISA_AMX)
        return training ? STE_ACT_BF16X3 : STE_ACT_BF16;
    return training ? STE_ACT_F32 : ste_int8_kernels_of(best)->groups_pay ? STE_ACT_INT8_G128 : STE_ACT_INT8;
}

enum ste_gradients ste_cpu_gradients(void)
{
    enum ste_isa best = STE_ISA_PORTABLE;
    ste_isa_choose(NULL, &best, NULL);
    if (best == STE_ISA_AMX)
        return STE_GRAD_BF16;
    return ste_bf16_kernels_of(best, STE_ACT_BF16_DOT) == &ste_bf16_dot_vdp ? STE_GRAD_BF16_DOT : STE_GRAD_F32;
}

#if defined(__x86_64__)
#define PICK(isa, portable, avx2, avx512)                                                                              \
    ((isa) >= STE_ISA_AVX512 ? (avx512) : (isa) >= STE_ISA_AVX2 ? (avx2) : (portable))
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
    if (isa == STE_ISA_AVX_VNNI)
        return &ste_int8_avxvnni;
#endif
    return PICK(isa, &ste_int8_portable, &ste_int8_avx2, &ste_int8_vnni);
}

const struct ste_ops *ste_ops_of(enum ste_isa isa)
{
    return PICK(isa, &ste_ops_portable, &ste_ops_avx2, &ste_ops_avx512);
}

const struct ste_attn_kernels *ste_attn_kernels_of(enum ste_isa isa)
{
    return PICK(isa, &ste_attn_portable, &ste_attn_avx2, &ste_attn_avx512);
}

const struct ste_bf16_kernels *ste_bf16_kernels_of(enum ste_isa isa, enum ste_activations act)
{
    const bool dot = act == STE_ACT_BF16_DOT;
#if defined(__x86_64__)
    if (dot && isa >= STE_ISA_AVX512 && __builtin_cpu_supports("avx512bf16"))
        return &ste_bf16_dot_vdp;
    if (!dot && isa == STE_ISA_AMX)
        return &ste_bf16_amx;
#endif
    return dot ? PICK(isa, &ste_bf16_dot_portable, &ste_bf16_dot_avx2, &ste_bf16_dot_avx512)
               : PICK(isa, &ste_bf16_portable, &ste_bf16_avx2, &ste_bf16_avx512);
}
