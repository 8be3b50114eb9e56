"""Writes tests/fixtures/tokenizers.jsonl: a small tokenizer.json for each family, with the family's own splitting
expression, normalizer and kinds of added tokens, and the ids that Hugging Face's `tokenizers` gives for some texts.

    python make_tokenizer_fixtures.py FOLDER_OF_TEXT OUT

The merges are learnt from the .jsonl files of the folder."""

import glob
import json
import os
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = SUFFIX + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")
QWEN35 = (SUFFIX + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + "+%s|" + r"[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER + "*%s|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = CASED % ("", "") + r"\p{N}" + REST
GPT4O = CASED % (SUFFIX + "?", SUFFIX + "?") + r"\p{N}{1,3}" + REST
ODD = r"\p{Lu}?\p{Ll}+|[^\S\r\n]+|[\s]|\d+$|."  # no family has it: it stays an expression

TEXTS = ["", " ", "  ", "\n", "a", " a", "  a ", "Hello, world!  It's 2024 (a   12 b)\n\n\treturn x_1;", "I'LL don't HE'S 'tis 'S",
         "caf\u00e9 cafe\u0301 \u212b \u1112\u1161\u11ab", "\U0001F469\u200d\U0001F4BB \U0001F1E9\U0001F1EA 1\ufe0f\u20e3", "\u4f60\u597d\uff0c\u4e16\u754c 123\u5143",
         "\u0645\u064f\u062d\u064e\u0645\u064e\u0651\u062f \u0661\u0662\u0663", "\u0939\u093f\u0928\u094d\u0926\u0940 \u0928\u092e\u0938\u094d\u0924\u0947", "\u01c5 \u0130stanbul \u00df\u1e9e \ufb01",
         "camelCaseHTTPServer XMLHttp ABCdef", "1234567 3.14 1,000 \u00bd\u2163", "\u3000\u2003\u00a0x\u180ey\u0085z", "a\r\nb\r\n\r\n  c\n \n", "path/to//file.c:\n/* x */", "a" * 60 + " " * 70 + "b",
         "<s>[INST] hi [/INST]</s>", "<|start|>user\nhi <|end|>\n<|start|>", "<|end|>  x", "< s > <|e nd|>", "<unk> <0x41> <pad>", "x<think>y</think>  z", "<think><think>\n\n</think>", "\u2581a\u2581\u2581b",
         "the the the and and\tand", "tab\t\ttab", "\x01\x7f\ufeff\ufffd", "!!! ... ---", "\"quoted\" (x) [y] {z}", "word\u2019s don\u2019t", "\ud7ff\ue000\U0010ffff"]


def corpus(folder):
    for f in sorted(glob.glob(os.path.join(folder, "**", "*.jsonl"), recursive=True)):
        with open(f, encoding="utf-8") as lines:
            for i, line in enumerate(lines):
                if i < 60:
                    yield json.dumps(json.loads(line), ensure_ascii=False)[:2000]


def byte_level(text, stages, control, size=420, nfc=False, ignore_merges=False, bos=None):
    t = Tokenizer(models.BPE())
    if nfc:
        t.normalizer = normalizers.NFC()
    split = [pre_tokenizers.Digits(individual_digits=True) if s == "digits" else
             pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True) if s == "gpt2" else
             pre_tokenizers.Split(Regex(s), "isolated") for s in stages]
    if stages[-1] != "gpt2":
        split.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    t.pre_tokenizer = pre_tokenizers.Sequence(split)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return finish(t, control, ignore_merges, bos)


def pieces(text, control, legacy, size=700):
    """SentencePiece's kind: learnt on words, used on whole texts."""
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.pre_tokenizer = pre_tokenizers.Metaspace("\u2581", prepend_scheme="always", split=True)
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=size, special_tokens=special, limit_alphabet=90, show_progress=False))
    j = json.loads(t.to_str())
    j["added_tokens"] = j["added_tokens"][:3]
    t = Tokenizer.from_str(json.dumps(j))
    if legacy:
        t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        t.pre_tokenizer = None
    elif legacy is None:
        t.normalizer = normalizers.Replace(" ", "\u2581")
        t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    else:
        t.pre_tokenizer = pre_tokenizers.Metaspace("\u2581", prepend_scheme="first", split=False)
    return finish(t, control, False, "<s>")


def finish(t, control, ignore_merges, bos):
    t.add_special_tokens([AddedToken(s, normalized=False, rstrip=s == "<|end|>") for s in control])
    t.add_tokens([AddedToken(s, normalized=False) for s in ("<think>", "</think>")])
    if bos:
        t.post_processor = processors.TemplateProcessing(single=bos + " $A", pair=None, special_tokens=[(bos, t.token_to_id(bos))])
    j = json.loads(t.to_str())
    j["model"]["ignore_merges"] = ignore_merges
    return j


def main():
    text = list(corpus(sys.argv[1]))
    common = ["<s>", "</s>", "<|start|>", "<|end|>"]
    families = {
        "llama-bpe": byte_level(text, [LLAMA3], common, ignore_merges=True, bos="<s>"),
        "dbrx": byte_level(text, [LLAMA3], common),
        "qwen2": byte_level(text, [QWEN2], common, nfc=True),
        "qwen35": byte_level(text, [QWEN35], common, nfc=True),
        "tekken": byte_level(text, [TEKKEN], common + ["[INST]", "[/INST]"], ignore_merges=True, bos="<s>"),
        "gpt-4o": byte_level(text, [GPT4O], common),
        "gpt-2": byte_level(text, ["gpt2"], common),
        "smollm": byte_level(text, ["digits", "gpt2"], common),
        "own": byte_level(text, [r"\p{N}{2}", ODD], common),
        "legacy": pieces(text, ["[INST]", "<|end|>"], True),
        "first": pieces(text, ["[INST]", "[/INST]"], False),
        "bare": pieces(text, ["<start_of_turn>"], None),
    }
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.write(json.dumps({"texts": TEXTS}) + "\n")
        for name, j in families.items():
            t = Tokenizer.from_str(json.dumps(j))
            rows = []
            for special in (False, True):
                t.encode_special_tokens = not special
                rows.append([t.encode(s, add_special_tokens=False).ids for s in TEXTS])
            out.write(json.dumps({"name": name, "tokenizer": j, "plain": rows[0], "special": rows[1]}, separators=(",", ":")) + "\n")


main()
