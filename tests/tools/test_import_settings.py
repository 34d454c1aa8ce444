"""make recipe FROM=...: what becomes of other trainers' settings, and which are refused."""

from pathlib import Path

import pytest

from parley.errors import ParleyError
from parley.params import read_yaml
from parley.recipes import flatten
from tools.import_settings import LLAMA_FACTORY, NESTED, OPTIONS, import_settings
from tools.recipe import take

ROOT = Path(__file__).parents[2]

# Every key that the documents name which parley's training is made after.
SCRIPT_KEYS = """\
model.name model.trust_remote_code model.use_cache tokenizer.padding_side tokenizer.trust_remote_code
quantization.load_in_4bit quantization.bnb_4bit_quant_type quantization.bnb_4bit_compute_dtype
quantization.bnb_4bit_use_double_quant lora.r lora.lora_alpha lora.lora_dropout lora.target_modules lora.bias
lora.task_type dataset.name dataset.split dataset.test_size dataset.seed dataset.max_length
chat_template.template_string training.output_dir training.per_device_train_batch_size
training.per_device_eval_batch_size training.gradient_accumulation_steps training.num_train_epochs
training.learning_rate training.warmup_ratio training.optim training.weight_decay training.lr_scheduler_type
training.fp16 training.bf16 training.logging_steps training.eval_strategy training.eval_steps
training.save_strategy training.save_steps training.save_total_limit training.report_to
training.response_template callbacks.early_stopping callbacks.custom_logging callbacks.memory_monitor
callbacks.save_best_model paths.final_model_dir save_merged_model wandb
"""
OPTION_KEYS = """\
model template output-dir dataset-name epochs lr batch-size grad-accum cutoff-len finetuning-type deepspeed
skip-process config
"""
FACTORY_KEYS = """\
dataset dataset_dir report_to template cutoff_len finetuning_type deepspeed
"""

