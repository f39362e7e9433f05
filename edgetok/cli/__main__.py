"""``python -m edgetok.cli`` is ``edgetok``."""

from edgetok.cli.main import run

if __name__ == "__main__":
    run()
