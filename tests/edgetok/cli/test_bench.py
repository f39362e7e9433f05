import json


def test_a_bundle_is_measured_with_given_settings(bundle, workshop):
    done = workshop("bench", "out", "--runs", "3", "--batch", "2", "--threads", "1", "--json")
    assert done.returncode == 0, done.stderr
    text = json.dumps(json.loads(done.stdout))
    assert '"batch": 2' in text
    assert '"threads": 1' in text
    assert "p50" in workshop("bench", "out", "--runs", "3").stdout
