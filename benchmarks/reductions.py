"""Token reductions compared on the ViT-Tiny of ``EDGETOK_DATA``: accuracy, KL to dense and latency at equal FLOPs.

Two halves. ``accuracy`` walks every method's program over ``imagenet_val`` and may run on a busy machine, as what it
measures does not depend on it; ``latency`` exports the same programs, times them in onnxruntime interleaved with dense
on one thread, and refuses a busy machine. Each writes ``benchmarks/results/reductions_HALF.json`` and goes on
where it was stopped: what is done is kept in ``build/benchmarks`` until code, model or data change. ``files`` does
what ``latency`` has to do before it times.

    python benchmarks/reductions.py accuracy
    python benchmarks/reductions.py latency
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _budget import NEAR, Fitted, at_budget
from _halves import Trial, crossed, figures
from _methods import BASELINE, CONTENDERS, METHODS, Method
from _setting import load_or_exit, versions, write_result
from _store import Store, identity
from _vit_tiny import DATA, Subject

from edgetok.bench import bench
from edgetok.registry import installed
from edgetok.session.apart import fingerprints
from edgetok.tune.judge import Judge, Losses

RESULTS = Path(__file__).resolve().parent / "results"
BUDGETS = (15, 25, 40, 50)
COMPARED = (25, 40)
"""Budgets at which methods are chosen on one half of the pictures and judged on the other."""
GOAL = 0.7
"""The ratio of KLs to constant r's that is aimed at."""


def main() -> int:
    """Measure one half."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("half", choices=("accuracy", "files", "latency"))
    parser.add_argument("--budget", type=int, nargs="+", default=list(BUDGETS), help="per cent of FLOPs; all of them")
    parser.add_argument("--threads", type=int, default=1, help="of accuracy; latency is that of one thread")
    parser.add_argument("--seconds", type=float, default=50.0, help="of timing, per budget")
    parser.add_argument("--allow-load", action="store_true", help="time on a busy machine; the load is recorded")
    wanted = parser.parse_args()
    torch.set_num_threads(wanted.threads if wanted.half == "accuracy" else 1)
    load = load_or_exit(wanted.allow_load or wanted.half != "latency")
    subject = Subject.load()
    judge = subject.judge("imagenet_val")
    store = Store.at("reductions", *sorted(fingerprints(judge.data)), digest(DATA / "vit_tiny_in1k"))
    path = RESULTS / f"reductions_{wanted.half}.json"
    if wanted.half == "accuracy":
        write_result(path, __doc__, accuracy(subject, judge, store, wanted.budget))
    elif wanted.half == "files":
        for budget in wanted.budget:
            files(subject, store, budget)
    else:
        write_result(path, __doc__, {**latency(subject, judge, store, wanted), "load_average": load})
    return 0


def accuracy(subject: Subject, judge: Judge, store: Store, budgets: Sequence[int]) -> dict[str, Any]:
    """Every method at every budget, and what is chosen on halves."""
    rows, compared = [], []
    for budget in budgets:
        goal = fitted(subject, store, BASELINE, budget).saved
        for method in METHODS:
            found = fitted(subject, store, method, goal)
            rows.append(row(method, budget, found, losses(subject, judge, store, found), subject))
            print(f"{method.name} at {budget} %: {found.saved:.2f} %, KL {rows[-1]['kl']['value']:.4f}", flush=True)
        if budget in COMPARED:
            compared.append(halved(subject, judge, store, budget))
    return {
        "how": f"Programs walked in torch on {len(judge)} pictures, against dense on the same ones.",
        "dense": dense_accuracy(judge),
        "goal": GOAL,
        "rows": rows,
        "halves": compared,
    }


def halved(subject: Subject, judge: Judge, store: Store, budget: int) -> dict[str, Any]:
    """Methods that cost what the baseline costs, chosen on one half and judged on the other."""
    baseline = fitted(subject, store, BASELINE, budget)
    trials, left_out = [], []
    for method in (*METHODS, *CONTENDERS):
        found = fitted(subject, store, method, baseline.saved)
        if abs(found.saved - baseline.saved) > NEAR:
            left_out.append(method.name)
            continue
        trials.append(Trial(method.name, losses(subject, judge, store, found)))
        print(f"  {method.name}: {found.saved:.2f} %, KL {trials[-1].losses.kl.mean():.4f}", flush=True)
    reference = losses(subject, judge, store, baseline)
    every = {trial.method: figures(trial.losses, reference) for trial in trials}
    found = crossed(trials, reference)
    return {"budget": budget, "saved": baseline.saved, "all": every, "not as costly": left_out, **found}


def fitted(subject: Subject, store: Store, method: Method, budget: float) -> Fitted:
    """A method's options at a budget."""
    known = store.json("fitted", method.key, budget)
    if known is not None:
        return Fitted(installed().plugin(known["plugin"], known["options"]), known["saved"])  # type: ignore[arg-type]
    found = at_budget(subject, method.ladder, budget)
    options = found.plugin.options()
    store.keep_json(
        {"plugin": found.plugin.name, "options": options, "saved": found.saved},
        "fitted", method.key, budget,
    )  # fmt: skip
    return found


