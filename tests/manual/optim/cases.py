"""Configurations of every optimizer: each option that changes numbers, alone and together with others."""

__all__ = ["CASES", "OVERRIDES", "case_id"]

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.5}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.4}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.5}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "dampening": 0.1, "weight_decay": 0.5, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "eps": 1e-2}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.75)}),
    ("Adam", {"lr": 0.1, "betas": (0.0, 0.0)}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.5}),
    ("Adam", {"lr": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "eps": 1e-2, "weight_decay": 0.5, "maximize": True}),
    ("Adam", {"lr": 0.0}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.5, "decoupled_weight_decay": True, "amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.0}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.5, "eps": 1e-2}),
    ("AdamW", {"lr": 0.1, "betas": (0.5, 0.75), "maximize": True}),
    ("AdamW", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.5}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.5, "eps": 1e-2}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9}),
    ("RMSprop", {"lr": 0.1, "centered": True}),
    ("RMSprop", {"lr": 0.1, "centered": True, "momentum": 0.9, "eps": 1e-2, "weight_decay": 0.5}),
    ("RMSprop", {"lr": 0.1, "weight_decay": 0.5, "maximize": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.3, "eps": 1e-2}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.7, "weight_decay": 0.5}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.1, "betas": (0.5, 0.75), "eps": 1e-2}),
    ("Adamax", {"lr": 0.1, "betas": (0.0, 0.0)}),
    ("Adamax", {"lr": 0.1, "weight_decay": 0.5, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.6, "eps": 1e-2}),
    ("Adadelta", {"rho": 0.0}),
    ("Adadelta", {"lr": 2.0, "weight_decay": 0.5}),
    ("Adadelta", {"weight_decay": 0.5, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.1, "betas": (0.5, 0.75), "eps": 1e-2, "momentum_decay": 0.3}),
    ("NAdam", {"lr": 0.1, "betas": (0.0, 0.0), "momentum_decay": 0.0}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.5, "maximize": True}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.5, "decoupled_weight_decay": True}),
    ("RAdam", {}),  # the adaptive step begins at step 6
    ("RAdam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-2}),
    ("RAdam", {"lr": 0.1, "betas": (0.0, 0.6)}),  # it never begins
    ("RAdam", {"lr": 0.1, "weight_decay": 0.5, "maximize": True}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.5, "decoupled_weight_decay": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 1.7), "step_sizes": (0.05, 0.25)}),
    ("Rprop", {"lr": 0.5, "step_sizes": (1e-3, 0.2)}),  # the first step size is clipped too
    ("Rprop", {"lr": 0.1, "maximize": True}),
    ("ASGD", {}),
    ("ASGD", {"lr": 0.1, "lambd": 0.3, "alpha": 0.5, "t0": 3}),
    ("ASGD", {"lr": 0.1, "t0": 0, "weight_decay": 0.5}),
    ("ASGD", {"lr": 0.1, "lambd": 0.0, "maximize": True, "weight_decay": 0.5}),
    ("Adafactor", {}),
    ("Adafactor", {"lr": 1.0, "beta2_decay": -0.3}),  # the relative step is 1/√t
    ("Adafactor", {"lr": 0.1, "eps": (0.5, 2.0)}),  # both floors are met
    ("Adafactor", {"lr": 0.1, "eps": (0.0, 0.0), "d": 1.5}),
    ("Adafactor", {"lr": 0.1, "d": 100.0, "beta2_decay": 0.0}),  # nothing is clipped, nothing remembered
    ("Adafactor", {"lr": 0.1, "weight_decay": 0.5, "maximize": True}),
]

# options of a second group; the first has lr 0.1
OVERRIDES = {
    "SGD": {"lr": 0.02, "momentum": 0.5, "weight_decay": 0.1},
    "Adam": {"lr": 0.02, "betas": (0.6, 0.8), "amsgrad": True},
    "AdamW": {"lr": 0.02, "eps": 1e-2, "weight_decay": 0.3},
    "RMSprop": {"lr": 0.02, "alpha": 0.8, "momentum": 0.3},
    "Adagrad": {"lr": 0.02, "lr_decay": 0.2, "initial_accumulator_value": 5.0},
    "Adamax": {"lr": 0.02, "betas": (0.6, 0.8), "weight_decay": 0.3},
    "Adadelta": {"lr": 0.02, "rho": 0.5, "weight_decay": 0.3},
    "NAdam": {
        "lr": 0.02,
        "betas": (0.6, 0.8),
        "momentum_decay": 0.1,
        "decoupled_weight_decay": True,
        "weight_decay": 0.3,
    },
    "RAdam": {"lr": 0.02, "betas": (0.6, 0.95), "eps": 1e-2, "weight_decay": 0.3},
    "Rprop": {"lr": 0.02, "etas": (0.7, 1.1), "step_sizes": (0.01, 0.03)},
    "Adafactor": {"lr": 0.02, "beta2_decay": -0.5, "eps": (1e-2, 1e-2), "d": 2.0, "weight_decay": 0.3},
    "ASGD": {"lr": 0.02, "lambd": 0.1, "alpha": 1.0, "t0": 2, "weight_decay": 0.3},
}


def case_id(value):
    return "-".join(f"{k}={v}" for k, v in value.items()) or "defaults" if isinstance(value, dict) else str(value)
