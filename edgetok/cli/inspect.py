"""``edgetok inspect``: what edgetok sees in a model."""

from __future__ import annotations

from edgetok.cli.arguments import (
    Json,
    Network,
    Plugins,
    Quiet,
    RecipeFile,
    Target,
    What,
    plugin_list,
    read_recipe,
)
from edgetok.cli.output import emit, show
from edgetok.progress import for_stderr


def inspect(
    what: What = None,
    config: RecipeFile = None,
    plugins: Plugins = None,
    target: Target = None,
    allow_network: Network = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show the captured graph: token spaces, attention sites, and where plugins may act or why not.

    edgetok inspect sample:vit_digits --plugins tome:r=8
    """
    recipe = read_recipe(what, config, {"plugins": plugin_list(plugins), "target": target})
    from edgetok.session import inspect as look

    seen = look(recipe, allow_network=allow_network, progress=for_stderr(quiet=quiet))
    emit(seen) if as_json else show(str(seen))
