"""What a propagation costs: whole, beside numpy and scipy doing the same, and one change of it at three sizes."""
