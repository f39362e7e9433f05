"""Write the generated parts of the documentation again, or check that they are current."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from docs.generate.pages import current_pages

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Write or check; the exit status is 1 where a check finds something out of date."""
    parser = argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; show what would change")
    check = parser.parse_args().check
    stale = 0
    for path, text in current_pages(ROOT).items():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == text:
            continue
        stale += 1
        name = path.relative_to(ROOT).as_posix()
        if check:
            lines = difflib.unified_diff(old.splitlines(True), text.splitlines(True), name, f"{name} (generated)")
            sys.stdout.writelines(lines)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return int(check and stale > 0)


if __name__ == "__main__":
    raise SystemExit(main())
