#!/usr/bin/env python3
"""Writes tests/fixtures/quant.bin: packed blocks and their values by the gguf package, and quantize.bin: weights and
their packed blocks by that package.

Needed only when a type is added:  pip install gguf numpy && tests/interop/make_quant_fixtures.py
Records of quant.bin: u32 type, u32 bytes, u32 weights, the packed bytes, the weights as f32; all little endian.
quantize.bin: u32 weights, the weights as f32; records: u32 type, u32 bytes, the packed bytes.
"""
import os
import struct

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGML_QUANT_SIZES, quants

# Where the f16 scales lie in each block: random bytes there would mostly be absurd, and sometimes no number at all.
SCALES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0], T.IQ4_XS: [0], T.Q2_K: [80, 82], T.Q3_K: [108],
    T.MXFP4: [],  # its first byte is an exponent
}
EXTREME = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x3C00, 0xBC00]


# Those whose rule for quantizing is one formula.
WRITTEN = [T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    for name, make in ("quant.bin", values_of_blocks), ("quantize.bin", blocks_of_values):
        with open(os.path.join(here, "../fixtures", name), "wb") as f:
            f.write(make())


def blocks_of_values():
    rng = np.random.default_rng(20240806)
    floats = (rng.normal(size=1024) * np.exp2(rng.integers(-20, 6, 1024 // 32)).repeat(32)).astype(np.float32)
    floats[:32] = 0
    floats[32:64] = np.arange(-16, 16) * 0.5  # halves: which way they go
    floats[64:96] = np.arange(32) * 127 / 62
    floats[96:128] = [65504 if i % 5 == 0 else -1e-8 * i for i in range(32)]
    out = bytearray(struct.pack("<I", floats.size) + floats.tobytes())
    for t in WRITTEN:
        raw = np.ascontiguousarray(quants.quantize(floats, t)).view(np.uint8).reshape(-1)
        out += struct.pack("<II", int(t), raw.size) + raw.tobytes()
    return out


def values_of_blocks():
    rng = np.random.default_rng(20240805)
    out = bytearray()
    for t in [T.F32, T.F16, T.BF16, *SCALES]:
        weights, size = GGML_QUANT_SIZES[t]
        if t in SCALES:
            n = 12 if weights == 32 else 6
            blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
            for i in range(n):
                for k, at in enumerate(SCALES[t]):
                    if i < 5:
                        h = EXTREME[(2 * i + k) % len(EXTREME)]
                    else:
                        h = int(np.float16(rng.normal() * 0.01).view(np.uint16))
                    blocks[i, at:at + 2] = [h & 255, h >> 8]
            if t == T.MXFP4:
                blocks[:6, 0] = [0, 1, 2, 127, 128, 250]
            raw = blocks.reshape(-1)
        else:
            floats = np.concatenate([rng.normal(size=28), [0.0, -0.0, 65504.0, 6e-8]]).astype(np.float32)
            raw = quants.quantize(floats, t).view(np.uint8).reshape(-1)
        with np.errstate(all="ignore"):
            values = quants.dequantize(raw, t).astype(np.float32).reshape(-1)
        assert np.isfinite(values).all()
        out += struct.pack("<III", int(t), raw.size, values.size) + raw.tobytes() + values.tobytes()
    return out


if __name__ == "__main__":
    main()
