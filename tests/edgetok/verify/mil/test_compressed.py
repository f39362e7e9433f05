"""Compressed weights, as coremltools stores them: the interpreter expands them as coremltools itself does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgetok.errors import RuntimeFailed
from edgetok.silence import quiet
from edgetok.verify.mil import MilRunner
from edgetok.verify.mil.registry import Operands, apply

ct = pytest.importorskip("coremltools", reason="packages are compressed by coremltools")
generator = torch.Generator().manual_seed(0)
WEIGHT = torch.randn(32, 64, generator=generator)
X = torch.randn(2, 64, generator=generator).numpy()


@pytest.fixture(scope="module", params=["iOS17", "iOS18"])
def model(request):
    from coremltools.converters.mil import Builder as mb

    version = getattr(ct.target, request.param)

    @mb.program(input_specs=[mb.TensorSpec((2, 64))], opset_version=version)
    def program(x):
        return mb.linear(x=x, weight=WEIGHT.numpy(), bias=np.zeros(32, np.float32), name="y")

    with quiet():
        made = ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=version,
            compute_precision=ct.precision.FLOAT32,
            skip_model_load=True,
        )
    return request.param, made


def options(cto):
    return {
        "int8": (
            cto.linear_quantize_weights,
            cto.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=0),
            "iOS17",
        ),
        "int8-offset": (
            cto.linear_quantize_weights,
            cto.OpLinearQuantizerConfig(mode="linear", weight_threshold=0),
            "iOS17",
        ),
        "int4-block": (
            cto.linear_quantize_weights,
            cto.OpLinearQuantizerConfig(
                mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=32, weight_threshold=0
            ),
            "iOS18",
        ),
        "table-4": (cto.palettize_weights, cto.OpPalettizerConfig(mode="kmeans", nbits=4, weight_threshold=0), "iOS17"),
        "table-6": (
            cto.palettize_weights,
            cto.OpPalettizerConfig(mode="uniform", nbits=6, weight_threshold=0),
            "iOS17",
        ),
        "table-grouped": (
            cto.palettize_weights,
            cto.OpPalettizerConfig(
                mode="kmeans", nbits=4, granularity="per_grouped_channel", group_size=8, weight_threshold=0
            ),
            "iOS18",
        ),
        "pruned": (cto.prune_weights, cto.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=0), "iOS17"),
    }


WORST = {"int8": 0.02, "int8-offset": 0.02, "int4-block": 0.2, "table-4": 0.25, "table-6": 0.08, "table-grouped": 0.2}
"""Relative error of random weights in so many bits, with room; pruning half of them is far more."""


OLD, NEW = "constexpr_affine_dequantize", "constexpr_blockwise_shift_scale"
TABLE, SPARSE = "constexpr_lut_to_dense", "constexpr_sparse_to_dense"
KINDS = {
    **{(way, "iOS17"): OLD for way in ("int8", "int8-offset")},
    **{(way, "iOS18"): NEW for way in ("int8", "int8-offset", "int4-block")},
    **{(way, system): TABLE for way in ("table-4", "table-6") for system in ("iOS17", "iOS18")},
    ("table-grouped", "iOS18"): TABLE,
    **{("pruned", system): SPARSE for system in ("iOS17", "iOS18")},
}
"""The operation that stores a weight, by way and system."""
CAST = "constexpr_cast"
"""No way of these makes one."""


@pytest.mark.parametrize("way", ["int8", "int8-offset", "int4-block", "table-4", "table-6", "table-grouped", "pruned"])
def test_weights_expand_as_coremltools_expands_them(way, model, tmp_path):
    import coremltools.optimize.coreml as cto

    system, plain = model
    compress, config, since = options(cto)[way]
    if system < since:
        pytest.skip(f"{way} weights came with {since}")
    with quiet():
        small = compress(plain, cto.OptimizationConfig(global_config=config))
        small.save(str(tmp_path / "small.mlpackage"))
        cto.decompress_weights(small).save(str(tmp_path / "large.mlpackage"))
    runner = MilRunner(tmp_path / "small.mlpackage")
    assert KINDS[way, system] in {step.kind for step in runner.function.operations}
    found, want = (MilRunner(tmp_path / f"{name}.mlpackage")({"x": X})["y"] for name in ("small", "large"))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)
    exact = X @ WEIGHT.numpy().T
    assert np.linalg.norm(found - exact) <= WORST.get(way, 0.6) * np.linalg.norm(exact)


def test_a_table_per_block():
    indices = torch.tensor([[2, 3], [3, 0], [1, 0], [3, 0], [2, 1], [0, 3]])
    lut = torch.tensor([[1.0, 5, 9, 13], [2, 10, 18, 26]]).reshape(2, 1, 4, 1)
    made = apply("constexpr_lut_to_dense", Operands("", {"indices": indices, "lut": lut}))
    assert made.tolist() == [[9, 13], [13, 1], [5, 1], [26, 2], [18, 10], [2, 26]]


def test_a_stored_value_in_another_type():
    value = torch.tensor([1.0, 1 / 3, -65504.0], dtype=torch.float16)
    made = apply(CAST, Operands("", {"source_val": value, "output_dtype": "fp32"}))
    assert made.dtype == torch.float32
    assert made.tolist() == value.float().tolist()
    narrow = apply(CAST, Operands("", {"source_val": torch.tensor([1 / 3]), "output_dtype": "fp16"}))
    assert narrow.tolist() == [float(np.float16(1 / 3))]


def test_tables_of_vectors_are_refused():
    given = {"indices": torch.zeros(2, 2), "lut": torch.zeros(1, 1, 2, 3)}
    with pytest.raises(RuntimeFailed, match="vectors"):
        apply("constexpr_lut_to_dense", Operands("", given))


def test_a_mask_that_does_not_fit_is_refused():
    given = {"nonzero_data": torch.ones(3), "mask": torch.tensor([1, 0, 1])}
    with pytest.raises(RuntimeFailed, match="mask"):
        apply("constexpr_sparse_to_dense", Operands("", given))
