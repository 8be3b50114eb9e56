"""The openai SDK against a running `ste serve`: models, chats, streams, completions, errors; and the same requests to a
llama-server beside it.

VENV/bin/python serve_openai.py STE MODEL.gguf [LLAMA_SERVER]   the venv has openai
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.request

import openai

ste, model = sys.argv[1:3]
llama = sys.argv[3] if len(sys.argv) > 3 else None
name = os.path.basename(model).removesuffix(".gguf")
failed = False


def check(good, what):
    global failed
    failed = failed or not good
    print("ok  " if good else "FAIL", what, flush=True)


def fails(kind, code, call, what):
    """CALL raises KIND, whose code is CODE."""
    try:
        call()
        check(False, f"{what}: no error")
    except kind as e:
        check(e.code == code, f"{what}: {e.status_code} {e.code}: {str(e.message)[:90]}")


def chat_of(client, text, **how):
    how = {"temperature": 0, "max_tokens": 32, "model": name} | how
    return client.chat.completions.create(messages=[{"role": "user", "content": text}], **how)


def streamed(stream):
    """Texts by index, finish reasons, usage, number of pieces."""
    texts, ends, usage, pieces = {}, {}, None, 0
    for event in stream:
        usage = event.usage or usage
        for c in event.choices:
            piece = c.delta.content or ""
            texts[c.index] = texts.get(c.index, "") + piece
            pieces += piece != ""
            ends[c.index] = c.finish_reason or ends.get(c.index)
    return texts, ends, usage, pieces


def whole_and_streams(c):
    for text in ["What is the capital of France?", "Write a line about 🦀 and naïve café.", "Count to twenty."]:
        whole = chat_of(c, text)
        texts, ends, usage, pieces = streamed(chat_of(c, text, stream=True, stream_options={"include_usage": True}))
        said = whole.choices[0].message.content
        check(texts[0] == said and ends[0] == whole.choices[0].finish_reason and usage == whole.usage and pieces > 1,
              f"stream is the whole reply, in {pieces} pieces: {said[:40]!r}")
    drawn = [chat_of(c, "Tell me a story.", temperature=1, seed=s).choices[0].message.content for s in (1, 1, 2)]
    check(drawn[0] == drawn[1] != drawn[2], "a seed gives its text again")
    free = [chat_of(c, "Tell me a story.", temperature=1).choices[0].message.content for _ in range(2)]
    check(free[0] != free[1], "without a seed each text is drawn anew")
    three = chat_of(c, "Tell me a story.", temperature=1, n=3)
    check(len({x.message.content for x in three.choices}) == 3 and [x.index for x in three.choices] == [0, 1, 2],
          "n gives as many texts")
    texts, ends, _, _ = streamed(chat_of(c, "Tell me a story.", temperature=1, n=3, stream=True))
    check(sorted(texts) == [0, 1, 2] and all(ends.values()), "n in a stream")
    parts = c.chat.completions.create(model=name, temperature=0, max_tokens=32, messages=[
        {"role": "user", "content": [{"type": "text", "text": "Count to "}, {"type": "text", "text": "twenty."}]}])
    check(parts.choices[0].message.content == chat_of(c, "Count to twenty.").choices[0].message.content, "parts of text")


def stops_and_logprobs(c):
    said = chat_of(c, "Count to twenty.").choices[0].message.content
    stop = said[len(said) // 2:][:5]
    whole = chat_of(c, "Count to twenty.", stop=[stop, "never said"])
    texts, ends, _, _ = streamed(chat_of(c, "Count to twenty.", stop=stop, stream=True))
    check(whole.choices[0].message.content == said[:said.index(stop)] == texts[0] and ends[0] == "stop",
          f"ends before the stop {stop!r}")
    for text in ["Count to twenty.", "Write a line about 🦀 and naïve café."]:
        r = chat_of(c, text, logprobs=True).choices[0]
        told = b"".join(bytes(t.bytes) for t in r.logprobs.content)
        check(told.startswith(r.message.content.encode()) and all(t.logprob <= 0 for t in r.logprobs.content),
              f"{len(r.logprobs.content)} log-probabilities, whose bytes are the text")
        pieces = [t for e in chat_of(c, text, logprobs=True, stream=True) for x in e.choices if x.logprobs
                  for t in x.logprobs.content]
        check([(t.bytes, t.logprob) for t in pieces] == [(t.bytes, t.logprob) for t in r.logprobs.content],
              "the same in a stream")


def completions(c):
    def ask(prompt, **how):
        return c.completions.create(model=name, prompt=prompt, temperature=0, **({"max_tokens": 12} | how))

    one = ask("Once upon a time")
    two = ask(["Once upon a time", "The capital of"], n=1)
    check(two.choices[0].text == one.choices[0].text and len(two.choices) == 2, "completions of a list of prompts")
    text = "".join(e.choices[0].text for e in ask("Once upon a time", stream=True))
    check(text == one.choices[0].text, "a completion's stream")
    check(len(ask([504, 253, 2]).choices) == 1, "a prompt of ids")
    probs = ask("Once upon a time", logprobs=0).choices[0].logprobs
    check("".join(probs.tokens) == one.choices[0].text and probs.text_offset[0] == 0, "a completion's log-probabilities")
    check(ask("<|im_end|>").usage.prompt_tokens > 3, "a control token's string is plain text")


def errors(c):
    bad, none = openai.BadRequestError, openai.NotFoundError
    fails(none, "model_not_found", lambda: chat_of(c, "x", model="gpt-4o"), "another model")
    fails(none, "model_not_found", lambda: c.models.retrieve("gpt-4o"), "another model's card")
    fails(bad, "context_length_exceeded", lambda: chat_of(c, "word " * 20000), "too long")
    fails(bad, "context_length_exceeded", lambda: chat_of(c, "word " * 20000, stream=True), "too long for a stream")
    fails(bad, "unsupported_parameter", lambda: chat_of(c, "x", response_format={"type": "json_object"}),
          "response_format")
    fails(bad, "unsupported_parameter", lambda: chat_of(c, "x", tools=[
        {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]), "tools")
    fails(bad, "unsupported_parameter", lambda: chat_of(c, "x", logprobs=True, top_logprobs=5), "top_logprobs")
    fails(bad, "unsupported_parameter", lambda: chat_of(c, "x", presence_penalty=1), "presence_penalty")
    fails(bad, "invalid_value", lambda: chat_of(c, "x", temperature=9), "temperature")
    fails(bad, "unknown_parameter", lambda: chat_of(c, "x", extra_body={"repetition": 1}), "a field that is none")
    fails(bad, "unsupported_parameter", lambda: c.completions.create(model=name, prompt="x", echo=True), "echo")


async def at_once(url, key):
    async with openai.AsyncOpenAI(base_url=url, api_key=key, timeout=300) as c:
        async def one(i):
            stream = await c.chat.completions.create(model=name, max_tokens=24, temperature=0, stream=True,
                                                     messages=[{"role": "user", "content": f"Say {i % 4}."}])
            return "".join([e.choices[0].delta.content or "" async for e in stream if e.choices])

        texts = await asyncio.gather(*(one(i) for i in range(48)))
        check(all(texts[i] == texts[i % 4] for i in range(48)), "48 streams at once, each as if it were alone")
        stream = await c.chat.completions.create(model=name, max_tokens=4000, temperature=1, stream=True,
                                                 messages=[{"role": "user", "content": "Write a book."}])
        async for _ in stream:
            break
        await stream.close()


def jobs(url):
    with urllib.request.urlopen(url.removesuffix("/v1") + "/health") as r:
        return json.load(r)["jobs"]


def beside(ours, theirs):
    """Greedy texts of both; float32 here, llama.cpp's own rounding there."""
    same_prompt = same_start = 0
    questions = ["What is the capital of France?", "Name three colours.", "Write a haiku.", "What is 2 + 2?",
                 "Why is the sky blue?", "Explain photosynthesis.", "Who wrote Hamlet?", "Translate 'bread' to French."]
    for q in questions:
        a, b = (chat_of(c, q, max_tokens=24) for c in (ours, theirs))
        same_prompt += a.usage.prompt_tokens == b.usage.prompt_tokens
        x, y = a.choices[0].message.content, b.choices[0].message.content
        same_start += x[:12] == y[:12]
    check(same_prompt == len(questions), f"{same_prompt} of {len(questions)} prompts have as many tokens as llama-server's")
    check(2 * same_start >= len(questions), f"{same_start} of {len(questions)} greedy texts begin as llama-server's")


