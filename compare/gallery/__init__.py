"""Pictures of what the lockstep sees: each optimizer's path on both sides, and where a planted mistake leaves it."""
