"""The conformance kit of edgetok, on this plugin."""

from edgetok_attentive import Attentive

from edgetok.testing import PluginConformance, digits, zoo


class TestAttentive(PluginConformance):
    """Every promise of a reduction: what the kit checks is in ``edgetok.testing``."""

    plugin = Attentive(drop=0.1)
    zero = Attentive(drop=0.0)
    accepts = (
        *zoo.accepted("vit", "bert-padded", "dinov3", "transformer-encoder"),
        digits.case(Attentive(drop=0.2), at_most=0.0003, every=5, task_only=True),
    )
    refuses = zoo.REFUSED
