"""Token ids of `ste tokenize` for the tokenizers of each family, on every text of the data folder and on awkward ones:

- Folders with the tokenizer.json of Llama 3 and 4 (from llama-models), of Mistral's tekken and SentencePiece models (from
  mistral-common), against Hugging Face's `tokenizers` on the same file, with control tokens as text and as tokens.
- Mistral's SentencePiece models as GGUF, against sentencepiece itself and llama.cpp.
- The vocabularies that llama.cpp's source carries (--vocabs, its folder models), and gemma-3-270m where it was pulled,
  against llama.cpp.

--only takes a part of this: folders, sentencepiece, gemma or a vocabulary. In no text of control tokens' strings is there a control token. A difference counts as explained if it is gone once the
characters that the libraries' versions of Unicode disagree about are replaced (tokens.py)."""

import importlib.util
import json
import pathlib
import resource
import subprocess
import time

from common import CACHE, HOME, Llama, arguments, figure, finish, scratch
from tokens import awkward, newer, old, show, texts_of

LETTERS = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+%s|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*%s"
SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
GPT4O = LETTERS % (SUFFIX, SUFFIX) + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
KNOWN = "llama-bpe refact starcoder command-r qwen2 qwen35 gpt-2 mpt llama-spm phi-3".split()
NORMALIZES = ("qwen2", "qwen35", "command-r", "mpt")  # their published definitions do, llama.cpp does not


def package(name):
    spec = importlib.util.find_spec(name)
    return pathlib.Path(spec.submodule_search_locations[0]) if spec else None


def ids(a, model, texts, special=False):
    stdin = "".join(json.dumps({"text": s}) + "\n" for s in texts).encode()
    p = subprocess.run([a.ste, "tokenize", "--model", str(model), "--jsonl"] + ["--special"] * special, input=stdin, capture_output=True)
    if p.returncode:
        raise SystemExit(f"{model}: {p.stderr.decode()}")
    return [json.loads(line) for line in p.stdout.splitlines()]


def compare(a, name, model, texts, encode, normalizes=True, special=False):
    ours = ids(a, model, texts, special)
    different = [(s, o) for s, o in zip(texts, ours) if encode(s) != o]
    again = ids(a, model, [old(s) for s, _ in different], special)
    unexplained = 0
    for (s, o), o_old in zip(different, again):
        if old(s) != s and encode(old(s)) == o_old and (not normalizes or any(map(newer, s))):
            continue
        unexplained += 1
        if unexplained <= 3:
            show(name, s, o, encode(s))
    figure(f"{name}: unexplained, of {len(texts)}", unexplained, "==", 0, f"{len(different) - unexplained} explained")


def inert(a, name, model, control):
    """CONTROL: {id: string} of control tokens."""
    strings = list(control.values())
    texts = [glue.join(strings[i:i + 50]) for glue in ("", " ", "\n", "x") for i in range(0, len(strings), 50)]
    got = sum(i in control for row in ids(a, model, texts) for i in row)
    figure(f"{name}: control tokens out of the strings of {len(strings)}", got, "==", 0)


# ---- folders ---------------------------------------------------------------------------------------------------


