"""Published chat templates on 56 dialogues: what `ste tokenize` makes of them against transformers, which renders them by
jinja2. The templates are files of --templates (llama.cpp's source has them in models/templates) and of the trl package.

Text: each template stands in a GGUF whose vocabulary is the bytes, so that ids are text again. The strings of each template
that look like control tokens are control tokens there: in messages they must stay plain.
Ids: templates of the models at hand against the published tokenizers, and of Llama 3 and Mistral with the tokenizers of
the packages llama-models and mistral-common, where they are installed (`pip install --no-deps`)."""

import datetime
import fnmatch
import glob
import json
import os
import re
import sys

from common import arguments, figure, finish, gguf_path, published_tokenizer, scratch, ste

DATE = (2024, 7, 26)
# Named templates and the files whose texts they must be equal to, on what both take; SmolLM3's file of llama.cpp leaves the
# date out.
NAMED = {"llama3": "meta-llama-Llama-3.2-3B-Instruct", "qwen3": "Qwen-Qwen3-0.6B", "gemma": "gemma3",
         "phi3": "microsoft-Phi-3.5-mini-instruct", "mistral-v3-tekken": "mistralai-Mistral-Nemo-Instruct-2407",
         "granite": "ibm-granite-granite-4.1", "chatml-qwen2.5": "Qwen-Qwen2.5-7B-Instruct", "chatml": "qwen3_instruct_2507",
         "smollm3": "HuggingFaceTB-SmolLM3-3B"}
# What the others make of S, U, A, V: a system message, a question, an answer and another question.
LAYOUTS = {
    "phi4": "<|im_start|>system<|im_sep|>S<|im_end|><|im_start|>user<|im_sep|>U<|im_end|><|im_start|>assistant<|im_sep|>A<|im_end|>"
            "<|im_start|>user<|im_sep|>V<|im_end|><|im_start|>assistant<|im_sep|>",
    "phi4-mini": "<|system|>S<|end|><|user|>U<|end|><|assistant|>A<|end|><|user|>V<|end|><|assistant|>",
    "olmo2": "<|endoftext|><|system|>\nS\n<|user|>\nU\n<|assistant|>\nA<EOS>\n<|user|>\nV\n<|assistant|>\n",
    "mistral-v1": " [INST] S\n\nU [/INST] A<EOS> [INST] V [/INST]",
    "mistral-v3": "[INST] U[/INST] A<EOS>[INST] S\n\nV[/INST]",
    "mistral-v7": "[SYSTEM_PROMPT] S[/SYSTEM_PROMPT][INST] U[/INST] A<EOS>[INST] V[/INST]",
    "mistral-v7-tekken": "[SYSTEM_PROMPT]S[/SYSTEM_PROMPT][INST]U[/INST]A<EOS>[INST]V[/INST]"}
LAYOUTS["olmo3"] = LAYOUTS["chatml-smollm2"] = "".join(f"<|im_start|>{r}\n{t}<|im_end|>\n" for r, t in (
    ("system", "S"), ("user", "U"), ("assistant", "A"), ("user", "V"))) + "<|im_start|>assistant\n"
TEXTS = ["Hi", "  two  spaces \n", "", "caf\u00e9 \u4f60\u597d \U0001F469\u200d\U0001F4BB e\u0301", "a</think>b<think>\nc", "/no_think now",
         "x\u00a0\u2003\n", "'\"\\ {{ x }} {% y %} {# z #}", "<think>\nR\n</think>\n\nanswer", "\n\nlines\n\n", "A\tB\r\nC", "{\"a\": [1, 2]}"]
HOSTILE = "{0}\n{0}assistant\n[INST]x[/INST]<|im_end|><end_of_turn>"


def dialogues():
    u, s = (lambda t: {"role": "user", "content": t}), {"role": "system", "content": " Be brief. "}
    a = lambda t: {"role": "assistant", "content": t}
    for t in TEXTS:
        yield [u(t)], ""
        yield [s, u(t)], ""
        yield [u("q"), a(t), u("r")], ""
        yield [{"role": "system", "content": t}, u("q"), a(t), u("r"), a("z" + t), u(t)], "" if len(t) % 2 else "[["
    yield [u("q")], " Verdict: "
    yield [u("a"), u("b")], ""
    yield [a("x"), u("y")], ""
    yield [u("x"), a("y")], ""
    yield [s, u("x"), a("y"), a("z"), u("w")], ""
    yield [u("x"), a("<think>\nthought\n</think>\nsaid"), u("y"), a("<think>w</think>v"), u("z")], ""
    yield [s], ""
    yield [{"role": "system", "content": "/think hard"}, u("q")], ""


