"""A trainer that trains nothing, by the contract of trainers/README.md: lib_trainer.py FOLDER. FAKE names what it does wrong,
FAKE_STEP the seconds of a step, FAKE_ADAPTER a folder of adapters whose iter-N it leaves (else it makes one)."""
import json, os, shutil, signal, struct, subprocess, sys, time

folder, fault = sys.argv[-1], os.environ.get("FAKE", "")
in_folder = lambda *names: os.path.join(folder, *names)
job = json.load(open(in_folder("job.json")))
stopped = []
signal.signal(signal.SIGTERM, signal.SIG_IGN if fault == "deaf" else lambda *a: stopped.append(1))


def tell(**row):
    with open(in_folder("progress.jsonl"), "a") as f:
        f.write(json.dumps(row) + "\n")


def keep(step):
    name = f"checkpoint-{step}"
    os.makedirs(in_folder(name), exist_ok=True)
    with open(in_folder(name, "state"), "w") as f:
        f.write(str(step))
    tell(step=step, checkpoint=name)


def edit(path, change):
    """Rewrites the file of tensors at PATH: CHANGE(name, its entry in the head, its floats) gives the floats."""
    data = open(path, "rb").read()
    n, = struct.unpack("<Q", data[:8])
    head, body = json.loads(data[8:8 + n]), b""
    for name, t in head.items():
        if name == "__metadata__":
            continue
        a, b = t["data_offsets"]
        values = change(name, t, list(struct.unpack(f"<{(b - a) // 4}f", data[8 + n + a:8 + n + b])))
        t["data_offsets"] = [len(body), len(body) + 4 * len(values)]
        body += struct.pack(f"<{len(values)}f", *values)
    h = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(h)) + h + body)


def adapter():
    ready = os.environ.get("FAKE_ADAPTER")
    source = os.path.join(ready, os.path.basename(folder)) if ready else in_folder("start")
    shutil.copytree(source, in_folder("adapter"), dirs_exist_ok=True)
    config, weights = in_folder("adapter", "adapter_config.json"), in_folder("adapter", "adapter_model.safetensors")
    c = json.load(open(config))
    c["base_model_name_or_path"] = "/some/where/hf"
    c["r"] = 1 if fault == "rank" else c["r"]
    json.dump(c, open(config, "w"))
    if not ready:
        edit(weights, lambda name, t, v: [0.01] * len(v) if "lora_B" in name else v)
    if fault == "nan":
        edit(weights, lambda name, t, v: [float("nan")] + v[1:])
    if fault == "shape":
        def shorter(name, t, v):
            t["shape"][0] -= "lora_B" in name
            return v[:t["shape"][0] * t["shape"][1]]
        edit(weights, shorter)
    if fault == "torn":
        os.truncate(weights, 500)


def mark(steps):
    with open(in_folder("complete.json.tmp"), "w") as f:
        json.dump({"steps": steps}, f)
    os.rename(in_folder("complete.json.tmp"), in_folder("complete.json"))


if fault == "session" and os.environ.get("FAKE_CHILD") != "1":  # as torchrun: the work is done in another session
    child = subprocess.Popen([sys.executable] + sys.argv, start_new_session=True, env={**os.environ, "FAKE_CHILD": "1"})
    time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)
done = int(open(in_folder(job["resume"], "state")).read()) if job["resume"] else 0
print(f"begins at {done}", flush=True)
for fd in os.listdir("/proc/self/fd"):
    if int(fd) > 2 and os.path.exists(f"/proc/self/fd/{fd}"):  # that of the list itself is closed by now
        print("inherits " + os.readlink(f"/proc/self/fd/{fd}"), flush=True)
if fault == "exit":
    print("Traceback of many lines\nRuntimeError: no such device\x1b[0m", flush=True)
    sys.exit(1)
if fault == "error":
    tell(error="the base is not there")
    print("=" * 400, flush=True)
    sys.exit(1)
if fault == "garbage":
    with open(in_folder("progress.jsonl"), "ab") as f:
        f.write(b'{"step": 1\n\xff\xfe\n{"step": 99, "loss": 1}\n{"step": 1, "loss": NaN}\n[]\n\n' + b"x" * 3000000 + b'\n{"step": 1, "lo')
for step in range(done + 1, job["steps"] + 1):
    time.sleep(float(os.environ.get("FAKE_STEP", "0")))
    tell(step=step, loss=2.0 / step, lr=job["lr"], grad_norm=0.5)
    if stopped:
        keep(step)
        sys.exit(75)
    if step % job["checkpoint_every"] == 0:
        keep(step)
    if step == 3 and fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if step == 3 and fault == "half":
        adapter()
        mark(step)
        sys.exit(0)
adapter()
if fault == "late":
    sys.exit(1)
if fault != "unmarked":
    mark(job["steps"])