def folder(name, tokenizer, config):
    """The smallest model around a tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    d = scratch("families") / name
    n = tokenizer.get_vocab_size()
    m = LlamaForCausalLM(LlamaConfig(vocab_size=n, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                                     num_key_value_heads=1, tie_word_embeddings=True)).to(torch.float16)
    m.save_pretrained(d)
    tokenizer.save(str(d / "tokenizer.json"))
    (d / "tokenizer_config.json").write_text(json.dumps(config))
    return d


def tiktoken_style(file, pattern=None, special=()):
    from transformers.convert_slow_tokenizer import TikTokenConverter

    more = {"pattern": pattern} if pattern else {}
    return json.loads(TikTokenConverter(str(file), extra_special_tokens=list(special), **more).converted().to_str())


def made(j):
    from tokenizers import Tokenizer

    return Tokenizer.from_str(json.dumps(j))


def llama3(path):
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>"]
    j = tiktoken_style(path / "llama3" / "tokenizer.model", special=names)
    j["model"]["ignore_merges"] = True
    return made(j), {"bos_token": names[0], "eos_token": names[-1]}


def llama4(path):
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|header_start|>", "<|eot|>"]
    return made(tiktoken_style(path / "llama4" / "tokenizer.model", GPT4O, names)), {"eos_token": {"content": "<|eot|>"}}


def tekken(path):
    source = json.loads(max((path / "data").glob("tekken_*.json")).read_text())
    config = source["config"]
    first = config["default_num_special_tokens"]
    ranks = CACHE / "tekken.tiktoken"
    ranks.write_text("".join(f"{v['token_bytes']} {v['rank']}\n" for v in source["vocab"][:config["default_vocab_size"] - first]))
    j = tiktoken_style(ranks, config["pattern"])
    named = {s["rank"]: s["token_str"] for s in source.get("special_tokens") or []}
    added = {i: named.get(i, f"<SPECIAL_{i}>") for i in range(first)}
    j["model"]["vocab"] = {k: v + first for k, v in j["model"]["vocab"].items()} | {s: i for i, s in added.items()}
    j["model"]["ignore_merges"] = True
    j["added_tokens"] = [{"id": i, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                         for i, s in added.items()]
    return made(j), {"bos_token": added[1], "eos_token": added[2], "add_bos_token": True}


def sentencepiece_json(model, legacy):
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
    from transformers.convert_slow_tokenizer import generate_merges

    scores = {model.id_to_piece(i): model.get_score(i) for i in range(model.get_piece_size())}
    vocabulary = {s: i for i, s in enumerate(scores)}
    t = Tokenizer(models.BPE(vocabulary, generate_merges(vocabulary, scores), unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if legacy:
        t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    else:
        t.pre_tokenizer = pre_tokenizers.Metaspace("\u2581", prepend_scheme="first", split=False)
    t.add_special_tokens([AddedToken(s, normalized=False) for s, i in vocabulary.items() if model.is_control(i) or model.is_unknown(i)])
    return t, {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True}


def folders(a, texts, llama_models, mistral):
    import sentencepiece

    makers = {}
    if llama_models:
        makers |= {"llama3": lambda: llama3(llama_models), "llama4": lambda: llama4(llama_models)}
    if mistral:
        makers["tekken"] = lambda: tekken(mistral)
        for version in ("v1", "v3"):
            file = next((mistral / "data").glob(f"*.model.{version}"))
            model = sentencepiece.SentencePieceProcessor(model_file=str(file))
            for legacy in (True, False):
                makers[f"mistral {version}{', legacy' * legacy}"] = lambda m=model, x=legacy: sentencepiece_json(m, x)
    for name, make in makers.items():
        t, config = make()
        d = folder(name, t, config)
        for special in (False, True):
            t.encode_special_tokens = not special
            compare(a, f"{name}, {'control tokens' if special else 'plain'}", d, texts, lambda s: t.encode(s, add_special_tokens=False).ids,
                    special=special)
        inert(a, name, d, {i: x.content for i, x in t.get_added_tokens_decoder().items() if x.special})


# ---- GGUF ------------------------------------------------------------------------------------------------------


def control_of(path):
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    tokens, types = (fields["tokenizer.ggml." + k].contents() for k in ("tokens", "token_type"))
    return {i: s for i, (s, k) in enumerate(zip(tokens, types)) if k == 3}


def sentencepiece_gguf(a, file, texts):
    import gguf
    import sentencepiece

    m = sentencepiece.SentencePieceProcessor(model_file=str(file))
    n = m.get_piece_size()
    path = scratch("families") / (file.name + ".gguf")
    w = gguf.GGUFWriter(path, "llama")
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list([m.id_to_piece(i) for i in range(n)])
    w.add_token_scores([m.get_score(i) for i in range(n)])
    w.add_token_types([2 if m.is_unknown(i) else 3 if m.is_control(i) else 5 if m.is_unused(i) else 6 if m.is_byte(i) else 1 for i in range(n)])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    compare(a, f"{file.name}, sentencepiece", path, texts, m.encode)
    gguf_file(a, file.name, path, texts)


def gguf_file(a, name, path, texts, normalizes=True):
    compare(a, f"{name}, llama.cpp", path, texts, Llama(path, vocab_only=True).tokenize, normalizes)
    inert(a, name, path, control_of(path))


def speed(a, name, path, texts):
    """One text of a megabyte; CPU seconds without those of opening the file."""
    text = "\n".join(texts).encode()[:1_000_000].decode(errors="ignore")

    def ours(s):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run([a.ste, "tokenize", "--model", str(path), "--raw"], input=s.encode(), stdout=subprocess.DEVNULL, check=True)
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before

    mine = min(ours(text) for _ in range(3)) - min(ours("x") for _ in range(3))
    peer = Llama(path, vocab_only=True)
    start = time.process_time()
    peer.tokenize(text)
    theirs = time.process_time() - start
    figure(f"{name}: a text of a megabyte, times llama.cpp's speed", theirs / max(mine, 1e-3), ">=", 1.0, f"{mine:.2f} s")


def main():
    a = arguments(__doc__, vocabs="", only="")
    data, _ = texts_of(a)
    texts = [s for s in data + awkward() if "\x00" not in s]
    llama_models, mistral = package("llama_models"), package("mistral_common")
    for name, path in (("llama-models", llama_models), ("mistral-common", mistral)):
        if not path:
            print(f"     {name} is not installed (pip install --no-deps {name}): its tokenizers are left out")
    if a.only in ("", "folders"):
        folders(a, texts, llama_models, mistral)
    if mistral and a.only in ("", "sentencepiece"):
        for version in ("v1", "v3"):
            sentencepiece_gguf(a, next((mistral / "data").glob(f"*.model.{version}")), texts)
    for name in [n for n in KNOWN if a.vocabs and a.only in ("", n)]:
        gguf_file(a, name, pathlib.Path(a.vocabs) / f"ggml-vocab-{name}.gguf", texts, name not in NORMALIZES)
    gemma = HOME / "models" / "gemma-3-270m.gguf"
    if gemma.exists() and a.only in ("", "gemma"):
        gguf_file(a, "gemma-3-270m", gemma, texts)
        speed(a, "gemma-3-270m", gemma, texts)
    finish()


if __name__ == "__main__":
    main()
