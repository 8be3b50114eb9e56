"""What the interop scripts share: where things lie, the references built from the GGUF, the table of figures."""

import argparse
import atexit
import ctypes
import glob
import json
import os
import pathlib
import subprocess
import sys
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

SOURCE = pathlib.Path(__file__).resolve().parents[2]
HOME = pathlib.Path(os.environ.get("STE_HOME") or pathlib.Path.home() / ".cache" / "ste")
CACHE = HOME / "interop"
MODELS = {"smollm2": "smollm2-135m-instruct", "qwen2.5": "qwen2.5-coder-0.5b-instruct"}
THREADS = 2

# The regular expression by which Qwen2's published tokenizer.json splits text.
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def arguments(what, **more):
    """--ste PATH, --data FOLDER, --model SHORT... and what the script adds (name=default)."""
    p = argparse.ArgumentParser(description=what)
    p.add_argument("--ste", default=str(SOURCE / "build" / "ste"))
    p.add_argument("--data", default=os.environ.get("STE_DATA") or str(SOURCE.parent / "shared" / "data"))
    p.add_argument("--model", nargs="*", default=list(MODELS), choices=list(MODELS))
    for name, default in more.items():
        p.add_argument("--" + name.replace("_", "-"), type=type(default), default=default)
    a = p.parse_args()
    a.ste = os.path.abspath(a.ste)
    if not os.access(a.ste, os.X_OK):
        sys.exit(f"{a.ste}: no such program; build it first (make) or name it with --ste")
    return a


# ---- figures ---------------------------------------------------------------------------------------------------

_figures = []


def figure(name, value, op=None, bound=None, note=""):
    """One line of the table. With OP ("<", "<=", ">=", ">", "==") it is a bound, and finish() fails if it is not met."""
    ok = None
    if op:
        ok = bool({"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound,
                   "==": value == bound}[op])
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    line = f"{'ok  ' if ok else 'FAIL' if ok is False else '    '} {name}: {shown}"
    if op:
        line += f"  (must be {op} {bound})"
    if note:
        line += f"  {note}"
    print(line, flush=True)
    _figures.append({"script": pathlib.Path(sys.argv[0]).stem, "name": name, "value": value, "op": op, "bound": bound,
                     "ok": ok, "note": note})
    return ok is not False


def finish():
    out = os.environ.get("STE_INTEROP_OUT")
    if out:
        with open(out, "a", encoding="utf-8") as f:
            for row in _figures:
                f.write(json.dumps(row, default=float) + "\n")  # numpy's numbers too
    if not any(r["op"] for r in _figures):
        sys.exit("nothing was checked")
    sys.exit(1 if any(r["ok"] is False for r in _figures) else 0)


# ---- ste -------------------------------------------------------------------------------------------------------


