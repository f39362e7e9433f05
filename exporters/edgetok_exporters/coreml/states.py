"""A cache that stays in the package: a pair of input and output as a state of the ML program.

The program that is exported stays a function of its inputs. In the package, the input of a pair is read from a state of
its name, and the output is written to it; neither is passed by the app, which makes a state (``makeState()``) and hands
it to every prediction.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.export.graph_signature import InputKind, InputSpec, OutputKind, OutputSpec, TensorArgument

from edgetok.errors import ExportFailed
from edgetok.verify.mil.states import STATES_KEY

if TYPE_CHECKING:
    from torch import fx
    from torch.export import ExportedProgram

    from edgetok.graph.program import Program, TensorSpec
    from edgetok_exporters.coreml import Options


def check(program: Program, options: Options) -> None:
    """Refuse pairs that are none of the program's.

    Raises:
        ExportFailed: a name is unknown, or the two do not have one floating dtype and one shape.
    """
    inputs, outputs = ({spec.name: spec for spec in specs} for specs in (program.inputs, program.outputs))
    for into, out in options.states:
        for name, specs, kind in ((into, inputs, "input"), (out, outputs, "output")):
            if name not in specs:
                near = difflib.get_close_matches(name, specs, 1)
                raise ExportFailed(
                    f"The program has no {kind} {name!r} to make a state of.",
                    why=f"its {kind}s are {', '.join(specs)}",
                    hint=f"Did you mean {near[0]!r}?" if near else "A pair is written input:output.",
                )
        _check_alike(inputs[into], outputs[out])


def _check_alike(into: TensorSpec, out: TensorSpec) -> None:
    alike = len(into.shape) == len(out.shape) and all(
        str(a) == str(b) for a, b in zip(into.shape, out.shape, strict=True)
    )
    if alike and into.dtype == out.dtype and into.dtype.startswith("float"):
        return
    raise ExportFailed(
        f"Input {into.name!r} and output {out.name!r} are no state.",
        why=f"{into.dtype} {list(into.shape)} and {out.dtype} {list(out.shape)}",
        hint="Both have the same shape and are floating: a cache of fixed length, and what it is after the step.",
    )


def with_states(
    exported: ExportedProgram, inputs: Sequence[TensorSpec], names: Sequence[str], pairs: Mapping[str, str]
) -> tuple[ExportedProgram, list[TensorSpec], list[str]]:
    """The program with buffers that change in place of pairs, which coremltools makes states of.

    Args:
        exported: prepared; changed in place.
        inputs: the program's.
        names: of all outputs, in order.
        pairs: outputs by the input that they are next.

    Returns:
        The program, and the inputs and the names of outputs that are left.
    """
    if not pairs:
        return exported, list(inputs), list(names)
    graph, signature = exported.graph, exported.graph_signature
    first = next(node for node in graph.nodes if node.op == "placeholder" and node.name in signature.user_inputs)
    for name in pairs:
        _to_buffer(exported, name, first)
    returned = list(graph.output_node().args[0])
    places = {name: place for place, name in enumerate(names)}
    kept = [place for place, name in enumerate(names) if name not in set(pairs.values())]
    changed = [places[out] for out in pairs.values()]
    graph.output_node().args = (tuple(returned[place] for place in (*changed, *kept)),)
    signature.output_specs = [
        *(
            OutputSpec(OutputKind.BUFFER_MUTATION, TensorArgument(returned[place].name), name)
            for name, place in zip(pairs, changed, strict=True)
        ),
        *(signature.output_specs[place] for place in kept),
    ]
    exported.graph_module.recompile()
    return exported, [spec for spec in inputs if spec.name not in pairs], [names[place] for place in kept]


def _to_buffer(exported: ExportedProgram, name: str, first: fx.Node) -> None:
    """Buffers come before the inputs, and coremltools wants the node and the buffer to have names of their own."""
    signature = exported.graph_signature
    node = next(node for node in exported.graph.find_nodes(op="placeholder") if node.name == name)
    spec = next(spec for spec in signature.input_specs if spec.arg.name == name)
    signature.input_specs.remove(spec)
    node.name = node.target = f"b_{name}"
    if node is not first:
        first.prepend(node)
    place = next(i for i, spec in enumerate(signature.input_specs) if spec.kind is InputKind.USER_INPUT)
    made = InputSpec(InputKind.BUFFER, TensorArgument(node.name), name, persistent=True)
    signature.input_specs.insert(place, made)
    value = node.meta["val"]
    exported.state_dict[name] = torch.zeros(value.shape, dtype=value.dtype)


def describe(model: Any, pairs: Mapping[str, str]) -> None:
    """Say in the package which output of the program each state is next."""
    if pairs:
        model.user_defined_metadata[STATES_KEY] = json.dumps(pairs)
