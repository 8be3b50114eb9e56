"""python_lm_eval.py STE: ste.integrations.lm_eval as the metric of a task of its own, in a real `lm_eval` run: its dummy
model, and a tiny random model of transformers."""
import json, os, subprocess, sys, tempfile
from pathlib import Path
from lib_ste import JUDGE, QUESTIONS, ok
import ste

TASK = """task: ste_questions
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 16}
process_results: !function judging.process_results
metric_list:
  - {metric: ste_win, aggregation: !function judging.ste_win, higher_is_better: true}
  - {metric: ste_chance, aggregation: !function judging.ste_chance, higher_is_better: true}
"""


def tiny(folder):
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(1)
    vocab = {t: i for i, t in enumerate(["<pad>", "<eos>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    raw = Tokenizer(models.BPE(vocab, []))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>").save_pretrained(folder)
    LlamaForCausalLM(LlamaConfig(vocab_size=len(vocab), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                                 num_attention_heads=2, num_key_value_heads=2, pad_token_id=0, eos_token_id=1,
                                 max_position_embeddings=512)).save_pretrained(folder)  # fmt: skip


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    (folder / "rows.jsonl").write_text("".join(json.dumps({"question": q, "answer": bad}) + "\n" for q, _, bad in QUESTIONS))
    (folder / "task.yaml").write_text(TASK % (folder / "rows.jsonl"))
    (folder / "judging.py").write_text(
        "from ste.integrations.lm_eval import against_reference\n"
        f"process_results, ste_win, ste_chance = against_reference({JUDGE!r})\n")  # fmt: skip
    tiny(folder / "tiny")
    for model, arguments in (("dummy", ""), ("hf", f"pretrained={folder}/tiny,dtype=float32")):
        done = subprocess.run([sys.executable, "-m", "lm_eval", "--model", model, "--model_args", arguments, "--tasks",
                               "ste_questions", "--include_path", name, "--output_path", f"{name}/out-{model}", "--device", "cpu",
                               "--log_samples", "--batch_size", "4"],
                              capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": name})  # fmt: skip
        ok(f"lm_eval with {model} ended", done.returncode == 0, done.stderr[-3000:] if done.returncode else "")
        result = json.loads(next((folder / f"out-{model}").rglob("results_*.json")).read_text())["results"]["ste_questions"]
        samples = [json.loads(line) for line in next((folder / f"out-{model}").rglob("samples_*.jsonl")).read_text().splitlines()]
        with ste.Judge(JUDGE) as judge:
            verdicts = judge.compare_many((s["doc"]["question"], s["resps"][0][0], s["doc"]["answer"]) for s in samples)
        from ste.integrations import chance, points

        win, mean = (sum(map(f, verdicts)) / len(verdicts) for f in (points, chance))
        ok("ste_win", abs(result["ste_win,none"] - win) < 1e-9, result["ste_win,none"])
        ok("ste_chance", abs(result["ste_chance,none"] - mean) < 1e-9, result["ste_chance,none"])
