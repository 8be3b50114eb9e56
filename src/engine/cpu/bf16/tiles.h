/* AMX tiles: registers of up to 16 rows of 64 bytes, and the instructions on them that the kernels use. */
#ifndef STE_ENGINE_CPU_TILES_H
#define STE_ENGINE_CPU_TILES_H

#include <stdint.h>

#define STE_TILE_ROWS 16
#define STE_TILE_BYTES 64 /* of a row */

struct ste_tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

/* Written out: compilers' own forms do not say that they read memory, and stores before them may be left out. TILE is a
 * digit, STRIDE bytes from row to row. */
#define TILE_CONFIG(config) __asm__ volatile("ldtilecfg %0" : : "m"(config))
#define TILE_RELEASE() __asm__ volatile("tilerelease" : :)
#define TILE_LOAD(tile, from, stride)                                                                                  \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(from), "r"((long)(stride)) : "memory")
#define TILE_STORE(tile, to, stride)                                                                                   \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(to), "r"((long)(stride)) : "memory")
/* SUM += X . W, in pairs of bf16 */
#define TILE_DOT_BF16(sum, x, w) __asm__ volatile("tdpbf16ps %%tmm" #w ", %%tmm" #x ", %%tmm" #sum : :)

#endif
