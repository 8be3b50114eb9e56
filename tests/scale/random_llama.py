"""Writes a GGUF file of llama's architecture with random weights in the types of Q4_K_M, and the tokenizer of another GGUF
file, for measuring what a large shape takes. Needs numpy and the gguf package. By default the shape of Llama 8B.

  random_llama.py OUT.gguf TOKENIZER.gguf [--layers 32] [--width 4096] [--heads 32] [--kv-heads 8] [--ff 14336]
"""
import argparse

import gguf
import numpy as np

p = argparse.ArgumentParser()
p.add_argument("out")
p.add_argument("tokenizer")
for name, n in (("layers", 32), ("width", 4096), ("heads", 32), ("kv-heads", 8), ("ff", 14336)):
    p.add_argument("--" + name, type=int, default=n)
a = p.parse_args()
head = a.width // a.heads
rng = np.random.default_rng(1)
source = gguf.GGUFReader(a.tokenizer)
w = gguf.GGUFWriter(a.out, "llama", use_temp_file=False)
w.add_block_count(a.layers)
w.add_context_length(8192)
w.add_embedding_length(a.width)
w.add_feed_forward_length(a.ff)
w.add_head_count(a.heads)
w.add_head_count_kv(a.kv_heads)
w.add_layer_norm_rms_eps(1e-5)
w.add_rope_freq_base(500000.0)
for f in source.fields.values():
    if f.name.startswith("tokenizer."):
        kind = f.types[0]
        w.add_key_value(f.name, f.contents(), kind, sub_type=f.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
vocab = len(source.fields["tokenizer.ggml.tokens"].data)
Q4, Q6 = gguf.GGMLQuantizationType.Q4_K, gguf.GGMLQuantizationType.Q6_K


def half(x):
    return np.frombuffer(np.float16(x).tobytes(), np.uint8)


# Q4_K_M: values and the first and last eighth of DOWN have more bits, and every third layer between.
def finer(layer):
    return layer < a.layers // 8 or layer >= 7 * a.layers // 8 or (layer - a.layers // 8) % 3 == 2


def blocks(rows, cols, kind):
    n = rows * cols // 256
    if kind == Q4:
        b = np.frombuffer(rng.bytes(n * 144), np.uint8).reshape(n, 144).copy()
        b[:, 0:2], b[:, 2:4] = half(1.5e-4), half(1.1e-3)
    else:
        b = np.frombuffer(rng.bytes(n * 210), np.uint8).reshape(n, 210).copy()
        b[:, 208:210] = half(1.5e-5)
    return b.reshape(rows, -1)


plan = [("token_embd.weight", vocab, a.width, Q4)]
for i in range(a.layers):
    plan += [(f"blk.{i}.attn_norm.weight", 0, a.width, None), (f"blk.{i}.ffn_norm.weight", 0, a.width, None),
             (f"blk.{i}.attn_q.weight", a.width, a.width, Q4), (f"blk.{i}.attn_k.weight", a.kv_heads * head, a.width, Q4),
             (f"blk.{i}.attn_v.weight", a.kv_heads * head, a.width, Q6 if finer(i) else Q4),
             (f"blk.{i}.attn_output.weight", a.width, a.width, Q4),
             (f"blk.{i}.ffn_gate.weight", a.ff, a.width, Q4), (f"blk.{i}.ffn_up.weight", a.ff, a.width, Q4),
             (f"blk.{i}.ffn_down.weight", a.width, a.ff, Q6 if finer(i) else Q4)]
plan += [("output_norm.weight", 0, a.width, None), ("output.weight", vocab, a.width, Q6)]
for name, rows, cols, kind in plan:
    if kind is None:
        w.add_tensor_info(name, [cols], np.dtype(np.float32), cols * 4)
    else:
        size = cols // 256 * (144 if kind == Q4 else 210)
        w.add_tensor_info(name, [rows, size], np.dtype(np.uint8), rows * size, raw_dtype=kind)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_ti_data_to_file()
for name, rows, cols, kind in plan: # one tensor in memory at a time
    w.write_tensor_data(np.ones(cols, np.float32) if kind is None else blocks(rows, cols, kind))
w.close()
