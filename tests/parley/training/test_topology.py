"""Strategies: what cannot run here is refused before anything starts, and what runs is what was asked for."""

import json
import shutil
from pathlib import Path

import pytest

from parley.errors import ParleyError
from parley.training.topology import DEEPSPEED, check_strategy, deepspeed_file, prove, prove_cut, settings, sharded

ROOT = Path(__file__).parents[3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / DEEPSPEED, tmp_path / DEEPSPEED)
    return tmp_path


def test_each_deepspeed_file_is_of_its_stage_and_leaves_sizes_and_precision_to_train(root: Path) -> None:
    stages = {"zero2": 2, "zero3": 3, "zero3_offload": 3}
    assert sorted(stages) == sorted(path.stem for path in (root / DEEPSPEED).iterdir())
    for name, stage in stages.items():
        found = json.loads((root / DEEPSPEED / f"{name}.json").read_text())
        assert found["zero_optimization"]["stage"] == stage
        assert ("offload_param" in found["zero_optimization"]) == (name == "zero3_offload")
        for key in ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"):
            assert found[key] == "auto"
        assert found["bf16"]["enabled"] == found["fp16"]["enabled"] == "auto"
        assert sharded(root, name) == (stage == 3)


def test_a_file_of_ones_own_goes_by_stem_or_path(root: Path) -> None:
    (root / DEEPSPEED / "mine.json").write_text('{"zero_optimization": {"stage": 1}}')
    assert deepspeed_file(root, "mine") == deepspeed_file(root, "recipes/deepspeed/mine.json")
    assert settings(root, "mine") == {"deepspeed": str(root / DEEPSPEED / "mine.json")}
    (root / DEEPSPEED / "mine.json").write_text("{")
    with pytest.raises(ParleyError, match=r"mine\.json: not JSON"):
        deepspeed_file(root, "mine")


@pytest.mark.parametrize(
    ("strategy", "processes", "quantization", "message"),
    [
        ("single", 2, "none", "train.processes is 2, train.strategy single is one process"),
        ("zero4", 2, "none", "did you mean 'zero3' or 'zero2'"),
        ("/tmp/zero2.json", 2, "none", "Settings of your own go into recipes/deepspeed/NAME.json"),
        ("fsdp2", 2, "nf4", "cannot cut 4-bit weights"),
    ],
)
def test_a_strategy_that_cannot_be_is_refused(
    root: Path, strategy: str, processes: int, quantization: str, message: str
) -> None:
    with pytest.raises(ParleyError, match=message):
        check_strategy(root, strategy, processes, quantization=quantization)


def test_deepspeed_that_is_missing_is_named_with_how_to_install_it(root: Path) -> None:
    from importlib.util import find_spec

    if find_spec("deepspeed") is not None:
        pytest.skip("DeepSpeed is installed")
    with pytest.raises(ParleyError, match=r"pip install deepspeed==0\.19\.8"):
        check_strategy(root, "zero2", 2, quantization="none")


def test_deepspeed_needs_a_gpu(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    (root / DEEPSPEED / "mine.json").write_text("{}")
    (root / "deepspeed.py").touch()
    monkeypatch.syspath_prepend(root)
    with pytest.raises(ParleyError, match="mine needs a GPU; without one there is single, ddp or fsdp2"):
        check_strategy(root, "mine", 2, quantization="none")
    check_strategy(root, "fsdp2", 2, quantization="none")


def test_whole_weights_are_no_fsdp2() -> None:
    from torch.nn import Linear

    with pytest.raises(ParleyError, match="2 weights are whole in every process, weight first"):
        prove_cut(Linear(2, 2))


def test_one_process_is_no_proof_of_two(root: Path) -> None:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    prove(accelerator, "single", 1)
    for strategy, processes in (("ddp", 2), ("fsdp2", 1), ("zero2", 1)):
        with pytest.raises(ParleyError, match=f"{strategy} over {processes} .* what runs is NO over 1"):
            prove(accelerator, strategy, processes)