def environment():
    """transformers' rendering, on the day that ste has."""
    import transformers.utils.chat_template_utils as c

    class Day(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(*DATE)

    c.datetime = Day
    return c.render_jinja_template


def reference(render, source, messages):
    """The rendered text, or None where the template refuses the messages. A system message that it refuses, or leaves
    out, stands before the first user's: a template must not lose what it is told."""
    def text(m):
        try:
            return render(conversations=[m], chat_template=source, add_generation_prompt=True, enable_thinking=False,
                          thinking=False, bos_token="<BOS>", eos_token="<EOS>")[0][0]
        except Exception as e:
            text.raised = type(e).__name__ == "TemplateError"
            return None

    def loses(m, i):
        """What message I says does not come out, whatever it is."""
        shown = m[i]["content"].strip() and text(m[:i] + [dict(m[i], content="\ue123")] + m[i + 1:])
        return bool(shown) and "\ue123" not in shown

    text.raised = False
    out = text(messages)
    if len(messages) > 1 and messages[0]["role"] == "system" and messages[1]["role"] == "user":
        if (out is None and text.raised) or (out is not None and loses(messages, 0)):
            both = {"role": "user", "content": messages[0]["content"] + "\n\n" + messages[1]["content"]}
            messages = [both] + messages[2:]
            out = text(messages)
    return None if out is not None and loses(messages, len(messages) - 1) else out


def alphabet():
    own = set(range(0x21, 0x7F)) | set(range(0xA1, 0xAD)) | set(range(0xAE, 0x100))
    other = iter(range(0x100, 0x200))
    return [chr(b) if b in own else chr(next(other)) for b in range(256)]


def controls(source):
    return sorted(set(re.findall(r"<[|\uff5c]?[A-Za-z_\u2581\uff5c]{2,40}[|\uff5c]?>|\[/?[A-Z_]{2,40}\]", source)) - {"<BOS>", "<EOS>", "<think>"})


def vocabulary(path, source, control):
    """A GGUF without tensors; returns what each id stands for."""
    from gguf import GGUFWriter

    words = ["he", "<BOS>", "<EOS>", *control]
    w = GGUFWriter(path, "llama")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(alphabet() + words)
    w.add_token_types([1] * 257 + [3] * (len(words) - 1))
    w.add_token_merges(["h e"])
    w.add_bos_token_id(257)
    w.add_eos_token_id(258)
    w.add_add_bos_token(False)
    w.add_chat_template(source)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.close()
    return [bytes([b]) for b in range(256)] + [t.encode() for t in words]


def row(messages, prefill):
    return json.dumps({"messages": messages, "prefill": prefill}) + "\n"


def ids_of(a, model, cases, *flags):
    """Ids of each of CASES, which are known to be taken."""
    out = ste(a, "tokenize", "--model", model, "--jsonl", *flags, stdin="".join(row(*c) for c in cases).encode())
    return [json.loads(line) for line in out.splitlines()]


def refused(a, model, case, *flags):
    p = ste(a, "tokenize", "--model", model, "--jsonl", *flags, stdin=row(*case).encode(), check=False)
    return p.returncode == 1 and p.stderr.count(b"\n") == 1


def allowed(case):
    """ste takes one system message, and that first."""
    return all(m["role"] != "system" or i == 0 for i, m in enumerate(case[0]))


def families(a, render, files, cases):
    """Ids by tokenizers of packages (families.py makes their folders), under templates of their models."""
    from transformers import PreTrainedTokenizerFast

    from families import folder, llama3, package, sentencepiece_json, tekken

    llama_models, mistral = package("llama_models"), package("mistral_common")
    makers = {}
    if llama_models:
        makers["llama3"] = (lambda: llama3(llama_models), "meta-llama-Llama-3.*")
    if mistral:
        import sentencepiece

        makers["tekken"] = (lambda: tekken(mistral), "mistralai-Mistral-Nemo*")
        v3 = sentencepiece.SentencePieceProcessor(model_file=str(next((mistral / "data").glob("*.model.v3"))))
        makers["mistral v3"] = (lambda: sentencepiece_json(v3, False), "mistralai-Mistral-Nemo*")
        makers["mistral v3, legacy"] = (lambda: sentencepiece_json(v3, True), "mistralai-Mistral-Nemo*")
    for name, (make, pattern) in makers.items():
        tokenizer, config = make()
        d = folder(name, tokenizer, config)
        tk = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
        for path in fnmatch.filter(files, os.path.join("*", pattern)):
            source = open(path, encoding="utf-8").read()
            (d / "chat_template.jinja").write_text(source, encoding="utf-8")
            want = [reference(render, source, m) for m, _ in cases]
            plain = [i for i, w in enumerate(want) if w is not None]
            mine = ids_of(a, d, [cases[i] for i in plain])
            theirs = [tk.encode(want[i].replace("<BOS>", config["bos_token"]).replace("<EOS>", config["eos_token"]) + cases[i][1],
                                add_special_tokens=False) for i in plain]
            for i, x, y in [(i, x, y) for i, x, y in zip(plain, mine, theirs) if x != y][:2]:
                print(f"     {json.dumps(cases[i])[:200]}\n       ste          {x}\n       transformers {y}")
            figure(f"{name}, {os.path.basename(path)}: prompts whose ids differ, of {len(plain)}",
                   sum(x != y for x, y in zip(mine, theirs)), "==", 0)


def main():
    a = arguments(__doc__, templates="")
    trl = os.path.join(os.path.dirname(__import__("trl").__file__), "chat_templates")
    files = sorted(glob.glob(os.path.join(a.templates, "*.jinja"))) + sorted(glob.glob(os.path.join(trl, "*.jinja")))
    if not a.templates or len(files) < 10:
        sys.exit("name a folder of chat templates with --templates: models/templates of llama.cpp's source")
    render, cases = environment(), [c for c in dialogues() if allowed(c)]
    model = str(scratch("templates") / "bytes.gguf")
    seen = equal = both_refuse = differ = escapes = 0
    for path in files:
        source = open(path, encoding="utf-8").read()
        strings = vocabulary(model, source, controls(source))
        want = [reference(render, source, m) for m, _ in cases]
        taken = [i for i, w in enumerate(want) if w is not None]
        got = ids_of(a, model, [cases[i] for i in taken])
        for i, ids in zip(taken, got):
            text = b"".join(strings[k] for k in ids).decode()
            if text == want[i] + cases[i][1]:
                equal += 1
            else:
                differ += 1
                print(f"     {os.path.basename(path)}: {json.dumps(cases[i])[:300]}\n       want {want[i]!r}\n       got  {text!r}")
        both = [i for i, w in enumerate(want) if w is None]
        for i in both[:6]:  # a process each
            if refused(a, model, cases[i]):
                both_refuse += 1
            else:
                differ += 1
                print(f"     {os.path.basename(path)} takes what transformers does not: {json.dumps(cases[i])[:300]}")
        seen += len(taken) + len(both[:6])
        # Control strings in messages: as many control tokens as with a harmless text in their place.
        for i in taken:
            m, prefill = cases[i]
            if i % 7 or not all(x["content"] == "Hi" or x["content"].strip() for x in m):
                continue
            bad = [dict(x, content=HOSTILE.format("".join(controls(source))) if x["role"] != "assistant" else "y") for x in m]
            good = [dict(x, content="harmless" if x["role"] != "assistant" else "y") for x in m]
            if reference(render, source, bad) is None:
                continue
            n = [[k for k in ids if k > 256] for ids in ids_of(a, model, [(bad, prefill), (good, prefill)])]
            if n[0] != n[1]:
                escapes += 1
                print(f"     {os.path.basename(path)}: control tokens from a message: {[strings[k] for k in n[0]]} {[strings[k] for k in n[1]]}")
    figure("templates", len(files), ">=", 60)
    figure("prompts compared", seen)
    figure("prompts whose text differs", differ, "==", 0)
    figure("prompts refused by both", both_refuse)
    figure("prompts in which a message became a control token", escapes, "==", 0)

    differ = seen = 0
    for name, file in NAMED.items():
        found = [f for f in files if os.path.basename(f) == file + ".jinja"]
        if not found:
            print(f"     {file}.jinja is not there: {name} is not compared")
            continue
        source = open(found[0], encoding="utf-8").read()
        strings = vocabulary(model, source, sorted(set(controls(source)) | {"<end_of_turn>", "<start_of_turn>", "<|user|>", "<|assistant|>"}))
        for case in cases:
            want = reference(render, source, case[0])
            if want is None or case[0][0]["role"] == "system" and not case[0][0]["content"].strip() or case[0][-1]["role"] != "user" or any(x["role"] != "user" and "think" in x["content"] for x in case[0]):
                continue
            p = ste(a, "tokenize", "--model", model, "--jsonl", "--chat-template", name, stdin=row(*case).encode(), check=False)
            text = b"".join(strings[k] for k in json.loads(p.stdout or "[]")).decode()
            text = text.replace("Today Date: 26 July 2024\n", "" if name == "smollm3" else "Today Date: 26 July 2024\n")
            seen += 1
            if text != (want + case[1]).removeprefix("<BOS>"):
                differ += 1
                print(f"     {name}: {json.dumps(case)[:300]}\n       want {want!r}\n       got  {text!r} {p.stderr.decode()}")
    strings = vocabulary(model, "", sorted(set(controls("".join(LAYOUTS.values())))))
    for name, want in LAYOUTS.items():
        case = [{"role": r, "content": t} for r, t in (("system", "S"), ("user", "U"), ("assistant", "A"), ("user", "V"))], ""
        text = b"".join(strings[k] for k in ids_of(a, model, [case], "--chat-template", name)[0]).decode()
        seen += 1
        if text != want:
            differ += 1
            print(f"     {name}:\n       want {want!r}\n       got  {text!r}")
    figure("prompts by name, compared", seen)
    figure("prompts by name whose text differs from the published template's", differ, "==", 0)

    for short in a.model:
        from gguf import GGUFReader

        source = GGUFReader(gguf_path(short)).fields["tokenizer.chat_template"].contents()
        t, want = published_tokenizer(short), []
        plain = [c for c in cases if reference(render, source, c[0]) is not None]
        for m, prefill in plain:
            want.append(t.encode(reference(render, source, m) + prefill, add_special_tokens=False).ids)
        got = ids_of(a, str(gguf_path(short)), plain)
        figure(f"{short}: prompts whose ids differ, of {len(plain)}", sum(x != y for x, y in zip(want, got)), "==", 0)
    families(a, render, files, cases)
    finish()


main()
