"""The template is a distribution of its own: installed into its own environment, it is found and passes the kit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

LONGEST = 40
"""Lines of the plugin's module that are not blank."""


@pytest.fixture(scope="module")
def template(repository: Path) -> Path:
    return repository / "samples" / "plugin_template"


@pytest.fixture(scope="module")
def environment(template: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment, layered over the running one so that torch is not installed again."""
    folder = tmp_path_factory.mktemp("stranger")
    venv.create(folder / "env", symlinks=os.name != "nt", with_pip=False)
    python = folder / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    paths = {"base": str(folder / "env"), "platbase": str(folder / "env")}
    below = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    lines = [f"import site; site.addsitedir({path!r})" for path in dict.fromkeys(below)]
    Path(sysconfig.get_path("purelib", vars=paths), "layer.pth").write_text("\n".join(lines), encoding="utf-8")
    shutil.copytree(template, folder / "plugin", ignore=shutil.ignore_patterns("__pycache__", ".*", "dist", "build"))
    install = ["-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", str(folder / "plugin")]
    call(python, *install, cwd=folder)
    return folder


def call(python: Path, *arguments: str, cwd: Path) -> str:
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COV"))}
    done = subprocess.run(
        [python, *arguments], cwd=cwd, capture_output=True, text=True, timeout=1800, env=variables, check=False
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def python_of(environment: Path) -> Path:
    return environment / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"


def test_the_plugin_is_short(template):
    lines = (template / "edgetok_attentive.py").read_text(encoding="utf-8").splitlines()
    assert sum(1 for line in lines if line.strip()) <= LONGEST


def test_only_there_the_list_shows_it(environment):
    listed = call(python_of(environment), "-m", "edgetok.cli", "plugins", "list", "--json", cwd=environment)
    found = {plugin["name"]: plugin["from"] for plugin in json.loads(listed)["plugins"]}
    assert found["attentive"] == "edgetok-attentive 0.1.0"
    assert found["tome"].startswith("edgetok ")
    here = call(Path(sys.executable), "-m", "edgetok.cli", "plugins", "list", "--json", cwd=environment)
    assert "attentive" not in here


def test_it_is_the_installed_one_that_is_used(environment):
    where = call(python_of(environment), "-c", "import edgetok_attentive as a; print(a.__file__)", cwd=environment)
    assert Path(where.strip()).is_relative_to(environment / "env")


OTHERS = ["bert-padded", "dinov3", "transformer-encoder", "swin", "llama", "space-time", "symbolic-tokens"]
"""Models that the kit takes or refuses beside ViT; what refuses them is the engine, as for the plugins of this tree."""
QUICK = " and ".join(f"not {name}" for name in OTHERS)


@pytest.mark.slow
@pytest.mark.parametrize("models", [QUICK, pytest.param("", marks=pytest.mark.exhaustive)], ids=["vit", "all"])
def test_the_kit_passes(environment, models):
    options = ["-q", "-p", "no:cacheprovider", "-k", models]
    said = call(python_of(environment), "-m", "pytest", *options, cwd=environment / "plugin")
    assert " passed" in said
    assert "failed" not in said
