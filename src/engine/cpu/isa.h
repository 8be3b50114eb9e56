/* The instruction sets that kernels are compiled for. All give the same bits: which one is taken changes the speed
 * only, and stands in no id. */
#ifndef STE_ENGINE_CPU_ISA_H
#define STE_ENGINE_CPU_ISA_H

#include "engine/arithmetic.h"

enum ste_isa {
    STE_ISA_PORTABLE,
    STE_ISA_AVX2,
    STE_ISA_AVX_VNNI, /* AVX2 with VNNI for the integer path */
    STE_ISA_AVX512,   /* F, BW, VL, DQ, and VNNI for the integer path */
    STE_ISA_AMX       /* AVX512 with BF16 and VNNI, and tiles for the bf16 path */
};

/* The best set of this machine, or the one called NAME (neither NULL nor empty); STE_EUSAGE when the machine lacks it.
 */
int ste_isa_choose(const char *name, enum ste_isa *out, struct ste_err *err);
const char *ste_isa_name(enum ste_isa isa);
/* What "auto" is on this machine: see arithmetic.h. */
enum ste_activations ste_cpu_activations(bool training);
enum ste_gradients ste_cpu_gradients(void); /* beside integers */

#endif
