"""Token ids of `ste tokenize` against transformers and llama.cpp, both from the same GGUF, on every text of the data
folder and on awkward ones. Control tokens' strings count as plain text everywhere.

Three references: the tokenizer's published definition run by Hugging Face's `tokenizers`;
what transformers makes of the GGUF, which loses smollm's rule for digits and qwen2's NFC; and llama.cpp, which does
not normalize. They also know different versions of Unicode. A difference counts as explained only if it is gone once
that cause is taken away: see check."""

import json
import random
import unicodedata

from common import (CACHE, Llama, arguments, converted_tokenizer, data_files, figure, finish, gguf_path, plain,
                    published_tokenizer, rows, ste, strings)


def awkward():
    """Texts made to be hard."""
    t = ["", " ", "\n", "\t", "a", "0"]
    # Not NFC: decomposed accents, Hangul jamo, singletons that map elsewhere, marks in the wrong order, compositions
    # that NFC excludes.
    t += ["e\u0301te\u0301", "A\u030angstro\u0308m", "\u212b \u2126 \u212a", "\u1112\u1161\u11ab\u1100\u1173\u11af",
          "q\u0323\u0307 q\u0307\u0323", "\u0958\u0915\u093c", "\ufb1d\u05d9\u05b4", "\u0344 \u0340\u0341", "\uf900\ufa10\U0002f800",
          "\u1e9b\u0323", "a\u0301\u0323\u0302", "\u0301starts with a mark", "x\u0338= \u2260 =\u0338", "\u30ab\u3099 \uff76\uff9e"]
    # Emoji: skin tones, joiners, flags, keycaps, variation selectors, tags; each also doubled and within words.
    t += ["👩‍👩‍👧‍👦", "👍🏽👍🏿", "🇩🇪🇫🇷🇯", "1️⃣2️⃣#️⃣", "❤️‍🔥 ❤ ❤︎", "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
          "word🙂word", "🙂🙂🙂🙂🙂🙂🙂🙂🙂", "  🙂  ", "🧑🏻‍💻's laptop"]
    # Control, format and private characters, byte-order mark, separators, the last code points of planes.
    t += ["".join(map(chr, range(1, 32))), "a\x00b", "\x00", "\x7f\x80\x85\x9f", "zero\u200bwidth\u200cnon\u200djoin\ufeff",
          "\ufeffbom first", "line\u2028sep\u2029para", "rtl \u202e abc \u202c", "soft\u00adhyphen", "\ue000\uf8ff",
          "\U000f0000\U0010fffd", "\ufdd0\ufffe\uffff\U0001ffff\U0010ffff", "\ud7ff\ue000", "a\x0bb\x0cc\x1cd\x1ee\x1ff"]
    # White space of all kinds and lengths, alone, before letters, digits, marks and at the end.
    for n in (2, 3, 4, 7, 8, 15, 16, 17, 31, 33, 64, 100, 511, 1000):
        for w in (" ", "\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2003"):
            t += [w * n, "x" + w * n + "y"]
        t += [" " * n + "\n" + " " * n + "end", "7" * n, "a" * n, "!" * n, "\n" * n + " " * n + "5", "é" * n, "漢" * n,
              "-" * n + " " + "=" * n, "ab " * n, "1,000." * n]
    t += ["\u00a0non\u00a0breaking\u202fnarrow", "\u1680\u2000\u200a\u205f", " \n \n\n  \n", "\r\r\n\n\r", "\n \t\r\n\t x", "tab\tend\t"]
    # Digits and numbers of all scripts and kinds.
    t += ["0123456789", "3.14159e-10", "1234567890123456789012345678901234567890", "٠١٢٣٤٥", "०१२३", "๐๑๒๓", "１２３４", "①②③ ⅣⅤ ½¼ ²³",
          "𝟎𝟏𝟐 𝟘", "一二三四五", "x1y22z333", "1st 2nd 3rd", "v1.2.3-rc4", "0x1F 0b101", "12:34:56", "$1,234.56", "½cup 3½", "٣٫١٤", "𐄇𐄈 𒐀"]
    # Contractions in every case and with the wrong apostrophes.
    t += ["I'm you're he'll she'd they've it's don't", "I'M YOU'RE HE'LL SHE'D THEY'VE IT'S DON'T", "'s't're've'm'll'd", "''s 'S 'Ll",
          "it’s don’t I’m", "rock'n'roll o'clock 'tis", "'\u017f \u017f's I'\u212a", "d'accord l'été", "' s ' t"]
    # Scripts, alone and mixed in one word.
    t += ["السلام عليكم ورحمة الله", "مُحَمَّد‎ 123 عربي", "สวัสดีครับ ภาษาไทยไม่มีวรรค", "日本語のテキスト、漢字とかな。", "한국어 문장입니다.", "中文，没有空格。123元",
          "Здравствуй, мир! Ёлка", "Ελληνικά ς σ Σ", "עִבְרִית שָׁלוֹם", "हिन्दी में कुछ शब्द", "தமிழ் எழுத்து", "ქართული ᲥᲐᲠᲗᲣᲚᲘ", "አማርኛ", "ᏣᎳᎩ ꮳꮃꭹ",
          "Tiếng Việt có dấu", "İstanbul ıIiİ ǅ ǆ", "ßẞ ŉ ﬁ ﬃ", "pаypаl mixed Cyrillic", "abcабвαβγ漢字かな한글", "𝒜𝓁𝓅𝒽𝒶 𝕭𝖊𝖙𝖆", "𐐀𐐨 𐌰𐌱 𒀀", "ꙮ ⸘ ‽"]
    # What looks like control tokens, or part of one.
    t += ["<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", "<|endoftext|>", "<|im_end|", "<|im_end|><|im_end|>", "<|fim_prefix|><tool_call>",
          "x<|im_start|>y", "< |im_end|>", "<|IM_END|>", "[[A]] [[B]]", "<s></s><unk>[INST]", "<reponame><file_sep>", "<|file_sep|><|repo_name|>"]
    # Code, markup, paths, long words that the merges have never seen.
    t += ["def f(x):\n    return x**2  # square\n\n\n", "for(int i=0;i<n;++i){a[i]+=b[i];}", "<div class=\"a\">&amp;</div>\n\t\t<br/>", "C:\\Users\\x\\y z",
          "https://example.org/a?b=c&d=%20#e", "user.name+tag@example.org", "{\"a\": [1, 2, {\"b\": null}]}", "Donaudampfschifffahrtsgesellschaft",
          "aaaaaaaaaabbbbbbbbbbcccccccccc" * 20, "pneumonoultramicroscopicsilicovolcanoconiosis", "\\frac{a}{b}\\sum_{i=0}^{n}", "___init___ --flag=-1", "//////\\\\\\\\\\\\",
          "....!!!!????;;;;", "—–‒―…„“”‘’«»", "()[]{}<>", "\"quoted\" 'single'", "`code` ```block```", "~~~~ #### ****", "€£¥₹₿ ±×÷ ∑∏∫ ←↑→ ░▒▓"]
    # Every character of the planes that text comes from, 64 at a time, with a letter, a digit and a space in turn before each.
    for start in list(range(0x20, 0xd800, 64)) + list(range(0xe000, 0x3400 + 0xe000, 64)) + list(range(0x10000, 0x14680, 64)) + list(range(0x1d000, 0x1fb00, 64)):
        block = [chr(c) for c in range(start, min(start + 64, 0x110000)) if not 0xd800 <= c < 0xe000]
        t.append("".join(("x", "1", " ", "")[i % 4] + c for i, c in enumerate(block)))
    # The above cut and shuffled together.
    r = random.Random(20240802)
    pool = [p for p in t if p and "\x00" not in p]
    for _ in range(3000):
        s = ""
        for _ in range(r.randint(2, 8)):
            p = r.choice(pool)
            k = r.randrange(len(p))
            s += p[k:k + r.randint(1, 12)] + r.choice(["", "", " ", "  ", "\n", "'s", "\r\n", "7"])
        t.append(s)
    return t


