import pytest

from edgetok.errors import BadRecipe
from edgetok.recipe_file import load_recipe


@pytest.mark.parametrize(
    ("text", "what", "why", "hint"),
    [
        ("model: a\nplugin: x\n", "has the unknown key 'plugin'", "line 2", "did you mean 'plugins'?"),
        ("model: a\nbench:\n  thread: 3\n", "the unknown key 'bench.thread'", "line 3", "did you mean 'threads'?"),
        ("model: a\nbench:\n  threads: x\n", "'bench.threads' cannot be 'x'", "line 3", "threads of the runtime"),
        ("target: b\n", "lacks 'model'", "r.yaml", "sample:NAME"),
        ("modle: b\n", "has the unknown key 'modle'", "line 1", "did you mean 'model'?"),
        ("model: a\nplugins:\n- name: tome\n  optons: {}\n", "'plugins.tome.optons'", "line 4", "'options'"),
        ("model: a\nplugins:\n- tome\n- nam: b\n", "'plugins.1.nam'", "line 4", "did you mean 'name'?"),
        ("model: a\neval:\n  preprocessing:\n    sise: 3\n", "'eval.preprocessing.sise'", "line 4", "'size'"),
        ("model: a\nplugins: [a, a]\n", "is no recipe", "plugin 'a' is listed twice", ""),
        ("model: a\nplugins: 3\n", "'plugins' cannot be 3", "line 2", ""),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path, text, what, why, hint):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(BadRecipe) as error:
        load_recipe(path)
    assert what in error.value.what
    assert why in error.value.why
    assert hint in error.value.hint
