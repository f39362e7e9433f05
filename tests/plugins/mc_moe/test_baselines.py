from edgetok_plugins.mc_moe.baselines import by_frequency, shuffled, uniform
from edgetok_plugins.mc_moe.calibrate import Statistics

WIDTHS = {0: [1, 3, 2, 2], 3: [1, 1, 3, 2]}


def test_uniform_is_the_same_everywhere():
    assert uniform(WIDTHS, 2) == {0: [2] * 4, 3: [2] * 4}


def test_random_keeps_each_layers_widths_and_is_the_same_again():
    found = [shuffled(WIDTHS, seed) for seed in range(10)]
    assert all(
        {layer: sorted(given) for layer, given in each.items()} == {0: [1, 2, 2, 3], 3: [1, 1, 2, 3]} for each in found
    )
    assert len({str(each) for each in found}) > 5
    assert shuffled(WIDTHS, 4) == found[4]


def test_frequency_gives_most_to_what_is_chosen_most():
    def seen(frequency):
        return Statistics("", 1, frequency, frequency, (), 1.0, None)

    statistics = {0: seen((0.1, 0.2, 0.9, 0.8)), 3: seen((0.4, 0.3, 0.3, 0.0))}
    assert by_frequency(WIDTHS, statistics) == {0: [1, 2, 3, 2], 3: [3, 2, 1, 1]}
