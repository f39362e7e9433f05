"""A model reference, as a user writes it, to a Model."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from edgetok.errors import ModelNotFound, UnsafeModel, UnsupportedModel
from edgetok.registry import installed

if TYPE_CHECKING:
    from edgetok.model import Model

PICKLES = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth", ".joblib", ".mar"})
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FORMS = "a transformers directory, a .pt2 file, package.module:factory, timm:NAME, sample:NAME or hub:OWNER/NAME"


def load_model(ref: str, *, allow_network: bool = False) -> Model:
    """Load a model without running any code it carries.

    Args:
        ref: a transformers directory, a ``.pt2`` exported program, ``package.module:factory``, ``timm:NAME``,
            ``sample:NAME``, or a hub id ``owner/name`` (also ``hub:owner/name``).
        allow_network: allow the hub to be asked for what is not on this machine.

    Raises:
        ModelNotFound: nothing is there.
        UnsafeModel: what is there carries pickled or native code.
        BrokenWeights: a weight file is truncated, malformed or does not fit.
        UnsupportedModel: it is of a kind no source can load.
        NetworkRefused: it lives on a hub and ``allow_network`` is false.
        MissingExtra: the package that loads it is not installed.
    """
    scheme, _, rest = ref.partition(":")
    if scheme == "timm" and rest:
        from edgetok.sources.timm_models import load_timm

        return load_timm(rest, source=ref, allow_network=allow_network)
    if scheme == "sample" and rest:
        from edgetok.sources.samples import load_sample

        return load_sample(rest, source=ref)
    if scheme == "hub" and rest:
        return _from_hub(rest, ref, allow_network)
    if rest and scheme in (sources := installed().sources):
        return sources[scheme].value(rest)
    path = Path(ref).expanduser()
    if path.exists():
        return _from_path(path, ref)
    if _FACTORY.fullmatch(ref):
        from edgetok.sources.factory import load_factory

        return load_factory(ref)
    if _HUB_ID.fullmatch(ref) and not path.parent.is_dir() and not _is_file_name(path):
        return _from_hub(ref, ref, allow_network)
    raise ModelNotFound(f"There is no model at {ref!r}.", why="No such file or directory.", hint=_near(path))


def _is_file_name(path: Path) -> bool:
    return path.suffix in PICKLES | {".pt2", ".safetensors", ".onnx", ".json"}


def _from_hub(name: str, ref: str, allow_network: bool) -> Model:
    from edgetok.sources.hub import snapshot
    from edgetok.sources.huggingface import load_directory

    return load_directory(snapshot(name, allow_network=allow_network), source=ref, name=name.rpartition("/")[2])


def _from_path(path: Path, ref: str) -> Model:
    if path.is_dir():
        from edgetok.sources.huggingface import load_directory

        return load_directory(path, source=ref)
    if path.suffix == ".pt2":
        from edgetok.sources.exported import load_exported

        return load_exported(path, source=ref)
    if path.suffix in PICKLES:
        raise refused_pickle(path)
    raise UnsupportedModel(
        f"{path.name} is not a model edgetok can load.",
        why=f"A file ending in {path.suffix or 'nothing'!r}; edgetok takes {_FORMS}.",
        hint="For weights alone, name the directory that holds config.json and model.safetensors.",
    )


def refused_pickle(path: Path) -> UnsafeModel:
    """The refusal of a pickled model file, with the ways out."""
    return UnsafeModel(
        f"{path.name} is refused: it is a pickle, and loading a pickle can run any code.",
        why=f"{path} ends in {path.suffix!r}, the format of torch.save and pickle.",
        hint=(
            "If you trust it, convert it once yourself: state = torch.load(path, weights_only=True); "
            "safetensors.torch.save_file(state, 'model.safetensors') beside its config.json; "
            "or torch.export.save(torch.export.export(model, inputs), 'model.pt2'); "
            "or write package.module:factory, which builds the model in your own code."
        ),
    )


def _near(path: Path) -> str:
    parent = path.parent
    try:
        names = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
    except OSError:
        names = []
    close = get_close_matches(path.name, names, n=3, cutoff=0.6)
    if close:
        return "Did you mean " + " or ".join(str(parent / name) for name in close) + "?"
    return f"A model is {_FORMS}."
