"""Packing: several examples in one sequence, with the boundaries that keep them apart.

`best_fit` decides which examples share a sequence; `flatten` lays the examples of a batch end to end in
one row, so that nothing is ever padded. Two examples of 3 and 2 tokens become

    input_ids [[7, 8, 9, 4, 5]]   position_ids [[0, 1, 2, 0, 1]]   labels [[-100, 8, 9, -100, 5]]
    cu_seq_lens_q [0, 3, 5]       max_length_q 3
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Any

IGNORED = -100  # the label of a token that is not trained


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Every index of `lengths` (tokens) once, in groups of at most `capacity` tokens: best-fit decreasing.

    Longest first, each into the group with the least room that still takes it. Equal lengths keep their order.
    """
    groups: list[list[int]] = []
    by_room: dict[int, list[int]] = {}  # free tokens -> groups with exactly that many
    rooms: list[int] = []  # the keys of by_room, ascending
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if lengths[index] > capacity:
            raise ValueError(f"an example of {lengths[index]} tokens does not fit into {capacity}")
        place = bisect_left(rooms, lengths[index])
        if place == len(rooms):
            group, room = len(groups), capacity
            groups.append([])
        else:
            room = rooms[place]
            group = by_room[room].pop()
            if not by_room[room]:
                del by_room[room], rooms[place]
        groups[group].append(index)
        left = room - lengths[index]
        if left not in by_room:
            by_room[left] = []
            insort(rooms, left)
        by_room[left].append(group)
    return groups


def flatten(
    ids: Sequence[Sequence[int]], labels: Sequence[Sequence[int]], weights: Sequence[Sequence[float] | None] = ()
) -> dict[str, Any]:
    """One row of all examples, as a model takes it: tensors of shape (1, tokens), and the examples' bounds.

    No attention mask: with one, or with use_cache, transformers stops seeing where examples begin and lets
    them attend to each other. The first label of each example is ignored: nothing before it predicts it.
    `weights` is there only if some example has any; None stands for ones.
    """
    import torch

    lengths = [len(example) for example in ids]
    targets = [torch.tensor(example, dtype=torch.long) for example in labels]
    for target in targets:
        target[0] = IGNORED
    weighted = {}
    if any(weights):
        rows = [torch.tensor(given or [1.0] * length) for given, length in zip(weights, lengths, strict=True)]
        weighted["weights"] = torch.cat(rows)[None]
    bounds = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    return {
        "input_ids": torch.cat([torch.tensor(example, dtype=torch.long) for example in ids])[None],
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "labels": torch.cat(targets)[None],
        **weighted,
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
    }
