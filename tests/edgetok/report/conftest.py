"""Reports in the states that a person may meet, as a factory: ``make_report(latency=..., parity=...)``."""

import datetime as dt

import pytest

from edgetok.report.cost import (
    FlopsByPart,
    FlopsSection,
    Latency,
    LatencyRow,
    LoadMs,
    Memory,
    SizeBytes,
    Timings,
    Tokens,
)
from edgetok.report.evidence import (
    Accuracy,
    Bound,
    Decisions,
    DecisionSite,
    Difference,
    OutputParity,
    Parity,
    Refusal,
    Rewritten,
    TaskAgreement,
)
from edgetok.report.schema import Delivered, Io, Machine, ModelInfo, PluginInfo, Report, TargetInfo

DENSE = 2_514_000_000
OPTIMIZED = 1_571_000_000
PLUGIN = PluginInfo(
    name="tome",
    options={"r": 8, "prop_attn": True, "order": "reference"},
    summary="Merges the most similar tokens after every attention.",
    paper="Token Merging: Your ViT But Faster",
    paper_url="https://arxiv.org/abs/2210.09461",
    sites=12,
)


def parity(passed=True, **changes):
    figures = {
        "how": "File and rewritten model on the same inputs; the file's merges replayed in the reference.",
        "passed": passed,
        "max_abs": 7.2e-6 if passed else 3.1,
        "n": 16,
        "inputs": "real",
        "outputs": (
            OutputParity(
                name="logits",
                rewritten=Difference(max_abs=7.2e-6, rel=9e-7, snr_db=118.0)
                if passed
                else Difference(max_abs=3.1, rel=0.4, snr_db=4.0),
                dense=Difference(max_abs=6.9e-6, rel=8e-7, snr_db=119.0),
                bound=Bound(min_snr_db=106.0, max_rel=1e-5),
                passed=passed,
            ),
        ),
        "decisions": Decisions(
            sites=tuple(
                DecisionSite(node=f"bipartite_match_{i}", samples=16, same=16 - (i == 4), worst_gap=0.0, passed=True)
                for i in range(12)
            ),
            samples=16,
            same_share=0.9948,
            worst_gap=2.4e-7,
            near_tie=1e-4,
            passed=True,
        ),
        "task": TaskAgreement(output="logits", n=16, top1=1.0),
        "first_diverging_module": None if passed else "vit.layers.3.attention",
    }
    return Parity(**(figures | changes))


TOKENS = tuple(197 - 8 * i for i in range(13))

COST = {
    "tokens": Tokens(how="Read off the captured graphs.", per_layer=TOKENS, dense_per_layer=(197,) * 13),
    "flops": FlopsSection(
        how="2 x MACs, one sample.",
        dense=DENSE,
        optimized=OPTIMIZED,
        ratio=DENSE / OPTIMIZED,
        paper_style_ratio=1.66,
        parts=(
            FlopsByPart(part="embedding", dense=57_802_752, optimized=57_802_752),
            FlopsByPart(part="blocks", dense=2_455_813_248, optimized=1_502_000_000),
            FlopsByPart(part="head", dense=384_000, optimized=384_000),
            FlopsByPart(part="matching", dense=0, optimized=10_813_248),
        ),
    ),
    "size_bytes": SizeBytes.of(22_900_000, 23_100_000, "Bytes on disk."),
    "latency": Latency(
        how="Interleaved in one process, 20 warm-up rounds, 200 measured; spread is the bootstrap 95 % interval.",
        dense_ms=12.3,
        optimized_ms=8.04,
        ratio=1.53,
        spread=(1.50, 1.56),
        dense_p90_ms=13.0,
        optimized_p90_ms=8.6,
        threads=1,
        batch=1,
        runtime="onnxruntime 1.31.1",
        runs=200,
        load_average=0.3,
        more=(
            LatencyRow(
                dense_ms=402.1,
                optimized_ms=246.9,
                ratio=1.63,
                spread=(1.61, 1.66),
                dense_p90_ms=411.0,
                optimized_p90_ms=260.2,
                threads=1,
                batch=32,
            ),
        ),
    ),
    "memory": Memory.of(94_000_000, 91_000_000, "Peak resident set of a fresh process, import cost subtracted."),
    "load_ms": LoadMs.of(61.2, 83.9, "A fresh process, file cache warm."),
    "timings": Timings(how="Wall clock.", seconds={"load": 0.4, "capture": 2.1, "rewrite": 0.8, "export": 6.2}),
}

