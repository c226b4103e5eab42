"""Mistakes in one activation of the manual wing, for tests in which a campaign must find something."""

from manual import rules


def wrong_slope(x):
    """The hyperbolic tangent, with a slope that is one part in a hundred too large."""
    value, pullback = rules.tanh(x)

    def wrong_pullback(incoming, needs):
        return tuple(None if gradient is None else 1.01 * gradient for gradient in pullback(incoming, needs))

    return value, wrong_pullback


def raising(x):
    raise ZeroDivisionError(f"no tangent of {x.shape[-1]} values")


HONEST = "seed=3,hidden=4,activations=Sigmoid,optimizer=SGD:lr=0.1:momentum=0.9,steps=2,parts=3/2"
TANH = (
    "seed=5,dtype=float32,inputs=7,hidden=6/9/4,activations=ReLU/Tanh/Softplus:2.0:1.0,outputs=3,loss=CrossEntropyLoss,"
    "optimizer=AdamW:lr=0.01:weight_decay=0.1,schedule=ExponentialLR:gamma=0.9,clip=norm:1.0,steps=3,parts=8/8/3,"
    "fresh=True,scale=10.0"
)
