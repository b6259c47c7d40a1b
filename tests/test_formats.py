"""How numbers are written."""

from plasticity_utils.formats import signed


def test_a_tiny_loss_is_no_minus_zero():
    assert signed(-0.0002) == "+0.000"
    assert signed(-0.0156) == "-0.016"