def ste(a, *words, stdin=None, check=True):
    """Runs `ste WORDS`; returns stdout as bytes, or the finished process if CHECK is off."""
    p = subprocess.run([a.ste, *map(str, words)], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if check and p.returncode != 0:
        sys.exit(f"ste {' '.join(map(str, words))}: exit code {p.returncode}\n{p.stderr.decode(errors='replace')}")
    return p.stdout if check else p


def scratch(name):
    """A folder for files of this run; the big ones are deleted by who made them."""
    d = CACHE / "tmp" / f"{name}-{os.getpid()}"
    d.mkdir(parents=True, exist_ok=True)
    import shutil

    atexit.register(shutil.rmtree, d, ignore_errors=True)
    return d


# ---- references ------------------------------------------------------------------------------------------------


def gguf_path(short):
    p = HOME / "models" / (MODELS[short] + ".gguf")
    if not p.exists():
        sys.exit(f"{p} is missing: ste pull {MODELS[short]}")
    return p


def stamp(short):
    """What a cached reference depends on besides its own name."""
    s = gguf_path(short).stat()
    return f"{s.st_size}"


def hf_folder(short):
    """The GGUF's weights dequantized by transformers to float32, as a Hugging Face folder; made once."""
    d = CACHE / f"hf-{short}-{stamp(short)}"
    if not (d / "done").exists():
        import torch
        from safetensors.torch import save_file
        from transformers import AutoModelForCausalLM, AutoTokenizer

        p = gguf_path(short)
        m = AutoModelForCausalLM.from_pretrained(p.parent, gguf_file=p.name, dtype=torch.float32)
        if hasattr(m.config, "quantization_config"):
            del m.config.quantization_config  # what was read is float32 now
        d.mkdir(parents=True, exist_ok=True)
        m.config.save_pretrained(d)
        state = {k: v.contiguous() for k, v in m.state_dict().items()}
        if m.config.tie_word_embeddings:
            state.pop("lm_head.weight", None)
        save_file(state, d / "model.safetensors", metadata={"format": "pt"})
        AutoTokenizer.from_pretrained(p.parent, gguf_file=p.name).save_pretrained(d)
        (d / "done").touch()
    return d


def hf_model(short):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(THREADS)
    m = AutoModelForCausalLM.from_pretrained(hf_folder(short), dtype=torch.float32)
    m.eval()
    return m


def converted_tokenizer(short):
    """What transformers makes of the GGUF."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(gguf_path(short).parent, gguf_file=gguf_path(short).name)


def vocabulary(short):
    """(tokens, merges, control tokens, tokens defined by the user) from the GGUF, cached: reading them takes seconds."""
    f = CACHE / f"vocabulary-{short}-{stamp(short)}.json"
    if not f.exists():
        from gguf import GGUFReader

        fields = GGUFReader(gguf_path(short)).fields
        tokens = fields["tokenizer.ggml.tokens"].contents()
        kinds = fields["tokenizer.ggml.token_type"].contents()
        merges = fields["tokenizer.ggml.merges"].contents()
        f.parent.mkdir(parents=True, exist_ok=True)
        tmp = f.with_suffix(".tmp")
        tmp.write_text(json.dumps([tokens, merges, [i for i, k in enumerate(kinds) if k == 3],
                                   [i for i, k in enumerate(kinds) if k == 4]]), encoding="utf-8")
        tmp.rename(f)
    return json.loads(f.read_text(encoding="utf-8"))


def published_tokenizer(short):
    """The tokenizer by its published definition, over the GGUF's own vocabulary and merges, run by Hugging Face's
    `tokenizers`. transformers' conversion from GGUF loses parts of it: the digits rule of smollm, NFC of qwen2."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
    from tokenizers.models import BPE

    tokens, merges, control, defined = vocabulary(short)
    t = Tokenizer(BPE({s: i for i, s in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges]))
    if short == "qwen2.5":
        t.normalizer = normalizers.NFC()
        t.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
             pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        t.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True),
             pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(tokens[i], special=True, normalized=False) for i in control])
    t.add_tokens([AddedToken(tokens[i], special=False, normalized=False) for i in defined])
    return t


def plain(tokenizer, text):
    """Ids of TEXT in which control tokens' strings are nothing special."""
    tokenizer.encode_special_tokens = True
    try:
        return tokenizer.encode(text, add_special_tokens=False).ids
    finally:
        tokenizer.encode_special_tokens = False


def chat_ids(short, messages):
    """Ids of a chat with the generation prompt, by the model's own template."""
    from transformers import AutoTokenizer

    if short not in _chat:
        tk = AutoTokenizer.from_pretrained(hf_folder(short))
        _chat[short] = (tk, published_tokenizer(short))
    tk, pub = _chat[short]
    text = tk.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return pub.encode(text, add_special_tokens=False).ids


_chat = {}


def text_ids(short, text):
    """Ids of plain text, by the published tokenizer."""
    return published_tokenizer(short).encode(text, add_special_tokens=False).ids


def label_ids(short):
    """{id: name} of the labels A and B as they follow an opening bracket."""
    return {text_ids(short, name)[0]: name for name in "AB"}


def data_files(a):
    files = sorted(glob.glob(os.path.join(a.data, "**", "*.jsonl"), recursive=True))
    if not files:
        sys.exit(f"{a.data}: no .jsonl files; name the folder with --data or STE_DATA")
    return files


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for v in value:
            yield from strings(v)
    elif isinstance(value, dict):
        for v in value.values():
            yield from strings(v)


def rows(path):
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.strip():
                yield json.loads(line)


RUBRIC = """Compare two answers to the same prompt. Look at whether each does what was asked, whether what it says is \
right, and whether it is clear. Do not let the order or the length of the answers influence you. Give your reasons in \
one to three sentences, then write [[A]] if answer A is better or [[B]] if answer B is better."""


def judge_message(prompt, first, second):
    return f"{RUBRIC}\n\nPrompt:\n{prompt}\n\nAnswer A:\n{first}\n\nAnswer B:\n{second}"


