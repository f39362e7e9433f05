"""``package.module:factory``: the user's own code builds the model."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgetok.errors import EdgetokError, ModelNotFound, UnsupportedModel

if TYPE_CHECKING:
    from edgetok.model import Model


def load_factory(ref: str) -> Model:
    """Import ``package.module`` (the working directory counts) and call ``factory`` without arguments.

    It returns ``(module, inputs)``, an :class:`edgetok.model.Model` or an :class:`edgetok.model.Component`.

    Raises:
        ModelNotFound: the module or the factory does not exist.
        UnsupportedModel: importing or calling it fails, or it returns something else.
    """
    module_name, _, attribute = ref.partition(":")
    with _working_directory_importable():
        factory = _find(module_name, attribute, ref)
        try:
            made = factory()
        except EdgetokError:
            raise
        except Exception as error:
            raise UnsupportedModel(
                f"{ref} failed.", why=cause(error), hint="Call it yourself to see all of it."
            ) from error
    return _wrap(made, ref)


def find_callable(ref: str) -> Callable[[], Any]:
    """The callable that ``package.module:name`` names.

    Raises:
        ModelNotFound: the module or the name does not exist.
        UnsupportedModel: importing fails, or it is not callable.
    """
    module_name, _, attribute = ref.partition(":")
    with _working_directory_importable():
        return _find(module_name, attribute, ref)


def cause(error: BaseException) -> str:
    """One line that says what an exception was and where in the user's code it came from."""
    where = ""
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_code.co_filename != __file__ and "importlib" not in frame.f_code.co_filename:
            where = f" ({Path(frame.f_code.co_filename).name}:{traceback.tb_lineno})"
        traceback = traceback.tb_next
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'}{where}"


@contextmanager
def _working_directory_importable() -> Iterator[None]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)


def _find(module_name: str, attribute: str, ref: str) -> Callable[[], Any]:
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            hint = "Run edgetok where the package can be imported (the working directory counts)."
            raise ModelNotFound(
                f"There is no module {module_name!r} for {ref!r}.", why=cause(error), hint=hint
            ) from error
        raise UnsupportedModel(f"{module_name} cannot be imported.", why=cause(error)) from error
    except Exception as error:
        raise UnsupportedModel(f"{module_name} cannot be imported.", why=cause(error)) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            close = get_close_matches(part, dir(found), n=2)
            hint = f"Did you mean {' or '.join(close)}?" if close else ""
            raise ModelNotFound(f"{module_name} has no {attribute!r}.", why=f"{part!r} does not exist.", hint=hint)
        found = getattr(found, part)
    if not callable(found):
        raise UnsupportedModel(f"{ref} is not callable.", why=f"It is {type(found).__name__}.")
    return found  # type: ignore[no-any-return]


def _wrap(made: object, ref: str) -> Model:
    from torch import nn

    from edgetok.model import Component, Model
    from edgetok.sources.memory import from_module

    name = ref.rpartition(":")[2]
    if isinstance(made, Model):
        return replace(made, source=ref)
    if isinstance(made, Component):
        return Model(name=name, source=ref, components={made.name: made})
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module):
        return from_module(made[0], made[1], name=name, source=ref)
    raise UnsupportedModel(
        f"{ref} did not return a model.",
        why=f"It returned {type(made).__name__}.",
        hint="Return (module, inputs), an edgetok.model.Model or an edgetok.model.Component.",
    )