SCRIPT = """\
model: {name: meta-llama/Llama-2-7b-chat-hf, trust_remote_code: true}
tokenizer: {trust_remote_code: true}
quantization:
  load_in_4bit: true
  bnb_4bit_quant_type: nf4
  bnb_4bit_compute_dtype: float16
  bnb_4bit_use_double_quant: true
lora: {r: 8, lora_alpha: 32, lora_dropout: 0.05, target_modules: [q_proj, v_proj], bias: none, task_type: CAUSAL_LM}
dataset: {name: my_custom_sft_dataset, test_size: 0.02, max_length: 1024}
training:
  output_dir: outputs/exp1
  per_device_train_batch_size: 4
  per_device_eval_batch_size: 4
  gradient_accumulation_steps: 8
  num_train_epochs: 3
  learning_rate: 2e-4
  fp16: true
  max_grad_norm: 0.3
  report_to: wandb
callbacks: {early_stopping: {enabled: true, patience: 3}}
paths: {final_model_dir: outputs/exp1/final}
save_merged_model: true
"""
FACTORY = """\
model_name_or_path: Qwen/Qwen2.5-7B-Instruct
stage: sft
do_train: true
finetuning_type: full
deepspeed: examples/deepspeed/ds_z3_offload_config.json
dataset: tau2_sft
dataset_dir: ./workdir
template: qwen
cutoff_len: 12000
output_dir: saves/qwen/tau2
per_device_train_batch_size: 1
gradient_accumulation_steps: 2
learning_rate: 5.0e-6
num_train_epochs: 2.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_every_key_of_the_documents_is_in_the_tables() -> None:
    assert [key for key in SCRIPT_KEYS.split() if key not in NESTED] == []
    assert [key for key in OPTION_KEYS.split() if key not in OPTIONS] == []
    assert [key for key in (*FACTORY_KEYS.split(), *OPTIONS.values()) if key not in LLAMA_FACTORY] == []


def test_every_target_is_a_key_of_params_or_a_field_passed_through() -> None:
    known = flatten(read_yaml(ROOT / "params.yaml")).keys()
    targets = {rule for rule in (*NESTED.values(), *LLAMA_FACTORY.values()) if isinstance(rule, str)}
    assert [key for key in targets if key not in known and not key.startswith(("train.sft.", "train.lora."))] == []


def test_a_scripts_settings_become_a_recipe_of_the_same_name(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert take(checkout, write(checkout, SCRIPT), force=False) == "mine"
    laid = flatten(read_yaml(checkout / "params.yaml"))
    wanted = {
        "recipe": "mine",
        "model.name": "meta-llama/Llama-2-7b-chat-hf",
        "model.trust_remote_code": False,
        "ingest.input": "data/raw",
        "train.mode": "lora",
        "train.quantization": "nf4",
        "train.lora.r": 8,
        "train.lora.alpha": 32,
        "train.lora.dropout": 0.05,
        "train.lora.target_modules": ["q_proj", "v_proj"],
        "train.lora.bias": "none",
        "validate.val_fraction": 0.02,
        "encode.max_length": 1024,
        "train.batch_size": 4,
        "train.accumulation": 8,
        "train.epochs": 3,
        "train.lr": 2e-4,
        "train.precision": "fp16",
        "train.sft.max_grad_norm": 0.3,
        "train.patience": 3,
        "train.best_by": "val_loss",
        "runtime.report_to": ["wandb"],
    }
    assert {key: laid[key] for key in wanted} == wanted
    said = capsys.readouterr().out
    assert "taken: train.lr: 0.0002" in said
    assert "not needed: model.trust_remote_code: no code of a model's runs unasked" in said
    assert "not needed: training.output_dir" in said


def test_llama_factorys_settings_become_a_recipe(checkout: Path) -> None:
    take(checkout, write(checkout, FACTORY), force=False)
    laid = flatten(read_yaml(checkout / "params.yaml"))
    wanted = {
        "model.name": "Qwen/Qwen2.5-7B-Instruct",
        "train.mode": "full",
        "train.strategy": "zero3_offload",
        "encode.max_length": 12000,
        "train.batch_size": 1,
        "train.accumulation": 2,
        "train.lr": 5e-6,
        "train.epochs": 2,
        "train.scheduler": "cosine",
        "train.warmup_ratio": 0.1,
        "train.precision": "bf16",
    }
    assert {key: laid[key] for key in wanted} == wanted


def test_llama_factorys_adapter_has_twice_its_rank_as_alpha_and_all_is_all_linear(tmp_path: Path) -> None:
    found = import_settings(
        write(tmp_path, "stage: sft\nlora_rank: 16\nlora_target: all\nquantization_bit: 4\n")
    ).values
    assert found == {
        "train.lora.r": 16,
        "train.lora.target_modules": "all-linear",
        "train.quantization": "nf4",
        "train.mode": "lora",
        "train.lora.alpha": 32,
    }


def test_a_file_that_is_not_there_is_not_taken_for_params(tmp_path: Path) -> None:
    for name, tail in (
        ("mine.yaml", "mine.yaml is not there"),
        ("params.yaml", "`make recipe NAME=persona` writes one"),
    ):
        with pytest.raises(ParleyError) as stop:
            read_yaml(tmp_path / name)
        assert str(stop.value).endswith(tail)


def test_options_of_a_script_are_read_as_keys(tmp_path: Path) -> None:
    found = import_settings(write(tmp_path, "model: Qwen/Qwen3-8B\nepochs: 3\nlr: 0.00001\nbatch-size: 2\n")).values
    assert found == {"model.name": "Qwen/Qwen3-8B", "train.epochs": 3, "train.lr": 1e-5, "train.batch_size": 2}


def test_all_that_has_no_counterpart_is_refused_at_once_and_nothing_is_written(checkout: Path) -> None:
    before = (checkout / "params.yaml").read_bytes()
    text = FACTORY + "freeze_trainable_layers: 2\nquantization_bit: 8\nneftune_noise_alpha: 5\nnum_train_epochs: 1.5\n"
    text = text.replace("num_train_epochs: 2.0\n", "").replace("stage: sft", "stage: dpo")
    with pytest.raises(ParleyError) as stop:
        take(checkout, write(checkout, text), force=False)
    message = str(stop.value)
    assert "4 settings have no counterpart" in message
    for line in (
        "freeze_trainable_layers: parley has no such setting",
        "stage: 'dpo': parley does supervised fine-tuning",
        "quantization_bit: 8: 4 bits (nf4) or none",
        "num_train_epochs: 1.5: whole epochs only",
    ):
        assert line in message
    assert "neftune" not in message  # a field of SFTConfig that is the user's to set
    assert (checkout / "params.yaml").read_bytes() == before
    assert not (checkout / "recipes/mine.yaml").exists()


def test_a_recipe_of_that_name_is_kept_unless_forced(checkout: Path) -> None:
    (checkout / "recipes/mine.yaml").write_text("from: persona\n")
    with pytest.raises(ParleyError, match=r"recipes/mine\.yaml is there and differs"):
        take(checkout, write(checkout, FACTORY), force=False)
    assert (checkout / "recipes/mine.yaml").read_text() == "from: persona\n"
    take(checkout, write(checkout, FACTORY), force=True)
    assert read_yaml(checkout / "recipes/mine.yaml")["from"] == "generic"


def test_a_file_that_is_not_there_is_named(checkout: Path) -> None:
    with pytest.raises(ParleyError, match=r"FROM=gone\.yaml: no such file"):
        take(checkout, Path("gone.yaml"), force=False)


def test_values_that_parley_refuses_leave_no_recipe_behind(checkout: Path) -> None:
    with pytest.raises(ParleyError, match=r"train\.lr: found 'fast'"):
        take(checkout, write(checkout, FACTORY.replace("5.0e-6", "fast")), force=False)
    assert not (checkout / "recipes/mine.yaml").exists()


def test_processed_data_keep_no_steps_and_raw_data_are_the_agents(tmp_path: Path) -> None:
    path = tmp_path / "options.yaml"
    path.write_text("model: Qwen/Qwen3-8B\nskip-process: true\n")
    assert import_settings(path).values["convert.transforms"] == []
    path.write_text("model: Qwen/Qwen3-8B\nskip-process: false\n")
    with pytest.raises(ParleyError, match="make recipe NAME=agent"):
        import_settings(path)