def start_ste(*flags):
    p = subprocess.Popen([ste, "serve", "--judge", model, "--port", "0", *flags], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True)
    for line in p.stdout:
        found = re.search(r"http://[0-9.]+:[0-9]+", line)
        if found:
            return p, found.group(0) + "/v1"
    sys.exit("ste serve did not start")


def main():
    servers = []
    try:
        p, url = start_ste("--no-cache", "--activations", "f32")
        servers.append(p)
        c = openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=300)
        listed = [m.id for m in c.models.list()]
        check(listed[0] == name and c.models.retrieve(name).id == name, f"models: {listed}")
        whole_and_streams(c)
        stops_and_logprobs(c)
        completions(c)
        errors(c)
        asyncio.run(at_once(url, "none"))
        for _ in range(50):
            if jobs(url) == 0:
                break
            time.sleep(0.1)
        check(jobs(url) == 0, "a stream that was left ends")
        if llama:
            servers.append(subprocess.Popen([llama, "-m", model, "--port", "18099", "-c", "4096", "-np", "2"],
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            theirs = openai.OpenAI(base_url="http://127.0.0.1:18099/v1", api_key="none", timeout=300, max_retries=20)
            for _ in range(120):
                try:
                    urllib.request.urlopen("http://127.0.0.1:18099/health")
                    break
                except OSError:
                    time.sleep(0.5)
            beside(c, theirs)
    finally:
        for p in servers:
            p.terminate()
            p.wait()
    print("serve_openai:", "failed" if failed else "ok")
    sys.exit(failed)


main()