EVIDENCE = {
    "accuracy": Accuracy(
        how="Both models on the same 650 images, batch 1.",
        n=650,
        dense=82.46,
        optimized=82.31,
        drop=0.15,
        ci95=(-0.62, 0.92),
        kl_mean=0.0214,
        top1_agreement=97.2,
        method="paired bootstrap, 10,000 resamples, seed 0",
        data="imagenet_val",
    ),
    "rewrites": tuple(
        Rewritten(site=f"vit.layers.{i}", plugin="tome", what=f"{197 - 8 * i} to {189 - 8 * i} tokens")
        for i in range(12)
    ),
}

RUN = {
    "created": dt.datetime(2026, 11, 1, 12, 30, tzinfo=dt.UTC),
    "plan_digest": "sha256:0f3c9a7be1",
    "model": ModelInfo(name="vit_tiny_in1k", source="vit_tiny_in1k", role="classifier", parameters=5_717_416),
    "target": TargetInfo(name="onnx-cpu", runtime="onnxruntime", exporter="onnx"),
    "plugins": (PLUGIN,),
    "versions": {"edgetok": "0.1.0", "torch": "2.13.0", "onnxruntime": "1.31.1"},
    "machine": Machine(system="Linux x86_64", processor="Some CPU", cores=2, memory_bytes=25_769_803_776),
    "delivered": Delivered(
        entry="model.onnx",
        files=("model.onnx",),
        inputs=(Io(name="pixel_values", shape=("batch", 3, 224, 224), dtype="float32"),),
        outputs=(Io(name="logits", shape=("batch", 1000), dtype="float32"),),
    ),
    "recipe": {"version": 1, "model": "vit_tiny_in1k", "plugins": [{"name": "tome", "options": {"r": 8}}]},
}


def build(**changes):
    return Report(**(COST | EVIDENCE | RUN | {"parity": parity()} | changes))


STATES = {
    "good": {},
    "no-evaluation": {
        "accuracy": Accuracy.not_evaluated(),
        "latency": Latency(how="Not measured: --no-bench."),
        "memory": Memory(how="Not measured: --no-bench."),
        "load_ms": LoadMs(how="Not measured: --no-bench."),
    },
    "parity-failed": {"parity": parity(False)},
    "slower": {
        "latency": Latency(
            how="Interleaved.",
            dense_ms=3.1,
            optimized_ms=3.62,
            ratio=0.86,
            spread=(0.84, 0.88),
            dense_p90_ms=3.2,
            optimized_p90_ms=4.4,
            threads=2,
            batch=1,
            runtime="onnxruntime 1.31.1",
            more=(LatencyRow(dense_ms=88.0, optimized_ms=87.6, ratio=1.0, spread=(0.98, 1.02), threads=2, batch=32),),
        ),
    },
    "deep-and-refused": {
        "tokens": Tokens(
            how="Read off the captured graphs.",
            per_layer=tuple(577 - 23 * i if i < 20 else 140 - i for i in range(25)),
            dense_per_layer=(577,) * 25,
        ),
        "accuracy": Accuracy(
            how="Both models on the same 100 images.",
            n=100,
            dense=80.0,
            optimized=71.0,
            drop=9.0,
            ci95=(4.1, 14.6),
            kl_mean=0.4,
            top1_agreement=82.0,
        ),
        "refusals": (
            *(
                Refusal(
                    site=f"model.vision_tower.encoder.stages.{i}.blocks.attention.self",
                    plugin="tome",
                    reason="attention runs in windows: its batch contains a window factor; merging would mix windows",
                )
                for i in range(40)
            ),
            *(Refusal(site=f"decoder.{i}", plugin="tome", reason=f"reason number {i}: causal mask") for i in range(9)),
        ),
    },
}


@pytest.fixture
def make_report():
    """``make_report(parity=...)``: a good run's report with some sections replaced."""
    return build


@pytest.fixture
def make_state():
    """``make_state("slower")``: the report of a named state."""
    return lambda name: build(**STATES[name])


@pytest.fixture(params=STATES, ids=str)
def any_report(request):
    """The report of every state in turn."""
    return build(**STATES[request.param])
