"""The whole of what a plugin may be: options as fields, a name, its source, and one method per stage it acts in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from edgetok.graph.program import Program
    from edgetok.graph.scope import Extent
    from edgetok.graph.signals import Signals
    from edgetok.graph.site import Site
    from edgetok.graph.tokens import TokenMap
    from edgetok.model import Component, Model
    from edgetok.precision import Scheme, TensorFormat
    from edgetok.progress import Progress
    from edgetok.weights import Place, Reweighted

API_VERSION = "1"
"""Version of everything a plugin imports from edgetok. Plugins written for another version are refused."""

Stage = Literal["weights", "graph", "precision", "host"]


class Plugin(BaseModel):
    """A method. Its fields are its options; an instance is a choice of options.

    Class attributes:
        name: kebab-case, unique among all installed plugins.
        summary: one line.
        paper: title and address of the source; what departs from it belongs in the class docstring.
        stages: where it acts.
        after, changes, excludes: tags of ``edgetok.tags`` that order plugins; never other plugins' names.
        api_version: the ``edgetok.API_VERSION`` it was written for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    summary: ClassVar[str]
    paper: ClassVar[str]
    stages: ClassVar[tuple[Stage, ...]]
    after: ClassVar[tuple[str, ...]] = ()
    changes: ClassVar[tuple[str, ...]] = ()
    excludes: ClassVar[tuple[str, ...]] = ()
    api_version: ClassVar[str] = API_VERSION

    def options(self) -> dict[str, object]:
        """Every option with its value, as plain data."""
        return self.model_dump(mode="json")


class TokenReduction(Plugin):
    """A GRAPH plugin that leaves fewer tokens after an attention than went in.

    The engine visits the attention sites of a token space in order. At each it asks ``refuses`` whether this
    method may act there, ``keep`` how many tokens shall be left (planning: numbers only, no tensors), and, while
    re-tracing, ``reduce`` for the token map. Everything downstream of the site is repaired by the engine.
    """

    stages: ClassVar[tuple[Stage, ...]] = ("graph",)
    changes: ClassVar[tuple[str, ...]] = ("token-count",)

    proportional: ClassVar[bool] = True
    """Whether later attention weighs a token by the number of tokens it stands for; may be shadowed by a property."""

    extent: ClassVar[Extent] = "onward"
    """What has fewer tokens: all that follows, one ``attention`` alone, or its ``keys`` and values alone.

    Where it is one attention alone, ``reduce`` is asked before there are queries and keys: it has ``hidden``, what they
    are made of, and no front where that is made of one segment. Merged tokens come back after the attention.
    """

    def refuses(self, site: Site) -> str | None:
        """A reason, for people, why this method must not act at ``site``; ``None`` when it may.

        The default accepts any self-attention whose tokens the engine can follow; see ``Site.obstacle_to``.
        """
        return site.obstacle_to(self.extent)

    def keep(self, site: Site, tokens: int) -> int:
        """How many of ``tokens`` tokens are left after ``site``; ``tokens`` itself means: nothing to do here."""
        raise NotImplementedError

    def remark(self, site: Site, tokens: int) -> str | None:
        """What the plan should say about ``keep``'s answer, e.g. that it was capped; ``None`` for nothing."""
        return None

    def with_schedule(self, removed: Sequence[int]) -> Self | None:
        """The same method asked to remove so many tokens after each attention of a space; ``None``: it cannot be asked.

        ``edgetok tune`` searches over schedules where there are any, and over options that declare
        ``json_schema_extra={"search": {"low": ..., "high": ...}}`` (or ``"choices": [...]``) everywhere.
        """
        return None

    def with_rates(self, dropped: Sequence[int], merged: Sequence[int]) -> Self | None:
        """The same method asked to drop and to merge so many tokens after each attention; ``None``: it cannot be asked.

        ``edgetok tune --method gradient`` learns the two apart where there are two.
        """
        return None

    def reduce(self, signals: Signals, keep: int) -> TokenMap:
        """The map from the old tokens to ``keep`` new ones. Plain tensor code, traced; no data-dependent branches."""
        raise NotImplementedError


class WeightPlugin(Plugin):
    """A WEIGHTS plugin: it gives a component other weights, or packs them, before its graph is captured for export.

    ``places`` is asked while planning, when parameters may be fake. ``rewrite`` reads weights: from the component, or,
    where a model does not fit in memory, from ``model.directory``.
    """

    stages: ClassVar[tuple[Stage, ...]] = ("weights",)
    changes: ClassVar[tuple[str, ...]] = ("weights",)
    excludes: ClassVar[tuple[str, ...]] = ("weights",)

    def places(self, component: Component) -> tuple[Place, ...]:
        """Every place it considered, rewritten or refused; empty where the model has none of its kind."""
        raise NotImplementedError

    def calibration_samples(self) -> int:
        """How many samples it wants to see; 0 for none."""
        return 0

    def rewrite(
        self, model: Model, component: Component, inputs: Mapping[str, Tensor], scratch: Path, progress: Progress
    ) -> Reweighted:
        """The component with other weights; ``component`` itself stays as it is.

        Args:
            model: what the component is of.
            component: its parameters may be fake; ``component.weights`` reads them.
            inputs: calibration samples by input name, in one batch; empty where none were wanted.
            scratch: an empty directory for files that need not stay.
            progress: where to show progress.
        """
        raise NotImplementedError


class PrecisionPlugin(Plugin):
    """A PRECISION plugin: it declares formats of weights and activations; the exporter fulfils them."""

    stages: ClassVar[tuple[Stage, ...]] = ("precision",)
    after: ClassVar[tuple[str, ...]] = ("token-count", "attention", "weights")
    changes: ClassVar[tuple[str, ...]] = ("precision",)
    excludes: ClassVar[tuple[str, ...]] = ("precision",)

    def schemes(self) -> tuple[Scheme, ...]:
        """The schemes its options allow; the target's order of preference decides among them."""
        raise NotImplementedError

    def formats(self, program: Program) -> dict[str, TensorFormat]:
        """Formats by state-dict name. Weights may be fake: only their shapes count."""
        raise NotImplementedError

    def calibration_samples(self, scheme: Scheme) -> int:
        """How many samples the scheme is calibrated on; 0 for none."""
        return 0
