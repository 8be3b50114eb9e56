/* safetensors files: read by mmap with every offset checked, written whole. */
#ifndef STE_MODEL_SAFETENSORS_H
#define STE_MODEL_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

enum ste_st_type { STE_ST_F32, STE_ST_F16, STE_ST_BF16 };

struct ste_st_tensor {
    char *name;
    enum ste_st_type type;
    int n_dims;
    uint64_t shape[4]; /* shape[0] is the outermost, as in the file */
    const void *data;
    uint64_t size;
};

struct ste_safetensors {
    struct ste_st_tensor *tensors;
    size_t n;
    void *map;
    size_t map_size, data_start; /* where the values begin in MAP */
};

int ste_safetensors_open(struct ste_safetensors *st, const char *path, struct ste_err *err);
void ste_safetensors_close(struct ste_safetensors *st);
const struct ste_st_tensor *ste_safetensors_find(const struct ste_safetensors *st, const char *name);
/* Writes to PATH (temporary name, sync, rename) with metadata {"format":"pt"}. */
int ste_safetensors_write(const char *path, const struct ste_st_tensor *tensors, size_t n, struct ste_err *err);

#endif
