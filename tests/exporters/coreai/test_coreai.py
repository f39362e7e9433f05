"""With coreai-torch where it is installed; without it the target is listed all the same, and says what it lacks."""

import json

import pytest

from edgetok.doctor import health
from edgetok.errors import ExportFailed, MissingExtra, RuntimeFailed, TargetRefuses
from edgetok.registry import installed
from edgetok.requirements import missing, require
from edgetok.testing import zoo
from edgetok.testing.absence import run_without
from edgetok.testing.reductions import Merge
from edgetok.testing.trial import Trial, subject
from edgetok_exporters.coreai import CoreAIExporter

TARGET = installed().target("coreai")
here = pytest.mark.skipif(bool(missing(TARGET.requires)), reason="coreai-torch is not installed")


@pytest.fixture(scope="module")
def merged():
    return Trial(Merge(), subject(zoo.short_bert)).optimised


@pytest.mark.skipif(not missing(TARGET.requires), reason="coreai-torch is installed")
def test_without_its_package_it_is_listed_as_unavailable(tmp_path):
    found = health(installed(), TARGET)
    assert (found.exports, found.runs) == (False, False)
    assert "coreai_torch" in found.why_not
    assert "edgetok[coreai]" in found.fix
    for refused in (lambda: require(TARGET), lambda: CoreAIExporter().load(tmp_path / "model.aimodel")):
        with pytest.raises(MissingExtra) as caught:
            refused()
        assert "edgetok[coreai]" in caught.value.hint


def test_listing_works_without_its_package(tmp_path):
    program = "from edgetok.registry import installed as i; print('coreai' in i().targets, 'coreai' in i().exporters)"
    assert run_without(TARGET.requires, program, tmp_path).stdout.split() == ["True", "True"]


@here
def test_a_merged_model_becomes_an_asset(merged, tmp_path):
    made = CoreAIExporter().export(merged, TARGET, tmp_path)
    assert made.entry == tmp_path / "model.aimodel"
    assert made.entry.is_dir()
    assert {made.entry, made.entry / "main.mlirb"} <= set(made.files)
    assert "coreai" in json.loads((made.entry / "metadata.json").read_text())["producer"]
    with pytest.raises(RuntimeFailed, match="cannot be run"):
        CoreAIExporter().load(made.entry)
    assert CoreAIExporter().export(merged, TARGET, tmp_path).entry == made.entry, "an older one is replaced"


@here
def test_a_stem_that_leaves_the_directory_is_refused(merged, tmp_path):
    with pytest.raises(ExportFailed, match="file name"):
        CoreAIExporter().export(merged, TARGET, tmp_path, stem="../model")


def test_no_quantised_model_is_taken():
    from edgetok.session.precision import choose

    with pytest.raises(TargetRefuses):
        choose([installed().plugin("quantize")], TARGET)