def losses(subject: Subject, judge: Judge, store: Store, found: Fitted) -> Losses:
    """What a method loses on every picture."""
    key = ("losses", *identity(found.plugin))
    return store.losses(*key) or store.keep_losses(judge(subject.steps(found.plugin)), *key)


def row(method: Method, budget: int, found: Fitted, lost: Losses, subject: Subject) -> dict[str, Any]:
    """One method at one budget."""
    return {
        "method": method.name,
        "plugin": found.plugin.name,
        "options": given(found),
        "budget": budget,
        "tokens": list(subject.tokens(found.plugin)),
        "saved": found.saved,
        **figures(lost),
    }


def given(found: Fitted) -> dict[str, Any]:
    """A method's options without those at their defaults."""
    plain = type(found.plugin)().options()
    return {key: value for key, value in found.plugin.options().items() if value != plain[key]}


def digest(folder: Path) -> str:
    """Of the content of a model's files."""
    made = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        made.update(path.name.encode() + path.read_bytes())
    return made.hexdigest()


def dense_accuracy(judge: Judge) -> float:
    """Top-1 of dense on the pictures, per cent."""
    right = judge(()).dense_right
    assert right is not None
    return 100.0 * float(right.mean())


def all_fitted(subject: Subject, store: Store, budget: int) -> dict[str, Fitted]:
    """Every method at what the baseline saves at a budget."""
    goal = fitted(subject, store, BASELINE, budget).saved
    return {method.name: fitted(subject, store, method, goal) for method in METHODS}


def files(subject: Subject, store: Store, budget: int) -> dict[str, Path]:
    """The exported file of every method at a budget, and of dense."""
    plugins = {name: found.plugin for name, found in all_fitted(subject, store, budget).items()}
    return {name: file(subject, store, plugin) for name, plugin in {"dense": None, **plugins}.items()}


def file(subject: Subject, store: Store, plugin: Any) -> Path:
    """The exported file of a plugin's program, or of dense."""
    path = store.path(".onnx", *(identity(plugin) if plugin else ("dense",)))
    if not path.exists():
        exporter = installed().exporter(subject.target.exporter)
        made = exporter.export(subject.rewritten(plugin), subject.target, path.parent, stem="part")
        made.entry.replace(path)
        print(f"exported {plugin.name if plugin else 'dense'}", flush=True)
    return path


def latency(subject: Subject, judge: Judge, store: Store, wanted: argparse.Namespace) -> dict[str, Any]:
    """Every file timed against dense, a budget at a time; first all are exported."""
    every = {budget: files(subject, store, budget) for budget in wanted.budget}
    pixels, _ = next(iter(judge.data.batches(1)))
    rows = []
    for budget, paths in every.items():
        key = ("timed", budget, wanted.seconds, {name: path.name for name, path in paths.items()})
        timed = store.json(*key) or store.keep_json(times(paths, pixels, wanted.seconds), *key)
        rows += latency_rows(budget, all_fitted(subject, store, budget), timed)
        print(f"{budget} %: timed {len(timed)} methods", flush=True)
    how = f"{wanted.seconds:.0f} s per budget, one thread, batch 1, all methods of a budget and dense interleaved."
    return {"how": how, "rows": rows}


def latency_rows(budget: int, methods: Mapping[str, Fitted], timed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was timed, with the options that say of which program: those of an accuracy row must be the same."""
    return [
        {"method": name, "options": given(methods[name]), "budget": budget, "saved": methods[name].saved, **found}
        for name, found in timed.items()
    ]


def times(paths: dict[str, Path], pixels: Any, seconds: float) -> dict[str, Any]:
    """Latency of dense for every file but dense, with the 95 % interval of its median over rounds."""
    exporter = installed().exporter("onnx")
    found = bench(
        {name: partial(exporter.load, path, threads=1) for name, path in paths.items()},
        pixels,
        threads=1,
        seconds=seconds,
        runtime=f"onnxruntime {versions()['onnxruntime']}",
        baseline="dense",
    )
    return {
        name: {
            "latency": {"value": 1 / ratio.ratio, "low": 1 / ratio.spread[1], "high": 1 / ratio.spread[0]},
            "milliseconds": found.times[name].p50_ms,
            "dense_milliseconds": found.times["dense"].p50_ms,
            "runs": found.runs,
            "load_average": found.load_average,
        }
        for name, ratio in found.ratios.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
