"""``edgetok::packed_matmul`` as onnxruntime's ``MatMulNBits``, which computes with packed weights as they are.

Its kernels know some widths only, and some of these slowly. A narrower width stays as it is in the file, and a few
operators on the weights alone, which onnxruntime folds when it loads the file, make it a wider one. The default zero
point shall be that of the kernel, in the middle: a code ``c`` becomes ``c`` more the difference of the middles, and
where the middle is 1/2, ``2 c`` more it, with half the scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgetok.errors import TargetRefuses
from edgetok.ops.packed import middle
from edgetok.target import PackedSupport, PackedWidths
from edgetok_exporters.onnx.body import Body
from edgetok_exporters.onnx.functions import DOMAIN
from edgetok_exporters.onnx.packed import INT32, six_bits

CONTRIB = "com.microsoft"
SMALLEST_BLOCK = 16
INT8 = 4
"""``accuracy_level`` of kernels that round their inputs to 8 bits."""


def lower_packed(model: ir.Model, support: PackedSupport, *, rounded: bool = False) -> None:
    """Let products with packed weights be ``MatMulNBits`` where the target's kernels can be given them, in place.

    ``rounded`` takes kernels that round their inputs to 8 bits.

    Raises:
        TargetRefuses: ``rounded``, and there is none for any of the products.
    """
    arranged: dict[str, ir.Value] = {}
    widths, level = (support.rounded or PackedWidths(), INT8) if rounded else (support, 0)
    nodes = [node for node in model.graph if (node.domain, node.op_type) == (DOMAIN, "packed_matmul")]
    taken = [(node, product) for node in nodes if (product := _Product.of(node, widths, level)) is not None]
    if rounded and nodes and not taken:
        raise TargetRefuses(
            "No kernel rounds what is multiplied with these packed weights.",
            why=f"packed_activations is int8, and none of {len(nodes)} products has a width that the target takes so, "
            f"in groups of whole blocks of {SMALLEST_BLOCK}",
            hint="Leave out exporter.packed_activations, or compress with groups of 32, 64 or 128.",
        )
    for node, product in taken:
        body = Body()
        _splice(model.graph, node, body, product.write(model.graph, body, arranged))
        model.opset_imports[CONTRIB] = 1


@dataclass(frozen=True)
class _Product:
    """One product, and how a kernel takes it.

    Attributes:
        x: the input.
        codes: of the matrices.
        scale: of their groups.
        zero: of their groups, or none.
        bits: the width in the file.
        width: the width of the kernel.
        columns: weights in a row.
        rows: of one matrix.
        block: weights that share a scale in the kernel.
        repeat: blocks that make up one group.
        matrices: how many are stacked; 0 for a single one.
        dtype: of the input.
        level: the kernel's ``accuracy_level``; 0 leaves it to the runtime, which keeps the input as it is.
    """

    x: ir.Value
    codes: ir.Value
    scale: ir.Value
    zero: ir.Value | None
    bits: int
    width: int
    columns: int
    rows: int
    block: int
    repeat: int
    matrices: int
    dtype: ir.DataType
    level: int

    @classmethod
    def of(cls, node: ir.Node, support: PackedWidths, level: int) -> _Product | None:
        x, codes, scale, zero = (*node.inputs, None)[:4]
        if x is None or x.shape is None or x.dtype is None or codes is None or codes.shape is None or scale is None:
            return None
        bits, columns, group = (node.attributes[name].as_int() for name in ("bits", "columns", "group"))
        width = bits if bits in support.native else support.widened.get(bits, 0)
        block, repeat = _blocks(columns, group)
        known = all(value is None or value.const_value is not None for value in (codes, scale, zero))
        *stack, rows, _ = (int(str(size)) for size in codes.shape)
        fits = not stack or (len(stack) == 1 and len(x.shape) == 3 and x.shape[0] in (1, stack[0]))
        if not (width and block and known and fits):
            return None
        matrices = stack[0] if stack else 0
        return cls(x, codes, scale, zero, bits, width, columns, rows, block, repeat, matrices, x.dtype, level)

    def write(self, graph: ir.Graph, body: Body, arranged: dict[str, ir.Value]) -> ir.Value:
        codes, scale = self._codes(graph, arranged), self._scale(graph, arranged)
        zero = None if self.zero is None else self._zero(graph, self.zero, arranged)
        wide, scales = self._widened(body, codes), body("Cast", scale, to=int(self.dtype))
        if self.matrices == 0:
            return self._multiply(body, self.x, wide, scales, zero)
        shared = self.x.shape is not None and self.x.shape[0] == 1
        return (self._shared if shared else self._each)(body, wide, scales, zero)

    def _shared(self, body: Body, codes: ir.Value, scale: ir.Value, zero: ir.Value | None) -> ir.Value:
        """One input for all matrices: their rows are those of one large matrix."""
        rows = self.rows * self.matrices
        blocks = -(-self.columns // self.block)
        given = [(codes, [-1, blocks, self.block * self.width // 8]), (scale, [-1, blocks])]
        given += [] if zero is None else [(zero, [-1, -(-blocks * self.width // 8)])]
        joined = [body("Reshape", value, shape) for value, shape in given]
        product = self._multiply(body, self.x, *joined, rows=rows)
        return body("Transpose", body("Reshape", product, [-1, self.matrices, self.rows]), perm=[1, 0, 2])

    def _each(self, body: Body, codes: ir.Value, scale: ir.Value, zero: ir.Value | None) -> ir.Value:
        """An input for each matrix: as many products."""
        given = [value for value in (self.x, codes, scale, zero) if value is not None]
        split = [body.many("Split", self.matrices, v, axis=0, num_outputs=self.matrices) for v in given]
        products = []
        for x, *weights in zip(*split, strict=True):
            products.append(self._multiply(body, x, *(body("Squeeze", part, [0]) for part in weights)))
        return body("Concat", *products, axis=0)

    def _multiply(
        self,
        body: Body,
        x: ir.Value,
        codes: ir.Value,
        scale: ir.Value,
        zero: ir.Value | None = None,
        *,
        rows: int = 0,
    ) -> ir.Value:
        return body.microsoft(
            "MatMulNBits",
            x,
            *(part for part in (codes, scale, zero) if part is not None),
            K=self.columns,
            N=rows or self.rows,
            bits=self.width,
            block_size=self.block,
            **({"accuracy_level": self.level} if self.level else {}),
        )

    def _codes(self, graph: ir.Graph, arranged: dict[str, ir.Value]) -> ir.Value:
        """``[..., rows, blocks, bytes of a block]``; rows are filled up to whole blocks."""
        array = _array(self.codes)
        blocks, size = -(-self.columns // self.block), self.block * self.bits // 8
        filled = np.pad(array, [*[(0, 0)] * (array.ndim - 1), (0, blocks * size - array.shape[-1])])
        return _replaced(graph, self.codes, filled.reshape(*array.shape[:-1], blocks, size), arranged)

    def _scale(self, graph: ir.Graph, arranged: dict[str, ir.Value]) -> ir.Value:
        array = _array(self.scale)
        halved = array / self._factor
        return _replaced(graph, self.scale, self._spread(halved.astype(array.dtype)), arranged)

    def _zero(self, graph: ir.Graph, value: ir.Value, arranged: dict[str, ir.Value]) -> ir.Value:
        """Zero points in the kernel's width, packed as its codes are."""
        return _replaced(graph, value, self._packed(self._spread(_array(value))), arranged)

    def _packed(self, codes: np.ndarray) -> np.ndarray:
        """Codes, or zero points, of the file as bytes of the kernel."""
        wide = (codes * self._factor + self._offset).astype(np.uint8)
        digits = np.unpackbits(wide[..., None], axis=-1, bitorder="little")[..., : self.width]
        return np.packbits(digits.reshape(*wide.shape[:-1], -1), axis=-1, bitorder="little")

    @property
    def _factor(self) -> int:
        return 2 if self.bits == 1 and self.width > 1 else 1

    @property
    def _offset(self) -> int:
        return int(middle(self.width) - self._factor * middle(self.bits))

    def _widened(self, body: Body, codes: ir.Value) -> ir.Value:
        """Bytes ``[..., rows, blocks, n]`` of the file as those of the kernel."""
        if self.bits == self.width:
            return codes
        rank = 4 if self.matrices else 3
        if self.bits == 3:
            count, numbers = 2, six_bits(body, codes, rank)
        else:
            count, numbers = 8 // self.bits, body("Cast", codes, to=int(INT32))
        digits = np.arange(1 << count * self.bits)[:, None] >> np.arange(0, count * self.bits, self.bits)
        table = self._packed(digits & ((1 << self.bits) - 1))
        return body("Reshape", body("Gather", table, numbers), [*[0] * (rank - 1), -1])

    def _spread(self, array: np.ndarray) -> np.ndarray:
        """One value for each block instead of each group."""
        return np.repeat(array, self.repeat, axis=-1)[..., : -(-self.columns // self.block)]


def _blocks(columns: int, group: int) -> tuple[int, int]:
    """A block size of the kernel, and how many of these are a group; (0, 0) where none fits."""
    if group >= columns:
        return max(SMALLEST_BLOCK, 1 << (columns - 1).bit_length()), 1
    block = group & -group
    return (block, group // block) if block >= SMALLEST_BLOCK else (0, 0)


def _array(value: ir.Value) -> np.ndarray:
    assert value.const_value is not None
    return value.const_value.numpy()


def _replaced(graph: ir.Graph, value: ir.Value, array: np.ndarray, arranged: dict[str, ir.Value]) -> ir.Value:
    """The same initializer, arranged otherwise under its own name."""
    name = str(value.name)
    if name not in arranged:
        tensor = ir.tensor(np.ascontiguousarray(array), name=name)
        made = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        graph.initializers.pop(name)
        graph.register_initializer(made)
        arranged[name] = made
    return arranged[name]


def _splice(graph: ir.Graph, node: ir.Node, body: Body, made: ir.Value) -> None:
    """Put a body in the place of a node; its result takes over name, shape and dtype."""
    old = node.outputs[0]
    for i, inner in enumerate(body.nodes):
        inner.name = f"{node.name}.{i}"
        inner.metadata_props.update(node.metadata_props)
        for j, value in enumerate(inner.outputs):
            value.name = f"{node.name}.{i}.{j}"
    graph.insert_after(node, body.nodes)
    made.shape = old.shape
    if old.dtype is not None:
        made.dtype = old.dtype
    name, old.name = old.name, f"{old.name}.packed"
    made.name = name
    for user, index in list(old.uses()):
        user.replace_input_with(index, made)
    for index, output in enumerate(graph.outputs):
        if output is old:
            graph.outputs[index] = made
    graph.remove(node, safe=True)
