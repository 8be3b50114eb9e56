/*
 * From f32 to the weight types of GGUF files: for files that ste writes and for weights that are made smaller as they
 * are loaded. The same weights give the same bytes, with any number of threads and on any instruction set.
 */
#ifndef STE_MODEL_QUANTIZE_H
#define STE_MODEL_QUANTIZE_H

#include <stdbool.h>

#include "core/thread.h"
#include "model/quant.h"

bool ste_type_is_written(enum ste_type t); /* whether ste_quantize knows it */

/* N weights (a multiple of the type's block) at SRC as blocks of type T at DST (n / block * bytes a block), over POOL's
 * threads (NULL: the caller's alone). A tensor's rows may follow each other: no block depends on its neighbours.
 * False where a weight is not finite in T: it is NaN or infinite, or beyond 65504 where T keeps weights or scales as
 * f16. DST is then worth nothing; the caller names the tensor. */
bool ste_quantize(enum ste_type t, const float *src, void *dst, size_t n, struct ste_pool *pool);

#endif
