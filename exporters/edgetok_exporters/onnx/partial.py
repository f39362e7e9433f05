"""What Qualcomm's compiler refuses, found and left to the CPU, so that the rest can be delivered for the HTP.

A kind of operation (its type, and whether it stands between Q/DQ pairs) that is refused by itself is left to the CPU
wherever it is. Where only a larger graph is refused, the first operation with which it fails is, and with it all of
its type that stand between the same types of operations, whatever their shapes: layers repeat what one layer does.

Layer annotations of onnxruntime have no effect on plugin providers (1.31.1), and neither has fp64; but Qualcomm's
provider takes no loop, and nothing in one. What is for the CPU stands in a loop of one turn; the file needs no setting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ROUNDS = 8
"""How often operations are left to the CPU and the whole graph tried again."""
FORMATS = ("QuantizeLinear", "DequantizeLinear")
ONCE, GO = "edgetok.once", "edgetok.go"
"""Constants that every loop of one turn reads: how often, and whether to begin."""
_TYPES = {f"tensor({name})": kind for name, kind in {
    "float": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "double": TensorProto.DOUBLE, "bool": TensorProto.BOOL,
    "int8": TensorProto.INT8, "uint8": TensorProto.UINT8, "int16": TensorProto.INT16, "uint16": TensorProto.UINT16,
    "int32": TensorProto.INT32, "uint32": TensorProto.UINT32, "int64": TensorProto.INT64, "uint64": TensorProto.UINT64,
}.items()}  # fmt: skip

Compiles = Callable[[Path], str | None]
"""Tries a file: None where the compiler takes it, or what it says."""
Context = tuple[str, bool, tuple[str, ...], tuple[str, ...]]
"""Type of a node, whether it is quantised, and the types of those it reads and of those that read it."""


@dataclass(frozen=True)
class Refusal:
    """A kind of operation that was left to the CPU.

    Attributes:
        kind: its type, in words.
        nodes: how many nodes are left to the CPU for it.
        smallest: the operations of the smallest graph found that is refused, in order.
        said: what the compiler says to that graph.
    """

    kind: str
    nodes: int
    smallest: tuple[str, ...]
    said: str

    def __str__(self) -> str:
        graph = "by itself" if len(self.smallest) == 1 else f"in {', '.join(self.smallest)}"
        return f"{self.nodes} x {self.kind}, refused {graph}"


def leave_to_cpu(entry: Path, compiles: Compiles) -> tuple[Refusal, ...]:
    """Put nodes of a file into loops, in place, until the compiler takes the rest.

    Args:
        entry: an ``.onnx`` file with its weights inside, which the compiler refuses.
        compiles: tries a file.

    Returns:
        What was left to the CPU, and why. Where that is most of the operations, or the whole is still refused in the
        end, the file is as it was.
    """
    before = entry.read_bytes()
    with TemporaryDirectory(prefix="edgetok-partial-") as folder:
        search = _Search(onnx.load(entry), Path(folder, "piece.onnx"), compiles)
        found = search.refused_alone()
        for rounds in range(ROUNDS, -1, -1):
            if search.mostly_left:
                break
            search.save(entry)
            if compiles(entry) is None:
                return tuple(found)
            refusal = search.refused_together() if rounds else None
            if refusal is None:
                break
            found.append(refusal)
    entry.write_bytes(before)
    return tuple(found)


class _Search:
    def __init__(self, model: onnx.ModelProto, piece: Path, compiles: Compiles) -> None:
        self.model, self.piece, self.compiles = model, piece, compiles
        self.nodes = list(model.graph.node)
        self.values = _types_of(model)
        self.left: set[int] = set()
        self.makers = {name: i for i, node in enumerate(self.nodes) for name in node.output}
        self.readers: dict[str, set[int]] = {}
        for i, node in enumerate(self.nodes):
            for name in node.input:
                self.readers.setdefault(name, set()).add(i)

    def save(self, entry: Path) -> None:
        """Write the model with its loops."""
        made = onnx.ModelProto()
        made.CopyFrom(self.model)
        del made.graph.node[:]
        made.graph.node.extend(self._emitted(range(len(self.nodes))))
        made.graph.initializer.extend(self._constants(self.left))
        onnx.save(made, entry)

    @property
    def mostly_left(self) -> bool:
        """Whether the CPU would run more than half of the operations."""
        return 2 * len(self.left) > sum(node.op_type not in (*FORMATS, "Constant") for node in self.nodes)

    def refused_alone(self) -> list[Refusal]:
        """Try one node of every kind by itself, and leave all nodes of those that are refused to the CPU."""
        kinds: dict[tuple[str, bool], list[int]] = {}
        for i, node in enumerate(self.nodes):
            if node.op_type not in (*FORMATS, "Constant"):
                kinds.setdefault((node.op_type, self._is_quantised(i)), []).append(i)
        found = []
        for (op_type, quantised), places in sorted(kinds.items(), key=lambda kind: -len(kind[1])):
            if self.mostly_left:
                break
            said = self._try(self._unit(places[0]))
            if said is not None:
                self.left.update(places)
                where = "between Q/DQ" if quantised else "in floating point"
                found.append(Refusal(f"{op_type} {where}", len(places), (op_type,), said))
        return found

    def refused_together(self) -> Refusal | None:
        """Leave the operation with which the graph, taken from its beginning, first fails to the CPU, and all like it.

        None where it is left to the CPU already.
        """
        end = _first(1, len(self.nodes), lambda k: self._try(range(k)) is not None)
        behind = _first(1, end, lambda n: self._try(range(end - n, end)) is not None)
        said = self._try(range(end - behind, end)) or ""
        if end - 1 in self.left:
            return None
        within, needed = range(end - behind if said else 0, end), self._ancestors(end - 1)
        smallest = tuple(self.nodes[i].op_type for i in within if i in needed and self.nodes[i].op_type != "Constant")
        alike = self._like(end - 1) - self.left
        self.left |= alike
        return Refusal(self.nodes[end - 1].op_type, len(alike), smallest, said)

    def _like(self, place: int) -> set[int]:
        """Nodes in the same context as one, and itself."""
        context = self._context(place)
        return {i for i in range(len(self.nodes)) if self._context(i) == context}

    def _context(self, place: int) -> Context:
        node = self.nodes[place]
        makers, readers = (self._maker(name) for name in node.input), self._readers(place)
        return node.op_type, self._is_quantised(place), tuple(makers), tuple(sorted(readers))

    def _maker(self, name: str) -> str:
        """Type of the operation that makes a value, Q/DQ aside; nothing for what is stored or given."""
        while name in self.makers:
            node = self.nodes[self.makers[name]]
            if node.op_type not in FORMATS:
                return str(node.op_type)
            name = node.input[0]
        return ""

    def _readers(self, place: int) -> list[str]:
        """Types of the operations that read what a node makes, Q/DQ aside."""
        found: list[str] = []
        for i in {i for name in self.nodes[place].output for i in self.readers.get(name, ())}:
            op_type = self.nodes[i].op_type
            found += self._readers(i) if op_type in FORMATS else [op_type]
        return found

    def _is_quantised(self, place: int) -> bool:
        makers = [self.nodes[self.makers[name]].op_type for name in self.nodes[place].input if name in self.makers]
        return bool(makers) and all(op == "DequantizeLinear" for op in makers)

    def _unit(self, place: int) -> list[int]:
        """A node with the Q/DQ nodes around it."""
        node = self.nodes[place]
        before = [self.makers[name] for name in node.input if name in self.makers]
        behind = [i for i, other in enumerate(self.nodes) if set(other.input) & set(node.output)]
        around = [i for i in (*before, *behind) if self.nodes[i].op_type in FORMATS]
        return sorted({place, *around})

    def _ancestors(self, place: int) -> set[int]:
        found, open_ = {place}, [place]
        while open_:
            for name in self.nodes[open_.pop()].input:
                if name in self.makers and self.makers[name] not in found:
                    found.add(self.makers[name])
                    open_.append(self.makers[name])
        return found

    def _emitted(self, places: Sequence[int]) -> list[onnx.NodeProto]:
        """Nodes in order, those for the CPU in loops."""
        return [node for i in places for node in (self._loop(i) if i in self.left else [self.nodes[i]])]

    def _loop(self, place: int) -> list[onnx.NodeProto]:
        """A node in a loop of one turn, which stacks what each turn makes: so without that axis behind it."""
        node = onnx.NodeProto()
        node.CopyFrom(self.nodes[place])
        outer = [name for name in node.output if name]
        inner, stacked = [f"{name}.turn" for name in outer], [f"{name}.turns" for name in outer]
        del node.output[:]
        node.output.extend(inner)
        go = [helper.make_tensor_value_info(f"{GO}.{place}.{way}", TensorProto.BOOL, []) for way in ("in", "out")]
        turn = helper.make_tensor_value_info(f"{ONCE}.{place}", TensorProto.INT64, [])
        ends = [self._renamed(name, new) for name, new in zip(outer, inner, strict=True)]
        same = helper.make_node("Identity", [go[0].name], [go[1].name])
        body = helper.make_graph([node, same], f"cpu.{place}", [turn, go[0]], [go[1], *ends])
        loop = helper.make_node("Loop", [ONCE, GO], stacked, name=f"cpu.{place}", body=body)
        shaped = [helper.make_node("Reshape", [s, f"{n}.shape"], [n]) for s, n in zip(stacked, outer, strict=True)]
        return [loop, *shaped]

    def _renamed(self, name: str, new: str) -> onnx.ValueInfoProto:
        value = onnx.ValueInfoProto()
        value.CopyFrom(self.values[name])
        value.name = new
        return value

    def _constants(self, places: Iterable[int]) -> list[onnx.TensorProto]:
        """What the loops of these nodes read."""
        names = [name for i in sorted(places) for name in self.nodes[i].output if name]
        shapes = {name: [d.dim_value for d in self.values[name].type.tensor_type.shape.dim] for name in names}
        made = [numpy_helper.from_array(np.array(n, np.int64), f"{name}.shape") for name, n in shapes.items()]
        first = [numpy_helper.from_array(np.array(1), ONCE), numpy_helper.from_array(np.array(True), GO)]
        return [*first, *made] if made else []

    def _try(self, places: Sequence[int]) -> str | None:
        onnx.save(self._extract(places), self.piece)
        return self.compiles(self.piece)

    def _extract(self, places: Sequence[int]) -> onnx.ModelProto:
        graph, chosen = self.model.graph, [self.nodes[i] for i in places]
        made = {name for node in chosen for name in node.output if name}
        read = dict.fromkeys(name for node in chosen for name in node.input if name)
        stored = [tensor for tensor in graph.initializer if tensor.name in read]
        known = {tensor.name for tensor in stored}
        within = set(places)
        elsewhere = {n for i, node in enumerate(self.nodes) if i not in within for n in node.input}
        ends = [n for n in made if n in elsewhere or n in {o.name for o in graph.output}] or sorted(made)
        inputs = [self.values[name] for name in read if name not in made and name not in known]
        stored += self._constants(within & self.left)
        outputs = [self.values[name] for name in sorted(ends)]
        piece = helper.make_graph(self._emitted(list(places)), "piece", inputs, outputs, stored)
        return helper.make_model(
            piece,
            opset_imports=self.model.opset_import,
            ir_version=self.model.ir_version,
            functions=self.model.functions,
        )


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The smallest number from ``low`` to ``high`` for which ``holds``, which is so for all larger ones."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _types_of(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Type and shape of every value, as onnxruntime infers them."""
    every = onnx.ModelProto()
    every.CopyFrom(model)
    given = {value.name for value in every.graph.output}
    made = dict.fromkeys(name for node in every.graph.node for name in node.output if name)
    every.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in made if name not in given)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(every.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = [*session.get_inputs(), *session.get_outputs()]
    return {v.name: helper.make_tensor_value_info(v.name, _TYPES[v.type], v.shape) for v in values}


def summary(found: Sequence[Refusal]) -> dict[str, str | int]:
    """Facts for a report: what was left to the CPU, and the smallest graph that is refused."""
    counted = Counter[tuple[str, tuple[str, ...]]]()
    for refusal in found:
        counted[refusal.kind, refusal.smallest] += refusal.nodes
    kinds = [Refusal(kind, nodes, smallest, "") for (kind, smallest), nodes in counted.items()]
    shortest = min(found, key=lambda refusal: len(refusal.smallest))
    return {
        "left to the CPU, as the compiler refuses it": "; ".join(map(str, kinds)),
        "smallest graph that is refused": ", ".join(shortest.smallest),
        "what the compiler says": shortest.said[-200:],
    }
