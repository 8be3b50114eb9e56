/* The CPU as a device (engine/device.h). What it has packed, a trainer of the same process may share. */
#ifndef STE_ENGINE_CPU_CPU_H
#define STE_ENGINE_CPU_CPU_H

#include "engine/cpu/weights.h"
#include "engine/device.h"

/* NULL: D is another device. */
const struct ste_weights *ste_cpu_weights(const struct ste_device *d);

#endif
