import json


def test_inspect_shows_spaces_and_sites(workshop):
    done = workshop("inspect", "tiny:make", "--json")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert [site["tokens"] for site in seen["sites"]] == [12, 12]
    assert seen["plan"] is None
    text = workshop("inspect", "tiny:make", "-p", "tome:r=2")
    assert "12 tokens" in text.stdout
    assert "12 -> 10" in text.stdout
