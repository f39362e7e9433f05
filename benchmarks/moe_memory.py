"""How much memory does it take to compress a mixture of experts that does not fit in it?

Makes a model of OLMoE's shape with random weights, shard by shard, and compresses it. Writes peak resident memory, the
size of the model and of the largest layer, tokens and times to ``benchmarks/results/moe_memory-METHOD-LAYERS.json``.

    python benchmarks/moe_memory.py --layers 16 --place /somewhere/with/20/GB
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from _setting import write_result
from safetensors.torch import save_file
from torch import Tensor

from edgetok_plugins.mc_moe import McMoe
from edgetok_plugins.mc_moe.compress import compress

RESULTS = Path(__file__).resolve().parent / "results"
HIDDEN, EXPERTS, INNER, VOCABULARY, HEADS = 2048, 64, 1024, 1024, 16
_KIB_PER_UNIT = 1 if sys.platform != "darwin" else 1024


def main() -> None:
    """Generate, compress, and write the result."""
    wanted = arguments()
    torch.set_num_threads(wanted.threads)
    source, output = wanted.place / f"olmoe-{wanted.layers}", wanted.place / f"olmoe-{wanted.layers}-packed"
    if not (source / "config.json").exists():
        making = get_context("spawn").Process(target=generate, args=(source, wanted.layers))  # its memory is not ours
        making.start()
        making.join()
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, VOCABULARY, (wanted.samples, wanted.length), generator=generator)
    options, shown = McMoe(bits=wanted.bits, method=wanted.method), Shown()
    manifest = compress(source, output, {"input_ids": ids}, options, progress=shown)
    shards = [file.stat().st_size for file in sorted(source.glob("layer-*.safetensors"))]
    result = {
        "how": "Peak resident memory of the process, as the system counts it, imports included.",
        "options": options.options(),
        "threads": wanted.threads,
        "layers": wanted.layers,
        "tokens": ids.numel(),
        "bytes": {"model": sum(shards), "largest_layer": max(shards), **manifest["bytes"]},
        "peak_bytes": peak(),
        "seconds": shown.seconds,
    }
    write_result(RESULTS / f"moe_memory-{wanted.method}-{wanted.layers}.json", __doc__, result)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--place", type=Path, required=True, help="a directory with room for the model and the result")
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--bits", type=float, default=2.5)
    parser.add_argument("--method", choices=("gptq", "rtn"), default="gptq")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


class Shown:
    """Progress on stdout, with the peak so far; keeps the seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[None]:
        """Time what happens inside the block."""
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin

    def advance(self, steps: int = 1) -> None:
        """Say that a layer is done."""
        print(f"{steps} done, peak {peak() / 2**30:.2f} GiB", flush=True)

    def log(self, message: str) -> None:
        """Say one line."""
        print(message, flush=True)


def peak() -> int:
    """Bytes of resident memory, at the most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // _KIB_PER_UNIT


def generate(directory: Path, layers: int) -> None:
    """A model of OLMoE's shape in fp16, a shard per layer."""
    directory.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    where: dict[str, str] = {}

    def put(file: str, tensors: dict[str, Tensor]) -> None:
        save_file(tensors, directory / file)
        where.update(dict.fromkeys(tensors, file))

    for index in range(layers):
        put(f"layer-{index:02}.safetensors", layer(f"model.layers.{index}.", generator))
    outer = {name: random(generator, VOCABULARY, HIDDEN) for name in ("model.embed_tokens.weight", "lm_head.weight")}
    put("outer.safetensors", outer | {"model.norm.weight": torch.ones(HIDDEN, dtype=torch.float16)})
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}), encoding="utf-8")
    (directory / "config.json").write_text(json.dumps(config(layers)), encoding="utf-8")


def layer(path: str, generator: torch.Generator) -> dict[str, Tensor]:
    """The weights of one layer, by their names in files."""
    made = {f"{path}self_attn.{name}_proj.weight": random(generator, HIDDEN, HIDDEN) for name in "qkvo"}
    norms = ("self_attn.q_norm", "self_attn.k_norm", "input_layernorm", "post_attention_layernorm")
    made |= {f"{path}{name}.weight": torch.ones(HIDDEN, dtype=torch.float16) for name in norms}
    made[f"{path}mlp.gate.weight"] = random(generator, EXPERTS, HIDDEN)
    for expert in range(EXPERTS):
        for name in ("gate", "up"):
            made[f"{path}mlp.experts.{expert}.{name}_proj.weight"] = random(generator, INNER, HIDDEN)
        made[f"{path}mlp.experts.{expert}.down_proj.weight"] = random(generator, HIDDEN, INNER)
    return made


def random(generator: torch.Generator, *shape: int) -> Tensor:
    """Small normal weights in fp16."""
    return (0.02 * torch.randn(*shape, generator=generator)).half()


def config(layers: int) -> dict[str, Any]:
    """What transformers needs to know."""
    return {
        "architectures": ["OlmoeForCausalLM"],
        "model_type": "olmoe",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_experts": EXPERTS,
        "num_experts_per_tok": 8,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 512,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


if __name__ == "__main__":
    main()
