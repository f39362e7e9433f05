"""Architectures of every kind, from their configurations alone: followed with no line written for any of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgetok.graph import find_sites, rewrite, run_rewritten, static_batch
from edgetok.graph.site import module_of

transformers = pytest.importorskip("transformers", reason="the architectures come from transformers")

VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 60,
}


def hf(kind: str, **options: object) -> nn.Module:
    return transformers.AutoModel.from_config(transformers.AutoConfig.for_model(kind, **options))


def t5() -> nn.Module:
    config = transformers.T5Config(d_model=32, num_layers=2, num_heads=2, d_ff=64, d_kv=16, vocab_size=60)
    return transformers.T5EncoderModel(config)


def whisper() -> nn.Module:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    heads = {"encoder_attention_heads": 2, "encoder_ffn_dim": 64, "encoder_layers": 2}
    return WhisperEncoder(transformers.WhisperConfig(d_model=32, num_mel_bins=8, max_source_positions=16, **heads))


def dpt() -> nn.Module:
    necks = {"neck_hidden_sizes": [8] * 4, "fusion_hidden_size": 8, "backbone_out_indices": [0, 1, 2, 3]}
    config = transformers.DPTConfig(**{**VISION, "num_hidden_layers": 4}, is_hybrid=False, **necks)
    return transformers.DPTForDepthEstimation(config)


class TorchEncoder(nn.Module):
    def __init__(self, batch_first: bool, norm_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 2, 64, batch_first=batch_first, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


class FusedQkv(nn.Module):
    """The form of timm: one linear layer for queries, keys and values; layer scale."""

    def __init__(self, parallel: bool) -> None:
        super().__init__()
        self.parallel = parallel
        self.n1, self.n2, self.qkv, self.o = nn.LayerNorm(32), nn.LayerNorm(32), nn.Linear(32, 96), nn.Linear(32, 32)
        self.f, self.scale = (
            nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)),
            nn.Parameter(torch.ones(32)),
        )

    def attend(self, h: Tensor) -> Tensor:
        b, n, c = h.shape
        q, k, v = self.qkv(h).reshape(b, n, 3, 2, 16).permute(2, 0, 3, 1, 4).unbind(0)
        return self.scale * self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c))

    def forward(self, x: Tensor) -> Tensor:
        h = self.n1(x)
        if self.parallel:
            return x + self.attend(h) + self.f(h)
        x = x + self.attend(h)
        return x + self.f(self.n2(x))


def images(*frames: int) -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(2, *frames, 3, 32, 32)}


def text() -> dict[str, Tensor]:
    mask = torch.cat([torch.ones(2, 14), torch.zeros(2, 4)], 1).long()
    return {"input_ids": torch.randint(3, 60, (2, 18)), "attention_mask": mask}


def tokens(*shape: int) -> dict[str, Tensor]:
    return {"x": torch.randn(*shape)}


Make = Callable[[], nn.Module]
ZOO: dict[str, tuple[Make, Callable[[], dict[str, Tensor]], int]] = {
    "vit": (lambda: hf("vit", **VISION), images, 17),
    "deit": (lambda: hf("deit", **VISION), images, 18),
    "clip vision": (lambda: hf("clip_vision_model", **VISION), images, 17),
    "siglip": (lambda: hf("siglip_vision_model", **VISION), images, 16),
    "dinov2": (lambda: hf("dinov2", **VISION), images, 17),
    "dinov2 with registers": (lambda: hf("dinov2_with_registers", **VISION), images, 21),
    "dinov3": (lambda: hf("dinov3_vit", **VISION, num_register_tokens=4), images, 21),
    "beit": (lambda: hf("beit", **VISION, use_relative_position_bias=True), images, 17),
    "bert": (lambda: hf("bert", **TEXT), text, 18),
    "t5 encoder": (t5, text, 18),
    "videomae": (lambda: hf("videomae", **VISION, num_frames=4), lambda: images(4), 32),
    "vivit": (lambda: hf("vivit", **VISION, num_frames=4, tubelet_size=[2, 8, 8]), lambda: images(4), 33),
    "whisper encoder": (whisper, lambda: {"input_features": torch.randn(2, 8, 32)}, 16),
    "dpt": (dpt, images, 17),
    "nn.TransformerEncoder": (lambda: TorchEncoder(True, True), lambda: tokens(2, 18, 32), 18),
    "nn.TransformerEncoder, post-norm": (lambda: TorchEncoder(True, False), lambda: tokens(2, 18, 32), 18),
    "nn.TransformerEncoder, tokens first": (lambda: TorchEncoder(False, True), lambda: tokens(18, 2, 32), 18),
    "fused qkv": (lambda: FusedQkv(False), lambda: tokens(2, 18, 32), 18),
    "parallel": (lambda: FusedQkv(True), lambda: tokens(2, 18, 32), 18),
}


@pytest.fixture(scope="module", params=ZOO)
def architecture(request, lab):
    """``(program, sites, tokens, batch axis)`` of one architecture."""
    make, inputs, count = ZOO[request.param]
    torch.manual_seed(0)
    module, given = make().eval(), inputs()
    names = list(inspect.signature(module.forward).parameters)
    given = {name: given[name] for name in names if name in given}
    axis = 1 if "tokens first" in request.param else 0
    program = lab.capture(module, given, batch_axis=axis)
    return program, find_sites(program), count, axis


def test_sites_are_found(architecture):
    _, sites, count, _ = architecture
    free = [site for site in sites if site.obstacle is None]
    assert len(free) >= len(sites) - 1 > 0 or len(free) == len(sites) > 0
    assert {site.tokens for site in free} == {count}
    assert all(site.heads == 2 for site in free)
    assert all(site.mask.kind in ("none", "padding", "bias") for site in free)


def test_a_forced_identity_is_bit_identical(lab, architecture):
    program, sites, _, _ = architecture
    dense = run_rewritten(program, [], program.example)
    found = run_rewritten(program, lab.steps(sites, lab.identity, 0), program.example)
    assert all(torch.equal(a, b) for a, b in zip(dense, found, strict=True))


@pytest.fixture(scope="module")
def merged(lab, architecture):
    """The program with two tokens merged at every site."""
    program, sites, _, _ = architecture
    plugin = lab.bipartite if any(site.positions for site in sites) else lab.shuffled_pairs
    return rewrite(program, lab.steps(sites, plugin, 2))


def test_merging_keeps_the_interface(lab, architecture, merged):
    program, _, _, axis = architecture
    dense, found = run_rewritten(program, [], program.example), lab.run(merged)
    assert [t.shape for t in found] == [t.shape for t in dense]
    assert all(bool(t.isfinite().all()) for t in found)
    assert any(not torch.equal(a, b) for a, b in zip(found, dense, strict=True))
    assert (merged.inputs, merged.outputs) == (program.inputs, program.outputs)
    assert set(merged.exported.state_dict) == set(program.exported.state_dict)
    two = {name: torch.cat([x, x.flip(axis)], axis) for name, x in program.example.items()}
    one = {name: x.narrow(axis, 0, 1) for name, x in program.example.items()}
    for a, b, c in zip(lab.run(merged, two), found, lab.run(merged, one), strict=True):
        samples = axis if a.dim() > 2 else 0
        torch.testing.assert_close(a.narrow(samples, 0, 2), b, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(c, b.narrow(samples, 0, 1), rtol=1e-4, atol=1e-5)


def test_inserted_nodes_say_where_they_come_from(architecture, merged):
    _, sites, _, _ = architecture
    names = {site.name for site in sites}
    inserted = [node for node in merged.graph.nodes if "edgetok" in str(node.target) and node.op == "call_function"]
    assert inserted
    for node in inserted:
        lineage = node.meta["custom"]["edgetok"]
        assert lineage.get("site") in names or lineage.get("origin"), node
    by_plugin = [n for n in inserted if "match" in str(n.target)]
    assert len(by_plugin) == len([s for s in sites if s.obstacle is None])
    assert all(n.meta["custom"]["edgetok"]["site"] in names and module_of(n) in names for n in by_plugin)


def test_dropping_keeps_the_interface(lab, architecture):
    program, sites, _, _ = architecture
    dense = run_rewritten(program, [], program.example)
    found = run_rewritten(program, lab.steps(sites, lab.drop, 2), program.example)
    assert [t.shape for t in found] == [t.shape for t in dense]
    assert all(bool(t.isfinite().all()) for t in found)


@pytest.mark.parametrize("name", ["vit", "bert", "nn.TransformerEncoder, tokens first"])
def test_one_batch_size(lab, name):
    make, inputs, _ = ZOO[name]
    axis = 1 if "tokens first" in name else 0
    program = lab.capture(make(), inputs(), batch_axis=axis)
    steps = lab.steps(find_sites(program), lab.bipartite, 2)
    any_batch, one = rewrite(program, steps), static_batch(program, 1, steps)
    first = {key: x.narrow(axis, 0, 1) for key, x in program.example.items()}
    assert one.dynamic == {}
    assert all(isinstance(n, int) for spec in (*one.inputs, *one.outputs) for n in spec.shape)
    for a, b in zip(lab.run(one, first), lab.run(any_batch, first), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
