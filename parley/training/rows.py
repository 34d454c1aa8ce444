"""What training reads: encoded examples, packed into rows, refused when they cannot train. No torch at import."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from parley.encoding.examples import Example
from parley.encoding.packing import IGNORED, best_fit, flatten
from parley.errors import ParleyError
from parley.training.sft import Train

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Rows:
    """Examples and the rows they are packed into."""

    examples: Sequence[Example]
    rows: Sequence[Sequence[int]]  # indices of examples

    def batch(self, rows: Sequence[int]) -> dict[str, Any]:
        """The flattened batch of some rows; `examples` holds the indices, for errors."""
        indices = [index for row in rows for index in self.rows[row]]
        found = [self.examples[index] for index in indices]
        flat = flatten(
            [example.input_ids for example in found],
            [example.labels for example in found],
            [example.weights for example in found],
        )
        return {**flat, "examples": indices}


def packed_rows(
    train: list[Example], val: list[Example], model: "PreTrainedModel", params: Train, *, prove: bool
) -> tuple[Rows, Rows]:
    """Both splits in rows as long as the longest training example, or one example each; refuses what cannot train.

    prove: that examples of a row do not see each other, which takes a model whose weights are all here.
    """
    from parley.training.attention import prove_isolation

    if not train:
        raise ParleyError("data/encoded/train.parquet holds no example: see metrics/encode.json for what was dropped")
    if not val and params.best_by != "last":
        raise ParleyError(
            f"train.best_by is {params.best_by}, and data/encoded/val.parquet holds no example: take last"
        )
    size = model.get_input_embeddings().num_embeddings
    for example in (*train, *val):
        if max(example.input_ids) >= size:
            raise ParleyError(
                f"example {example.id} has token {max(example.input_ids)}, the base model knows {size}: "
                "tokenizer and weights do not belong together; look at model.name, then `dvc repro -f base`"
            )
        if all(label == IGNORED for label in example.labels[1:]):
            raise ParleyError(f"example {example.id} has no trained token: run `dvc repro -f encode`")
    if prove and (params.packing or params.batch_size > 1):
        prove_isolation(model, min((example.input_ids for example in train), key=lambda ids: abs(len(ids) - 64)))
    longest = max(len(example.input_ids) for example in train)
    packed = []
    for examples in (train, val):
        lengths = [len(example.input_ids) for example in examples]
        groups = best_fit(lengths, max([longest, *lengths])) if params.packing else [[i] for i in range(len(lengths))]
        packed.append(Rows(examples, groups))
    return packed[0], packed[1]
