"""``tome:protect``: attention counts against similarity exactly as the equation says, and exports like the rest."""

from __future__ import annotations

import pytest
import torch

from edgetok.ops import bipartite_match
from edgetok.testing import zoo
from edgetok.testing.trial import Trial, difference, subject
from edgetok_plugins.tome import ToMe
from edgetok_plugins.tome.guard import guarded


def drawn(tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    keys = torch.randn(2, tokens, 8, generator=generator)
    return keys, torch.rand(2, tokens, generator=generator).softmax(1)


@pytest.mark.parametrize("protected", [0, 1, 3])
@pytest.mark.parametrize("strength", [0.0, 0.02, 0.3])
def test_the_cosine_is_similarity_less_attention(strength, protected):
    keys, attention = drawn(16)
    rows = torch.nn.functional.normalize(guarded(keys, attention, protected, strength), dim=-1)
    unit = torch.nn.functional.normalize(keys, dim=-1)
    guard = strength * attention / attention[:, protected:].mean(1, keepdim=True)
    assert guard[:, protected:].max() < 1
    want = unit @ unit.transpose(1, 2) - guard.unsqueeze(2) - guard.unsqueeze(1)
    found = 3 * rows @ rows.transpose(1, 2)
    first = protected + protected % 2
    torch.testing.assert_close(found[:, first::2, protected + 1 - protected % 2 :: 2],
                               want[:, first::2, protected + 1 - protected % 2 :: 2], rtol=0, atol=2e-6)  # fmt: skip


def test_a_token_that_gets_all_attention_is_merged_last():
    keys = torch.ones(1, 10, 4)
    attention = torch.full((1, 10), 0.01)
    attention[0, 4] = 0.91
    _, src, dst = bipartite_match(guarded(keys, attention, 0, 0.1), None, 4, 0)
    assert sorted(src[0].tolist()) == [0, 2, 6, 8]
    assert bipartite_match(keys, None, 4, 0)[1][0].tolist() == [0, 2, 4, 6]
    attention[0, 4], attention[0, 1] = 0.01, 0.91
    keep, _, dst = bipartite_match(guarded(keys, attention, 0, 0.1), None, 4, 0)
    assert keep[0, dst[0]].tolist() == [3] * 4


def test_padding_does_not_lower_the_mean():
    keys, attention = drawn(12)
    longer = torch.nn.functional.pad(keys, (0, 0, 0, 4)), torch.nn.functional.pad(attention, (0, 4))
    found = guarded(*longer, 1, 0.05, real=(torch.arange(16) < 12).expand(2, -1))
    torch.testing.assert_close(found[:, :12], guarded(keys, attention, 1, 0.05))


@pytest.mark.parametrize("factory", [zoo.vit, zoo.bert])
def test_it_rewrites_what_the_paper_s_method_does_and_chooses_otherwise(factory):
    plain, guarding = (Trial(ToMe(r=3, protect=strength), subject(factory)) for strength in (0.0, 0.3))
    assert guarding.plan.tokens == plain.plan.tokens
    assert difference(guarding.outputs[0], plain.outputs[0]) > 1e-4
    assert all(torch.isfinite(output).all() for output in guarding.outputs)
