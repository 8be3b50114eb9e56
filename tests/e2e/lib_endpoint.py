"""A server of paper for endpoint.sh: it answers from a hash of what it is asked, as vLLM, llama-server or a plain
OpenAI-compatible server would, and commits the faults that real ones and what stands before them commit.

lib_endpoint.py DIR KIND [FAULT [TIMES]]: KIND is vllm, llama, sglang, openai or votes (openai without log-probabilities). Each
question meets FAULT so many TIMES before it is answered; "mix": a fault of its own. DIR/port says where it listens;
DIR/served.jsonl has a line for each reply that went out whole, DIR/billed.jsonl one for each that a hosted server would
take money for, with its tokens. Settings by the environment: KEY (asked for), CLOSE
(keep-alive ends after so many requests), LOADING (so many requests are told that the model is loading), LIES (fields
that are passed over in silence), SLOW (seconds for each answer), STOP (exits after so many answers), TLS (a folder with cert.pem
and key.pem), SILENCE (seconds of that fault), SPACE (a text by itself is tokenized behind a space, as SentencePiece does). Adapters: LORA (vllm: they can be loaded; "silent": but are not in force),
LORAS (llama: files that it is started with), LOSE (forgets all of them after so many answers), SEES (HERE=THERE: it sees the
folder HERE as THERE).
"""
import hashlib
import http.server
import json
import math
import os
import re
import socket
import struct
import sys
import threading
import time

folder, kind = sys.argv[1:3]
fault = sys.argv[3] if len(sys.argv) > 3 else "none"
times = int(sys.argv[4]) if len(sys.argv) > 4 else 1
key, close, loading = os.environ.get("KEY"), int(os.environ.get("CLOSE", 0)), int(os.environ.get("LOADING", 0))
lies, slow, stop = os.environ.get("LIES", "").split(), float(os.environ.get("SLOW", 0)), int(os.environ.get("STOP", 0))
lock = threading.Lock()
tries, served, billed = {}, *(open(os.path.join(folder, f), "a") for f in ("served.jsonl", "billed.jsonl"))
seen = answered = 0
lora, lose = os.environ.get("LORA"), int(os.environ.get("LOSE", 0))
space = os.environ.get("SPACE")
stored = {}  # what was in force when a prompt was read first, of llama
loaded = {}  # name: what makes its answers other ones
HE, START, END = 256, 257, 258  # ids beside those of the 256 bytes: the tokens of lib_tiny.py's model
SPECIAL = {"<|im_start|>": START, "<|im_end|>": END}
MIX = ["429", "429-after", "500", "503", "reset", "reset-body", "cut", "garbage", "null", "index", "twice", "error",
       "unknown", "array", "abort", "none", "none"]