def judge_pairs(a, short, count, most=400, least=120):
    """COUNT labelled pairs (ids of the judge prompt, prompt, chosen, rejected), in turn file by file: those whose judge
    prompt has LEAST to MOST tokens."""
    files = [f for f in data_files(a) if os.sep + "preference" + os.sep in f]
    queues = []
    for f in files:
        queue = []
        for r in rows(f):
            prompt = r.get("prompt") or "\n\n".join(m["content"] for m in r.get("messages", []))
            if isinstance(prompt, list):
                prompt = "\n\n".join(m["content"] for m in prompt)
            c, j = r.get("chosen"), r.get("rejected")
            if not all(isinstance(x, str) and x for x in (prompt, c, j)):
                continue
            if len(prompt) + len(c) + len(j) < 1200:
                queue.append((prompt, c, j))
        queues.append(queue)
    out = []
    k = 0
    while len(out) < count and any(k < len(q) for q in queues):
        for q in queues:
            if k < len(q) and len(out) < count:
                prompt, c, j = q[k]
                first, second = (c, j) if k % 2 == 0 else (j, c)
                ids = chat_ids(short, [{"role": "user", "content": judge_message(prompt, first, second)}])
                if least <= len(ids) <= most:
                    out.append((ids, prompt, c, j))
        k += 1
    if len(out) < count:
        sys.exit(f"only {len(out)} judge prompts of {least} to {most} tokens in {a.data}")
    return out


def judge_prompts(a, short, count, most=400, least=120):
    """The ids of as many judge prompts."""
    return [ids for ids, *_ in judge_pairs(a, short, count, most, least)]


# ---- llama.cpp -------------------------------------------------------------------------------------------------


class Llama:
    """A context of llama.cpp by its C interface: ids in, logits out."""

    def __init__(self, path, ctx=1024, seqs=1, batch=512, lora=None, flash=True, vocab_only=False, f32=False):
        import llama_cpp as L

        self.L = L
        if not Llama.quiet:
            Llama.quiet = L.llama_log_callback(lambda level, text, data: None)
            L.llama_log_set(Llama.quiet, ctypes.c_void_p(0))
            L.llama_backend_init()
        mp = L.llama_model_default_params()
        mp.vocab_only = vocab_only
        mp.n_gpu_layers = 0
        self.model = L.llama_model_load_from_file(str(path).encode(), mp)
        if not self.model:
            sys.exit(f"llama.cpp cannot load {path}")
        self.vocab = L.llama_model_get_vocab(self.model)
        self.n_vocab = L.llama_vocab_n_tokens(self.vocab)
        self.ctx = None
        if vocab_only:
            return
        cp = L.llama_context_default_params()
        cp.n_ctx, cp.n_batch, cp.n_ubatch, cp.n_seq_max = ctx, batch, batch, seqs
        cp.n_threads = cp.n_threads_batch = THREADS
        cp.kv_unified = True
        cp.no_perf = True
        cp.flash_attn_type = 1 if flash else 0
        if f32:
            cp.type_k = cp.type_v = 0  # the cache
        self.ctx = L.llama_init_from_model(self.model, cp)
        if not self.ctx:
            sys.exit("llama.cpp cannot make a context")
        if lora:
            self.lora = L.llama_adapter_lora_init(self.model, str(lora).encode())
            if not self.lora:
                sys.exit(f"llama.cpp cannot load the adapter {lora}")
            self.set_lora(1.0)
        self.batch = L.llama_batch_init(max(batch, seqs), 0, 1)

    quiet = None

    def set_lora(self, scale):
        L = self.L
        if hasattr(L, "llama_set_adapters_lora"):
            ptrs = (L.llama_adapter_lora_p_ctypes * 1)(self.lora)
            r = L.llama_set_adapters_lora(self.ctx, ptrs, 1, (ctypes.c_float * 1)(scale))
        else:
            r = L.llama_set_adapter_lora(self.ctx, self.lora, scale)
        if r != 0:
            sys.exit("llama.cpp does not accept the adapter")

    def tokenize(self, text):
        """Plain text: no control tokens, no BOS."""
        b = text.encode("utf-8")
        n = len(b) + 8
        out = (self.L.llama_token * n)()
        k = self.L.llama_tokenize(self.vocab, b, len(b), out, n, False, False)
        return list(out[:k])

    def clear(self):
        self.L.llama_memory_clear(self.L.llama_get_memory(self.ctx), True)

    def share(self, source, target):
        self.L.llama_memory_seq_cp(self.L.llama_get_memory(self.ctx), source, target, -1, -1)

    def drop(self, seq, start):
        self.L.llama_memory_seq_rm(self.L.llama_get_memory(self.ctx), seq, start, -1)

    def decode(self, ids, positions, seqs, wanted):
        """One llama_decode. WANTED: of which rows the logits are needed."""
        b = self.batch
        b.n_tokens = len(ids)
        for i, t in enumerate(ids):
            b.token[i], b.pos[i] = t, positions[i]
            b.n_seq_id[i] = 1
            b.seq_id[i][0] = seqs[i]
            b.logits[i] = 1 if wanted[i] else 0
        if self.L.llama_decode(self.ctx, b) != 0:
            sys.exit("llama_decode failed")

    def logits(self, ids, first=0):
        """(len(ids) - first, n_vocab) float32: of the positions FIRST and later, from a cleared cache."""
        import numpy as np

        self.clear()
        out = np.empty((len(ids) - first, self.n_vocab), np.float32)
        step = 512
        for s in range(0, len(ids), step):
            part = ids[s:s + step]
            want = [s + i >= first for i in range(len(part))]
            self.decode(part, range(s, s + len(part)), [0] * len(part), want)
            for i, w in enumerate(want):
                if w:
                    p = self.L.llama_get_logits_ith(self.ctx, i)
                    out[s + i - first] = np.ctypeslib.as_array(p, shape=(self.n_vocab,))
        return out


