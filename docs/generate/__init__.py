"""The generated parts of README.md and docs/: options, errors, help texts, figures.

``python -m docs.generate`` writes them, ``python -m docs.generate --check`` says what is out of date. A generated part
lies between ``<!-- generated: NAME -->`` and ``<!-- end -->``; what is written around it by hand stays.
"""
