"""The documentation in the repository is what the generators make of the code and the measured JSON."""

from __future__ import annotations

import subprocess
import sys


def test_generated_documentation_is_current(repository):
    command = [sys.executable, "-m", "docs.generate", "--check"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run `make docs`\n{done.stdout}{done.stderr}"


def test_every_page_is_reached_from_the_navigation(repository):
    import yaml

    config = yaml.safe_load((repository / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = {path for entry in config["nav"] for path in entry.values()}
    pages = {path.relative_to(repository / "docs").as_posix() for path in (repository / "docs").glob("*.md")}
    assert listed == pages
