"""A picture as input: 8-bit RGB pixels go in, the normalisation is part of the program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from edgetok.errors import ExportFailed
from edgetok.verify.mil.runner import IMAGE_KEY
from edgetok_exporters.coreml.prepare import full, settled

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgetok.graph.program import Program
    from edgetok_exporters.coreml import Options

aten = torch.ops.aten


def check(program: Program, options: Options) -> None:
    """Refuse a program that takes no single RGB picture.

    Raises:
        ExportFailed: it has other inputs, another rank, or the batch is not 1.
    """
    if not options.image:
        return
    shapes = [spec.shape for spec in program.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] != 3 or options.batch != 1 or options.batches:
        raise ExportFailed(
            "The program does not take one picture.",
            why=f"inputs {', '.join(f'{s.name} {list(s.shape)}' for s in program.inputs)}, batch {options.batch}",
            hint="image=true needs one input [1, 3, height, width] and batch 1.",
        )


def on_pixels(exported: ExportedProgram, options: Options) -> ExportedProgram:
    """The program, changed in place to take pixels ``[1, 3, H, W]`` of 0 to 255.

    Core ML's own preprocessing has one factor for all channels; here a factor and an offset per channel stand in front
    of the program.
    """
    graph = exported.graph
    (name,) = exported.graph_signature.user_inputs
    pixels = next(node for node in graph.find_nodes(op="placeholder") if node.name == name)
    first = next(node for node in graph.nodes if node.op != "placeholder")
    with graph.inserting_before(first):
        factor = _per_channel(graph, [options.image_rescale / std for std in options.image_std])
        offset = _per_channel(
            graph, [-mean / std for mean, std in zip(options.image_mean, options.image_std, strict=True)]
        )
        scaled = graph.call_function(aten.mul.Tensor, (pixels, factor))
        normal = graph.call_function(aten.add.Tensor, (scaled, offset))
    pixels.replace_all_uses_with(normal, delete_user_cb=lambda user: user is not scaled)
    for node in (scaled, normal):
        node.meta["val"] = pixels.meta["val"]
    return settled(exported)


def _per_channel(graph: fx.Graph, values: Sequence[float]) -> fx.Node:
    """A constant ``[1, channels, 1, 1]``."""
    parts = [full(graph, [1, 1, 1, 1], value, torch.float32) for value in values]
    made = graph.call_function(aten.cat.default, (parts, 1))
    made.meta["val"] = torch.tensor(values).reshape(1, -1, 1, 1)
    return made


def describe(model: Any, options: Options) -> None:
    """Write into the package's metadata how pixels are normalised."""
    facts = {"rescale": options.image_rescale, "mean": options.image_mean, "std": options.image_std}
    model.user_defined_metadata[IMAGE_KEY] = json.dumps(facts)
