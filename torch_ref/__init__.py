"""The PyTorch wing: the same models and the same training step, differentiated by autograd."""
