"""What the checks of a reduction stand on: the author's statements, and trials that are made once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import pytest

from edgetok.testing.afresh import Afresh, afresh
from edgetok.testing.cases import Case, RefusalCase
from edgetok.testing.trial import Subject, Trial, subject

if TYPE_CHECKING:
    from edgetok.plugin import TokenReduction
    from edgetok.testing.cases import Factory


class Stage:
    """What an author of a reduction states.

    Attributes:
        plugin: an instance, with options under which it reduces every accepted model.
        zero: an instance whose options make it do nothing.
        accepts: models it must rewrite.
        refuses: models it must refuse, with the reason.
        lossless: why no task is needed, for a method that loses nothing.
        everywhere: whether the first case is exported with every exporter that runs here; that takes minutes.
    """

    plugin: TokenReduction
    zero: TokenReduction
    accepts: Sequence[Case] = ()
    refuses: Sequence[RefusalCase] = ()
    lossless: str = ""
    everywhere: bool = False

    _trials: ClassVar[dict[str, Trial]]
    _afresh: ClassVar[dict[str, Afresh]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._trials = {}
        cls._afresh = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per model for checks that ask for one."""
        for name, cases in self.rows().items():
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, cases, ids=lambda case: case.id)

    def rows(self) -> dict[str, Sequence[Case] | Sequence[RefusalCase]]:
        """The models that a check gets, by the name of its argument."""
        lossy = [case for case in self.accepts if case.task]
        exported = [case for case in self.accepts if case.export]
        accepted = [case for case in self.accepts if not case.task_only]
        return {"accepted": accepted, "refused": self.refuses, "lossy": lossy, "exported": exported}

    def plugin_for(self, case: Case) -> TokenReduction:
        """The plugin with the options of a case."""
        return case.plugin or self.plugin

    def subject(self, factory: Factory) -> Subject:
        """A model, captured once."""
        return subject(factory)

    def trial(self, case: Case) -> Trial:
        """The plugin on the model of a case, once."""
        if case.id not in self._trials:
            self._trials[case.id] = Trial(self.plugin_for(case), self.subject(case.component))
        return self._trials[case.id]

    def afresh(self, case: Case) -> Afresh:
        """The plugin on the model of a case captured anew, once."""
        if case.id not in self._afresh:
            self._afresh[case.id] = afresh(self.plugin_for(case), case.component)
        return self._afresh[case.id]
