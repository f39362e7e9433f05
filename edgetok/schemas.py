"""JSON Schemas of edgetok's files, generated from the models that read them.

``python -m edgetok.schemas docs/schema`` publishes them.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

MODELS: Final = MappingProxyType(
    {
        "recipe": "edgetok.recipe:Recipe",
        "manifest": "edgetok.bundle.manifest:Manifest",
        "target": "edgetok.target:Target",
        "tune": "edgetok.tune.result:Tuned",
    }
)
"""The model behind each schema that is published from here; the report publishes its own."""

NAMES: Final = ("recipe", "manifest", "report", "target", "tune")


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of ``recipe``, ``manifest``, ``target`` or ``tune``."""
    module, _, cls = MODELS[name].partition(":")
    schema: dict[str, Any] = getattr(import_module(module), cls).model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text(name: str) -> str:
    """The schema of one of ``NAMES``, as it is published."""
    if name == "report":
        return import_module("edgetok.report.schema").json_schema()  # type: ignore[no-any-return]
    return json.dumps(json_schema(name), indent=2) + "\n"


def publish(directory: Path) -> list[Path]:
    """Write every schema as ``NAME.schema.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = {name: directory / f"{name}.schema.json" for name in NAMES}
    for name, path in paths.items():
        path.write_text(schema_text(name), encoding="utf-8")
    return list(paths.values())


if __name__ == "__main__":
    publish(Path(sys.argv[1]))
