"""Every performance figure, as a ratio of two things measured in turn in one run."""
