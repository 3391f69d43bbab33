"""AutoTrain as it was recorded: a program that leaves the files and the log that the real one left, in a second.

The log is that of AutoTrain 0.8.36 on 12 rows; the adapter is a real one, made for the tiny model by peft. Like the
real one it exits with 0, whatever happened.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from harness.tuners import autotrain_env

PROGRAM = """#!{python}
import json, pathlib, shutil, sys, time

home = pathlib.Path({home!r})
mode = (home / "mode").read_text()
with (home / "starts").open("a") as file:
    file.write("x")
config = json.load(open(sys.argv[2]))
assert (pathlib.Path("data") / "train.jsonl").exists()
out = pathlib.Path(config["project_name"])
out.mkdir()
params = dict(config["params"], model=config["base_model"])
(out / "training_params.json").write_text(json.dumps(params))
log = (home / "log.txt").read_text().splitlines()
if mode == "slow":
    while not (home / "go").exists():
        time.sleep(0.02)
if mode == "fails":
    print("ERROR    | autotrain.trainers.common:wrapper:215 - KeyError: 'messages'", file=sys.stderr)
    sys.exit(0)
for line in log:
    print(line, file=sys.stderr, flush=True)
for name in ("adapter_config.json", "adapter_model.safetensors"):
    shutil.copyfile(home / "adapter" / name, out / name)
if mode == "cut":
    whole = (out / "adapter_model.safetensors").read_bytes()
    (out / "adapter_model.safetensors").write_bytes(whole[:-10])
(out / "README.md").write_text("card")
"""


def environment(home: Path, base: Path) -> Path:
    """A folder that looks like AutoTrain's virtual environment; `mode` says what its program does."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    (home / "bin").mkdir(parents=True)
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # peft asks for what transformers renamed
        get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(str(home / "adapter"))
    recorded = Path(__file__).parent / "data" / "autotrain.log"
    (home / "log.txt").write_text(recorded.read_text("utf-8"), "utf-8")
    program = home / "bin" / "autotrain"
    program.write_text(PROGRAM.format(python=sys.executable, home=str(home)), "utf-8")
    program.chmod(0o755)
    (home / "mode").write_text("works", "utf-8")
    (home / autotrain_env.READY).write_text(autotrain_env.digest(), "utf-8")
    return home
