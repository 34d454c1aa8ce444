import torch
from workspace import PARAMS

from parley.encoding.examples import Example
from parley.params import read_section
from parley.training.rows import packed_rows
from parley.training.sft import Train


class Sized(torch.nn.Module):
    """All that is asked of a model here: how many tokens it knows."""

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return torch.nn.Embedding(10, 1)


def test_rows_are_packed_where_encode_left_no_validation_example() -> None:
    params = read_section(PARAMS.parent, "train", Train).model_copy(update={"packing": True, "best_by": "last"})
    train = [Example("a", [1, 2, 3], [-100, 2, 3]), Example("b", [4, 5, 6], [-100, 5, 6])]
    rows, val = packed_rows(train, [], Sized(), params, prove=False)  # type: ignore[arg-type]
    assert (rows.rows, val.rows) == ([[0], [1]], [])
