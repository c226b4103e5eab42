"""PyTorch's own test databases, run against the manual wing."""