BROKEN = [b"\x80", b"abc\xff", b"\xc3", b"\xc3(", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
          b"\xf8\x88\x80\x80\x80", b"ok \xe4\xbd then \xa0", b"\xed\xb0\x80\xed\xa0\x80", b"long " * 5000 + b"\xfe"]


def ste_ids(a, short, texts):
    """JSON lines carry no NUL; the few texts with one go through --raw."""
    model = str(gguf_path(short))
    lines = [s for s in texts if "\x00" not in s]
    stdin = "".join(json.dumps({"text": s}) + "\n" for s in lines).encode()
    out = ste(a, "tokenize", "--model", model, "--jsonl", stdin=stdin).decode().splitlines()
    if len(out) != len(lines):
        raise SystemExit(f"ste tokenize --jsonl: {len(out)} lines for {len(lines)} texts")
    got = iter(json.loads(line) for line in out)
    return [list(map(int, ste(a, "tokenize", "--model", model, "--raw", stdin=s.encode()).split())) if "\x00" in s else next(got)
            for s in texts]


def has_number(s):
    return any(unicodedata.category(c)[0] == "N" for c in s)


def texts_of(a):
    seen = {}
    count = 0
    for f in data_files(a):
        for r in rows(f):
            for s in strings(r):
                count += 1
                seen.setdefault(s)
    return list(seen), count