def bill(prompt, completion):
    """As usage has it; a third of what is read was in the cache."""
    with lock:
        billed.write(json.dumps([prompt, prompt // 3, completion]) + "\n")
        billed.flush()
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": prompt // 3}}


def share(*of):
    return int.from_bytes(hashlib.sha256(json.dumps(of).encode()).digest()[:6], "big") / 2**48


def template(messages):
    text = "".join("<|im_start|>%s\n%s<|im_end|>\n" % (m["role"], m["content"]) for m in messages)
    return text + ("<|im_start|>assistant\n" if messages[-1]["role"] == "user" else "")


def ids_of(text, special):
    ids = []
    for part in re.split("(%s)" % "|".join(map(re.escape, SPECIAL)), text) if special else [text]:
        if special and part in SPECIAL:
            ids.append(SPECIAL[part])
        else:
            for i, word in enumerate(part.split("he")):
                ids += ([HE] if i else []) + list(word.encode())
    return ids


def text_of(ids):
    return b"".join(b"he" if i == HE else bytes([i]) if i < 256 else b"" for i in ids).decode()


def weights(path):
    """What an adapter's file makes of the model."""
    here, _, there = os.environ.get("SEES", "").partition("=")
    path = path.replace(there, here, 1) if there and path.startswith(there) else path if not there else "/nowhere"
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


# llama-server's ids are the places in its list
lists = [{"id": i, "path": p, "scale": 1.0} for i, p in enumerate(filter(None, os.environ.get("LORAS", "").split(",")))]
files = [weights(x["path"]) for x in lists]


def write(ids, seed, stops, limit, by):
    """What the model writes: text, why it ends, the stop that ended it."""
    prompt = text_of(ids)
    ids = ids + by
    number = re.findall(r"Question (\d+)\?", prompt)
    about = "question %s" % number[-1] if number else "the request"
    verdict = "AB"[share(ids, "verdict") < 0.5]
    text = "I read %s, sample %d. The better answer is\nVerdict: [[%s]]" % (about, share(ids, seed) * 1e9, verdict)
    at = [(text.find(s) + len(s), s) for s in stops or [] if s in text]
    if at:
        end, stop = min(at)
        return text[:end], "stop", stop
    if limit and limit < len(text):
        return text[:limit], "length", None
    return text, "stop", None


def label_logprob(ids, token, by=[]):
    ids = ids + by
    if token not in (65, 66):
        return -9.0
    a = 0.1 + 0.8 * share(ids, "label")
    return math.log(0.95 * (a if token == 65 else 1 - a))


class Cut(Exception):
    pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    done = 0

    def log_message(self, *args):
        pass

    def send(self, value, status=200, headers=(), record=None):
        global answered
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.done += 1
        if close and self.done >= close:
            self.close_connection = True
        self.send_response(status)
        for h in headers:
            self.send_header(*h)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not record:
            self.wfile.write(body)
            self.wfile.flush()
            return
        with lock:  # or the exit below falls between another reply and its line
            self.wfile.write(body)
            self.wfile.flush()
            served.write(json.dumps(record) + "\n")
            served.flush()
            answered += 1
            if stop and answered >= stop:
                os._exit(0)

    def refuse(self, status, message, headers=()):
        self.send({"error": {"message": message, "type": "error", "code": status}}, status, headers)

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        raise Cut

    def partly(self, body, whole):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % whole)
        self.wfile.write(body)
        self.wfile.flush()

    def common(self):
        """False: the request is answered already."""
        global seen
        with lock:
            seen += 1
            wait = seen <= loading
        if wait:
            self.refuse(503, "Loading model")
            return False
        if key and self.headers.get("Authorization") != "Bearer " + key:
            self.refuse(401, "Wrong key: %s" % self.headers.get("Authorization"))
            return False
        return True

    def do_GET(self):
        if not self.common():
            return
        if self.path == "/lora-adapters" and kind == "llama":
            self.send(lists)
        elif self.path == "/v1/models":
            owner = {"vllm": "vllm", "llama": "llamacpp", "sglang": "sglang"}.get(kind, "somebody")
            self.send({"object": "list", "data": [
                {"id": "paper", "owned_by": owner, "root": "/models/paper", "max_model_len": 4096, "meta": {"n_vocab": 259}}] + [
                {"id": name, "owned_by": owner, "root": "/adapter", "parent": "paper", "max_model_len": None} for name in loaded]})
        elif self.path == "/version" and kind == "vllm":
            self.send({"version": "0.0.1"})
        elif self.path == "/props" and kind == "llama":
            self.send({"build_info": "b1", "model_path": "/paper.gguf", "default_generation_settings": {"n_ctx": 4096}})
        else:
            self.refuse(404, "no such route")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            if self.common():
                self.answer(json.loads(body), hashlib.sha256(self.path.encode() + body).hexdigest())
        except (Cut, BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def adapters(self, b):
        """vLLM 0.32's own words."""
        name, path = b.get("lora_name"), b.get("lora_path")
        if kind == "sglang" and name in loaded and path:
            return self.send({"success": False, "error_message": "LoRA with name %s already exists." % name}, 400)
        if self.path.endswith("/unload_lora_adapter"):
            if loaded.pop(name, None) is None:
                return self.refuse(404, "The lora adapter '%s' cannot be found." % name)
            return self.send(b"Success: LoRA adapter '%s' removed successfully." % name.encode())
        if not name or not path:
            return self.refuse(400, "1 validation error:\n  {'type': 'missing', 'loc': ('body', 'lora_name')}")
        if name in loaded:
            return self.refuse(400, "The lora adapter '%s' has already been loaded. If you want to load the adapter in place, "
                                    "set 'load_inplace' to True." % name)
        try:
            made = weights(os.path.join(path, "adapter_model.safetensors"))
        except OSError:
            return self.refuse(404, "Loading lora %s failed: No adapter found for %s" % (name, path))
        rank = json.load(open(os.path.join(path, "adapter_config.json")))["r"] if not os.environ.get("SEES") else 1
        if rank > 16:
            return self.refuse(500, "Call to add_lora method failed: Worker failed with error 'LoRA rank %d is greater than "
                                    "max_lora_rank 16.', please check the stack trace above for the root cause" % rank)
        loaded[name] = "" if lora == "silent" else made
        self.send(b"Success: LoRA adapter '%s' added successfully." % name.encode())

    def adapter(self, b):
        """What makes the answers to B other ones, as a list; None: there is no such model."""
        if kind == "llama":
            on = {x["id"]: x["scale"] for x in b.get("lora") or lists}
            made = [files[i] for i in range(len(files)) if on.get(i)]
            return made
        if kind not in ("vllm", "sglang") or b.get("model") == "paper":
            return []
        made = loaded.get(b.get("model").removeprefix("paper:" if kind == "sglang" else ""))
        return None if made is None else [made] if made else []

    def answer(self, b, address):
        global lose
        if lora and self.path in {"vllm": ["/v1/load_lora_adapter", "/v1/unload_lora_adapter"],
                                  "sglang": ["/load_lora_adapter", "/unload_lora_adapter"]}.get(kind, []):
            return self.adapters(b)
        routes = {"vllm": ["/tokenize", "/v1/completions"], "llama": ["/tokenize", "/apply-template", "/completion"]}
        if self.path not in ["/v1/chat/completions"] + routes.get(kind, []):
            return self.refuse(404, "no such route")
        if self.path == "/apply-template":
            return self.send({"prompt": template(b["messages"])})
        if self.path == "/tokenize":
            text = template(b["messages"]) if "messages" in b else b.get("prompt", b.get("content"))
            text = text if not space or text.startswith(tuple(SPECIAL)) else " " + text
            return self.send({"tokens": ids_of(text, "messages" in b or b.get("parse_special", False))})
        by = self.adapter(b)
        if by and lose and answered >= lose and "Question" in text_of(b.get("prompt", [])):
            lose, by = 0, None
            loaded.clear()
            open(os.path.join(folder, "lost"), "w").close()
        if by is None:
            return self.refuse(404, "The model `%s` does not exist. Valid aliases: paper." % b.get("model"))
        ids = b["prompt"] if "prompt" in b else ids_of(template(b["messages"]), True)
        if kind == "llama" and b.get("cache_prompt", True) and "Question" in text_of(ids):
            by = stored.setdefault(tuple(ids), by)  # as the real one: its store of prompts does not know adapters
        number = re.findall(r"Question (\d+)\?", text_of(ids))
        if number and self.faulty(address, b, ids):
            return
        if number == ["13"]:
            return self.refuse(400, "This model's maximum context length is 4096 tokens. However, ...")
        if number == ["14"]:
            return self.refuse(400, "this text is not liked here")
        time.sleep(slow)
        reply, text = self.reply(b, ids, by)
        self.send(reply, record={"address": address, "text": text, "adapter": "".join(by)[:8]} if number else None)

    def reply(self, b, ids, by):
        limit = b.get("max_completion_tokens") or b.get("max_tokens") or b.get("n_predict")
        one = limit == 1
        text, why, stop_at = write(ids, b["seed"] if not one else 0, b.get("stop"), limit, by)
        probs = b.get("n_probs") and kind == "llama"
        if self.path == "/completion":
            top = sorted(((label_logprob(ids, i, by), i) for i in range(259)), reverse=True)[: b.get("n_probs", 0)]
            if len(top) < 259 and share(ids) < 0.3:
                top = top[2:]  # a label is not among the likeliest: all of them must be asked for
            ended = why == "stop" and not stop_at  # its ids have the end of the turn in them, or not, by version
            written = ids_of(text, False) + ([END] if ended and share(ids) < 0.5 else [])
            r = {"content": text if not stop_at else text[: -len(stop_at)], "tokens": [top[0][1]] if one and probs else written,
                 "stop_type": "limit" if why == "length" else "word" if stop_at else "eos", "stopping_word": stop_at or "",
                 "truncated": False}
            r.update(tokens_evaluated=len(ids), tokens_predicted=len(text) + ended, timings={"cache_n": len(ids) // 3})
            bill(len(ids), len(text) + ended)
            if probs and "n_probs" not in lies:
                r["completion_probabilities"] = [{"id": top[0][1], "top_logprobs": [
                    {"id": i, "token": chr(i), "logprob": p} for p, i in top]}]
            return r, text
        choice = {"index": 0, "finish_reason": why, "stop_reason": stop_at}
        r = {"id": "x", "choices": [choice]}
        if kind == "vllm" and b.get("return_token_ids") and "return_token_ids" not in lies:
            choice["token_ids"] = ids_of(text, False) + ([END] if why == "stop" and not stop_at else [])
            if self.path == "/v1/chat/completions":
                r["prompt_token_ids"] = ids
        if self.path == "/v1/completions":
            choice["text"] = text
            r["usage"] = bill(len(ids), len(text))
            if "logprobs" in b:
                wanted = b.get("logprob_token_ids", []) if "logprob_token_ids" not in lies else []
                choice["logprobs"] = {"top_logprobs": [{"token_id:%d" % i: label_logprob(ids, i, by) for i in wanted + [73]}]}
            return r, text
        if "Reply with A or B" in b["messages"][-1]["content"]:
            p = {t: label_logprob(ids, ord(t), by) for t in "AB"}
            text = max(p, key=p.get) + ("." if kind == "votes" else "")
            if b.get("logprobs") and kind in ("openai", "sglang") and "logprobs" not in lies:
                choice["logprobs"] = {"content": [{"token": text, "logprob": p[text], "top_logprobs": [
                    {"token": t, "logprob": q} for t, q in p.items()]}]}
        choice["message"] = {"role": "assistant", "content": text}
        r["usage"] = bill(len(ids), len(text))
        return r, text

    def faulty(self, address, b, ids):
        """Commits a fault; False: it is the question's turn to be answered."""
        with lock:
            tries[address] = tries.get(address, 0) + 1
            if tries[address] > times:
                return False
        f = MIX[int(share(address) * len(MIX))] if fault == "mix" else fault
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "wrong"},
                  "text": "wrong", "token_ids": [1]}
        if f in ("reset-body", "cut", "garbage", "array", "null", "index", "twice", "unknown", "abort"):
            bill(len(ids), b.get("max_completion_tokens") or b.get("max_tokens") or 1)
        ok = lambda *c: self.send({"choices": list(c), "prompt_token_ids": [1]})
        if f == "none":
            return False
        elif f == "429":
            self.refuse(429, "Rate limit reached")
        elif f == "429-after":
            self.refuse(429, "Rate limit reached", [("Retry-After", "1")])
        elif f == "500":
            self.refuse(500, "EngineCore encountered an issue")
        elif f == "503":
            self.refuse(503, "Loading model")
        elif f == "reset":
            self.reset()
        elif f == "reset-body":
            self.partly(b'{"choices": [', 500)
            self.reset()
        elif f == "cut":
            self.partly(b'{"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "wro', 500)
            raise Cut
        elif f == "garbage":
            self.send(b"<html><title>Bad gateway</title></html>")
        elif f == "array":
            self.send([])
        elif f == "null":
            ok(dict(choice, message={"role": "assistant", "content": None}, text=None))
        elif f == "index":
            ok(dict(choice, index=1))
        elif f == "twice":
            ok(choice, choice)
        elif f == "error":
            self.send({"error": {"message": "it went wrong later", "code": 500}})
        elif f == "unknown":
            ok(dict(choice, finish_reason="content_filter"))
        elif f == "abort":
            ok(dict(choice, finish_reason="abort"))
        elif f == "silence":
            time.sleep(float(os.environ.get("SILENCE", 15)))
            raise Cut
        elif f == "redirect":
            self.send({}, 307, [("Location", "http://127.0.0.1:9/v1/elsewhere")])
        elif f == "later":
            self.refuse(429, "Quota of the hour is used up", [("Retry-After", "3600")])
        elif f == "quota":
            self.send({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, 429)
        elif f == "huge":
            self.send({}, 429, [("Retry-After", "soon"), ("retry-after-ms", "-5")])
        return True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 4096

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (Cut, OSError, ValueError)):
            super().handle_error(request, client_address)


server = Server(("127.0.0.1", int(os.environ.get("PORT", 0))), Handler)
if os.environ.get("TLS"):
    import ssl
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(os.environ["TLS"] + "/cert.pem", os.environ["TLS"] + "/key.pem")
    server.socket = tls.wrap_socket(server.socket, server_side=True)
with open(os.path.join(folder, "port.new"), "w") as f:
    f.write(str(server.server_address[1]))
os.rename(os.path.join(folder, "port.new"), os.path.join(folder, "port"))
server.serve_forever()