class SharedPrompt:
    """llama.cpp asked the cheapest way its interface offers: a prompt once, its cache shared by llama_memory_seq_cp in
    a unified cache, one llama_decode a step over all sequences. Flash attention or not, whichever decodes faster here."""

    name = "llama.cpp"

    def __init__(self, path, prompt, samples, new):
        self.peer = best = None
        for flash in (True, False):
            peer = Llama(path, ctx=prompt + samples * new + 64, seqs=max(samples, 16), flash=flash)
            ids = list(range(100, 100 + min(prompt, 128)))
            self.run(peer, ids, samples, 2)
            speed = self.run(peer, ids, samples, 4)[1]
            if best is None or speed > best:
                best, self.peer, self.flash = speed, peer, flash
            del peer

    @staticmethod
    def run(peer, ids, samples, new, keep=0):
        if keep:
            for s in range(1, samples):
                peer.drop(s, 0)
            peer.drop(0, keep)
        else:
            peer.clear()
        n = len(ids)
        start = clock()
        for s in range(keep, n, 512):
            part = ids[s:s + 512]
            peer.decode(part, range(s, s + len(part)), [0] * len(part), [s + i == n - 1 for i in range(len(part))])
        peer.L.llama_get_logits_ith(peer.ctx, len(part) - 1)
        prefill = (n - keep) / (clock() - start)
        for s in range(1, samples):
            peer.share(0, s)
        start = clock()
        for k in range(new):
            # Which tokens does not matter for the time; different ones, so that the caches differ.
            peer.decode([ids[(7 * s + 3 * k) % n] for s in range(samples)], [n + k] * samples, list(range(samples)), [1] * samples)
            peer.L.llama_get_logits_ith(peer.ctx, samples - 1)
        return prefill, samples * new / (clock() - start)

    def round(self, ids, samples, new, keep=0):
        """(prefill, decode) in tokens a second: a prompt, then NEW tokens of each of SAMPLES. The first KEEP of the prompt
        are those of the round before, with as many samples, and stay in the cache."""
        return self.run(self.peer, ids, samples, new, keep)

    def settings(self):
        return "flash attention" if self.flash else "no flash attention"


def rounds(a, peer, path, ids, samples, new, folder):
    """(prefill, decode) of ste and of PEER on PATH, a.rounds times in turn: IDS once, then NEW tokens of each of SAMPLES."""
    ours, theirs = [], []
    for _ in range(a.rounds):
        theirs.append(peer.round(ids, samples, new))
        out = folder / "bench.json"
        ste(a, "bench", "--model", str(path), "--prompt-tokens", len(ids), "--samples", samples, "--new-tokens", new, "--threads", THREADS,
            "--json", out)
        j = json.loads(out.read_text())
        ours.append((j["prefill_tokens_per_second"], j["decode_tokens_per_second"]))
    return ours, theirs


def dialogue_ids(a, short, count):
    """The first COUNT tokens of real dialogue."""
    text = ""
    for r in rows([f for f in data_files(a) if f.endswith("oasst_validation.jsonl")][0]):
        text += "\n\n".join(s for s in strings(r) if len(s) > 80)
        if len(text) > 6 * count + 6000:
            break
    return plain(published_tokenizer(short), text)[:count]


def median(values):
    v = sorted(values)
    n = len(v)
    return v[n // 2] if n % 2 else (v[n // 2 - 1] + v[n // 2]) / 2


def clock():
    return time.perf_counter()