def show(kind, s, ours, theirs):
    k = next((i for i, (x, y) in enumerate(zip(ours, theirs)) if x != y), min(len(ours), len(theirs)))
    print(f"     {kind}: {ascii(s[:80])} from token {k}: ste {ours[k:k + 6]}, it {theirs[k:k + 6]}")


# Marks that came with Unicode 13 and 14: the normalizer of `tokenizers` has older tables and does not order them.
NEW_MARKS = [(0x898, 0x89f), (0x8ca, 0x8d3), (0x1abf, 0x1ace), (0x1dfa, 0x1dfa), (0x10eab, 0x10eac), (0x10f82, 0x10f85), (0x1e2ae, 0x1e2ae)]


def newer(c):
    """Whether the libraries' Unicode tables may disagree about C: it came after Unicode 14, or is one of those marks."""
    return unicodedata.category(c) == "Cn" or any(lo <= ord(c) <= hi for lo, hi in NEW_MARKS)


def old(s):
    """S with a Han character for each of those, and in NFC."""
    return unicodedata.normalize("NFC", "".join("\u4e2d" if newer(c) else c for c in s))


def check(a, short, what, texts):
    peer = Llama(gguf_path(short), vocab_only=True)
    pub, conv = published_tokenizer(short), converted_tokenizer(short).backend_tokenizer
    # Which rule the conversion lost is read from what it made, so that a mended transformers is held to it.
    lost_nfc = short == "qwen2.5" and conv.normalizer is None
    lost_digits = short == "smollm2" and "Digits" not in str(conv.pre_tokenizer)
    references = {"published definition": lambda s: plain(pub, s), "transformers": lambda s: plain(conv, s), "llama.cpp": peer.tokenize}
    ours = ste_ids(a, short, texts)
    figure(f"{short}, {what}: texts", len(texts), note=f"{sum(map(len, ours))} tokens")
    for kind, encode in references.items():
        different = [(s, o) for s, o in zip(texts, ours) if encode(s) != o]
        causes = {"newer Unicode": 0, "no NFC": 0, "digits rule lost": 0}
        unexplained = 0
        again = ste_ids(a, short, [old(s) for s, _ in different]) if different else []
        for (s, o), o_old in zip(different, again):
            t = old(s)
            digits = kind == "transformers" and lost_digits and has_number(s)
            normalizes = kind == "published definition" or (kind == "transformers" and not lost_nfc) or short == "smollm2"
            if t != s and encode(t) == o_old:
                new = any(map(newer, s))
                if new or not normalizes:
                    causes["newer Unicode" if new else "no NFC"] += 1
                    continue
            if digits and plain(pub, t) == o_old:
                causes["digits rule lost"] += 1
                continue
            unexplained += 1
            if unexplained <= 5:
                show(kind, s, o, encode(s))
        figure(f"{short}, {what}: unexplained, {kind}", unexplained, "==", 0,
               ", ".join(f"{n} explained: {c}" for c, n in causes.items() if n))


def main():
    a = arguments(__doc__)
    data, count = texts_of(a)
    figure("texts in the data folder", count, ">", 0, f"{len(data)} different ones")
    made = awkward()
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "awkward.jsonl", "w", encoding="utf-8") as f:
        f.writelines(json.dumps({"text": s}) + "\n" for s in made)
    for short in a.model:
        check(a, short, "data", data)
        check(a, short, "awkward", made)
        refused = 0
        for b in BROKEN:
            p = ste(a, "tokenize", "--model", str(gguf_path(short)), "--raw", stdin=b, check=False)
            refused += p.returncode == 1 and not p.stdout.strip() and b"UTF-8" in p.stderr
        figure(f"{short}: broken UTF-8 refused, of {len(BROKEN)}", refused, "==", len(BROKEN))
    finish()


if __name__ == "__main__":
    main()
