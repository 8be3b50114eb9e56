/* The bf16 products by AMX tiles: 16 rows of X times a panel, a cell at a time. */
#define STE_SIMD 512
#define BF16_KERNELS ste_bf16_amx
#define BF16_TILES

#include "engine/cpu/bf16/bf16_steps_body.h"
