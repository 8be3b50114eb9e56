/* An adapter of an engine: what its device made of a LoRA, and its name in the KV cache. */
#ifndef STE_ENGINE_ADAPTER_H
#define STE_ENGINE_ADAPTER_H

#include "engine/device.h"

#define STE_MAX_LORA_R 1024

struct ste_adapter {
    uint64_t serial; /* its name in the KV cache, from 1: never used again by its engine, unlike its address */
    int holders;     /* the last one to let go frees it */
    char hash[65];
    struct ste_device *device; /* must outlive it */
    void *on_device;
};

/* STE_EINPUT for a LoRA that does not fit the model HP on the device. */
int ste_adapter_make(struct ste_adapter **out, struct ste_device *d, const struct ste_hparams *hp, uint64_t serial,
                     const struct ste_lora *l, struct ste_err *err);

#endif
