import itertools

import pytest
import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import edgetok.ops as ops
from edgetok.graph.program import Program, TensorSpec
from edgetok.ops.match import sort_match
from edgetok.report.flops import count_flops
from edgetok.report.tokens import tokens_per_layer
from edgetok.target import Realisations

WIDTH, HEADS, TOKENS, CLASSES = 16, 2, 17, 5


class Block(torch.nn.Module):
    """A pre-norm transformer block that may merge ``r`` tokens after its attention, keys as the metric."""

    def __init__(self, r=0):
        super().__init__()
        self.r = r
        self.norm = torch.nn.LayerNorm(WIDTH)
        self.qkv = torch.nn.Linear(WIDTH, 3 * WIDTH)
        self.out = torch.nn.Linear(WIDTH, WIDTH)
        self.up, self.down = torch.nn.Linear(WIDTH, 4 * WIDTH), torch.nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        b, n, _ = x.shape
        q, k, v = (part.reshape(b, n, HEADS, -1).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, -1))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, WIDTH))
        if self.r:
            x = ops.reduce(x, None, *ops.bipartite_match(k.mean(1), None, self.r, 1))
        return x + self.down(F.gelu(self.up(x)))


class TinyViT(torch.nn.Module):
    def __init__(self, r=0, depth=3):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, WIDTH, 4, 4)
        self.cls = torch.nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.layers = torch.nn.ModuleList(Block(r) for _ in range(depth))
        self.pooler, self.head = torch.nn.Linear(WIDTH, WIDTH), torch.nn.Linear(WIDTH, CLASSES)

    def forward(self, pixels):
        x = self.patches(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.pooler(x[:, 0]).tanh())


def program(module, *shape, lineage=True):
    """A captured program over one input ``x`` with a symbolic batch."""
    x = torch.randn(2, *shape)
    exported = torch.export.export(module.eval(), (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    exported = exported.run_decompositions({})
    if not lineage:
        for node in exported.graph.nodes:
            node.meta.pop("nn_module_stack", None)
            node.meta.pop("custom", None)
    name = exported.graph_signature.user_inputs[0]
    spec = TensorSpec(name, ("batch", *shape), "float32")
    outputs = tuple(TensorSpec(str(out), ("batch",), "float32") for out in exported.graph_signature.user_outputs)
    return Program("model", exported, inputs=(spec,), outputs=outputs, example={name: x}, dynamic={name: {0: "batch"}})


def counted_by_torch(module, *shape):
    """FLOPs by torch's own counter, which does not know the CPU's fused attention: hence the plain one."""
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        module.eval()(torch.randn(1, *shape))
    return counter.get_total_flops()


@pytest.mark.parametrize("lineage", [True, False])
def test_equals_torch_and_splits_by_part(lineage):
    module = TinyViT()
    found = count_flops(program(module, 3, 16, 16, lineage=lineage))
    per_token = 12 * WIDTH * WIDTH
    blocks = 3 * 2 * (TOKENS * per_token + 2 * TOKENS * TOKENS * WIDTH)
    assert found.total == counted_by_torch(module, 3, 16, 16)
    assert found.categories == {
        "embedding": 2 * 16 * WIDTH * 3 * 16,
        "blocks": blocks,
        "head": 2 * WIDTH * (WIDTH + CLASSES),
        "matching": 0,
    }
    assert found.paper_style == blocks
    assert found.uncounted == ()


@pytest.mark.parametrize("lineage", [True, False])
def test_inserted_operations_count_apart_from_the_blocks(lineage):
    r = 3
    module = TinyViT(r)
    captured = program(module, 3, 16, 16, lineage=lineage)
    found = count_flops(captured)
    counts = [TOKENS - r * i for i in range(4)]
    evens = [len(range(2, n, 2)) for n in counts[:3]]
    matching = sum(a * (n // 2) * (WIDTH // HEADS) for a, n in zip(evens, counts, strict=False)) + 3 * r * WIDTH
    blocks = sum(n * 4 * WIDTH**2 + 2 * n * n * WIDTH + after * 8 * WIDTH**2 for n, after in itertools.pairwise(counts))
    assert tokens_per_layer(captured) == tuple(counts)
    assert found.categories["matching"] == 2 * matching
    assert found.categories["blocks"] == 2 * blocks
    assert found.total - found.categories["matching"] == counted_by_torch(module, 3, 16, 16)


@pytest.mark.parametrize("mode", ["mean", "sum", "first"])
def test_matrix_realisations_count_what_they_multiply(mode):
    class Merge(torch.nn.Module):
        def forward(self, x):
            keep, src, dst = ops.bipartite_match(x, None, 4, 1)
            y = ops.reduce(x, None, keep, src, dst, mode)
            return ops.restore(y, ops.destinations(keep, src, dst, x.shape[1]))

    tokens, width, r = 13, 8, 4
    captured = program(Merge(), tokens, width)
    found = count_flops(captured, Realisations(match="sort-free", reduce="one-hot")).total
    m = tokens - r
    restored = tokens * m * width
    lowest = {"first": 0, "sum": 2 * r * m * width, "mean": 2 * r * m * width}[mode] + m * tokens * width + restored
    assert found > 2 * (lowest + 6 * 6 * width)
    gathered = count_flops(captured).total
    assert gathered == 2 * (6 * 6 * width + (0 if mode == "first" else r * width))
    mixed = count_flops(captured, Realisations(match="sort", reduce="gather", one_hot_below=tokens)).total
    assert mixed == gathered


@pytest.mark.parametrize(("tokens", "protected", "padded"), [(13, 1, False), (12, 0, True), (9, 5, True)])
def test_a_match_is_every_even_token_against_every_odd_one(tokens, protected, padded):
    class Match(torch.nn.Module):
        def forward(self, x):
            return ops.bipartite_match(x, x[..., 0] if padded else None, 2, protected)[0]

    with FlopCounterMode(display=False) as counter:
        x = torch.randn(1, tokens, 8)
        sort_match(x, x[..., 0] if padded else None, 2, protected, "reference")
    assert count_flops(program(Match(), tokens, 8)).total == counter.get_total_flops() > 0


@pytest.mark.parametrize("padded", [False, True])
def test_a_match_among_is_every_source_against_every_target(padded):
    class Match(torch.nn.Module):
        def forward(self, x):
            ranked = ops.rank_top(x.sum(-1), 7, 1)
            return ops.match_among(x, x[..., 0] if padded else None, ranked[:, :4], ranked[:, 4:], 2)[0]

    captured = program(Match(), 9, 8)
    assert count_flops(captured, Realisations()).total == 2 * 4 * 3 * (8 + 2 * padded)
    free = count_flops(captured, Realisations(match="sort-free", reduce="one-hot"))
    assert free.total > 2 * 4 * 3 * 8
    assert not free.uncounted


def test_one_hot_restore_is_its_matrix_product():
    class Restore(torch.nn.Module):
        def forward(self, x):
            dest = torch.zeros((x.shape[0], 9), dtype=torch.int64)
            return ops.restore(x, dest)

    captured = program(Restore(), 5, 8)
    assert count_flops(captured, Realisations(reduce="one-hot")).total == 2 * 9 * 5 * 8
    assert count_flops(captured).total == 0


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x: torch.nn.functional.conv1d(x, torch.ones(6, 2, 3), groups=2), (4, 9)),
        (lambda x: torch.nn.functional.conv2d(x, torch.ones(6, 4, 3, 2), stride=2), (4, 9, 9)),
        (lambda x: torch.nn.functional.conv_transpose2d(x, torch.ones(4, 6, 3, 3), stride=2), (4, 5, 5)),
        (lambda x: x @ x.transpose(1, 2), (6, 7)),
        (lambda x: torch.einsum("bij,bkj->bik", x, x), (6, 7)),
        (lambda x: torch.einsum("b...d,de->b...e", x, torch.ones(7, 5)), (2, 3, 7)),
        (lambda x: torch.baddbmm(torch.zeros(x.shape[0], 6, 6), x, x.transpose(1, 2)), (6, 7)),
        (lambda x: torch.addmm(torch.zeros(5), x, torch.ones(7, 5)), (7,)),
        (lambda x: F.scaled_dot_product_attention(x, x[:, :, :4], x[:, :, :4, :6]), (2, 9, 8)),
    ],
)
def test_every_rule_equals_torch(function, shape):
    class Module(torch.nn.Module):
        def forward(self, x):
            return function(x)

    assert count_flops(program(Module(), *shape)).total == counted_by_torch(Module(), *shape) > 0


def test_three_operands_contract_from_left_to_right():
    class Module(torch.nn.Module):
        def forward(self, x):
            return torch.einsum("bij,bjk,bkl->bil", x, torch.ones(1, 5, 6).expand(x.shape[0], -1, -1), x[:, :6])

    assert count_flops(program(Module(), 7, 5)).total == 2 * (7 * 5 * 6 + 7 * 6 * 5)


def test_what_cannot_be_counted_is_named():
    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(4, 4, batch_first=True)

        def forward(self, x):
            return self.lstm(x)[0]

    assert "aten.lstm" in count_flops(program(Module(), 3, 4)).uncounted


def test_another_symbol_has_the_size_of_the_example():
    class Module(torch.nn.Module):
        def forward(self, x):
            return x @ x.transpose(1, 2)

    x = torch.randn(2, 11, 4)
    exported = torch.export.export(
        Module(), (x,), dynamic_shapes=({0: torch.export.Dim("batch"), 1: torch.export.Dim("length")},)
    ).run_decompositions({})
    spec = TensorSpec("x", ("batch", "length", 4), "float32")
    dynamic = {"x": {0: "batch", 1: "length"}}
    captured = Program("model", exported, inputs=(spec,), outputs=(), example={"x": x}, dynamic=dynamic)
    assert count_flops(captured).total == 2 * 11 * 11 * 4


def test_a_fixed_batch_is_counted_whole_and_said():
    x = torch.randn(3, 7, 4)
    exported = torch.export.export(torch.nn.Linear(4, 5), (x,)).run_decompositions({})
    spec = TensorSpec("input", (3, 7, 4), "float32")
    found = count_flops(Program("model", exported, inputs=(spec,), outputs=(), example={"input": x}, dynamic={}))
    assert (found.samples, found.total) == (3, 2 * 3 * 7 * 4 * 5)


def test_a_transformers_vit_is_split_at_its_embedding_and_head():
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=16, patch_size=4
    )
    module = transformers.ViTForImageClassification(config).eval()

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = module

        def forward(self, x):
            return self.model(x).logits

    captured = program(Logits(), 3, 16, 16)
    found = count_flops(captured)
    assert found.categories["embedding"] == 2 * 16 * 16 * 3 * 16
    assert found.categories["head"] == 2 * 16 * 2
    assert found.total == counted_by_torch(Logits(), 3, 16, 16)
    assert tokens_per_layer(captured) == (17, 17, 17)


def test_rewriting_changes_neither_embedding_nor_head():
    from edgetok.graph import Step, TokenMap, find_sites, rewrite
    from edgetok.plugin import TokenReduction

    class Halve(TokenReduction):
        name = "halve"
        summary = "Keep every other token."
        paper = ""

        def reduce(self, signals, keep):
            return TokenMap.pruning(ops.select_top(signals.keys.sum(-1), keep, signals.protected))

    dense = program(TinyViT(), 3, 16, 16)
    steps = [Step(site, Halve(), keep) for site, keep in zip(find_sites(dense), (13, 9, 5), strict=True)]
    optimized = rewrite(dense, steps)
    before, after = count_flops(dense), count_flops(optimized)
    assert tokens_per_layer(optimized) == (17, 13, 9, 5)
    assert [after.categories[part] for part in ("embedding", "head")] == [
        before.categories[part] for part in ("embedding", "head")
    ]
    assert after.categories["blocks"] == 2 * sum(
        n * 4 * WIDTH**2 + 2 * n * n * WIDTH + left * 8 * WIDTH**2 for n, left in itertools.pairwise((17, 13, 9, 5))
    )
