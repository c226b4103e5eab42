"""What each pooling function does to a small input: the examples of their docstrings."""

from __future__ import annotations

__all__ = ["EXAMPLES"]

EXAMPLES = {
    "adaptive_avg_pool1d": """
>>> F.adaptive_avg_pool1d(tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
Tensor([[2., 1.]])
""",
    "adaptive_avg_pool2d": """
>>> F.adaptive_avg_pool2d(tensor([[[1.0, 3.0], [2.0, 0.0]]]), (1, None))
Tensor([[[1.5, 1.5]]])
""",
    "adaptive_avg_pool3d": """
>>> F.adaptive_avg_pool3d(tensor([[[[1.0, 3.0], [2.0, 0.0]]]]), (None, 1, 2))
Tensor([[[[1.5, 1.5]]]])
""",
    "adaptive_max_pool1d": """
>>> F.adaptive_max_pool1d(tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
Tensor([[3., 2.]])
""",
    "adaptive_max_pool1d_with_indices": """
>>> F.adaptive_max_pool1d_with_indices(tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
(Tensor([[3., 2.]]), Tensor([[1, 2]]))
""",
    "adaptive_max_pool2d": """
>>> F.adaptive_max_pool2d(tensor([[[1.0, 3.0], [2.0, 0.0]]]), (1, None))
Tensor([[[2., 3.]]])
""",
    "adaptive_max_pool2d_with_indices": """
>>> F.adaptive_max_pool2d_with_indices(tensor([[[1.0, 3.0], [2.0, 0.0]]]), (1, None))
(Tensor([[[2., 3.]]]), Tensor([[[2, 1]]]))
""",
    "adaptive_max_pool3d": """
>>> F.adaptive_max_pool3d(tensor([[[[1.0, 3.0], [2.0, 0.0]]]]), (None, 1, 2))
Tensor([[[[2., 3.]]]])
""",
    "adaptive_max_pool3d_with_indices": """
>>> F.adaptive_max_pool3d_with_indices(tensor([[[[1.0, 3.0], [2.0, 0.0]]]]), (None, 1, 2))
(Tensor([[[[2., 3.]]]]), Tensor([[[[2, 1]]]]))
""",
    "avg_pool1d": """
>>> F.avg_pool1d(tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
Tensor([[2., 1.]])
""",
    "avg_pool2d": """
>>> F.avg_pool2d(tensor([[[1.0, 3.0], [2.0, 0.0]]]), 2)
Tensor([[[1.5]]])
""",
    "avg_pool3d": """
>>> F.avg_pool3d(tensor([[[[1.0, 3.0], [2.0, 0.0]]]]), (1, 2, 2))
Tensor([[[[1.5]]]])
""",
    "fractional_max_pool2d": """
>>> places = tensor([[[0.0, 0.9]]])
>>> F.fractional_max_pool2d(tensor([[[1.0, 3.0, 2.0]] * 2]), 1, (1, 2), _random_samples=places)
Tensor([[[1., 2.]]])
""",
    "fractional_max_pool2d_with_indices": """
>>> places = tensor([[[0.0, 0.9]]])
>>> F.fractional_max_pool2d_with_indices(tensor([[[1.0, 3.0, 2.0]] * 2]), 1, (1, 2), _random_samples=places)
(Tensor([[[1., 2.]]]), Tensor([[[3, 5]]]))
""",
    "fractional_max_pool3d": """
>>> places = tensor([[[0.0, 0.0, 0.9]]])
>>> F.fractional_max_pool3d(tensor([[[[1.0, 3.0, 2.0]] * 2] * 2]), 1, (1, 1, 2), _random_samples=places)
Tensor([[[[1., 2.]]]])
""",
    "fractional_max_pool3d_with_indices": """
>>> places = tensor([[[0.0, 0.0, 0.9]]])
>>> F.fractional_max_pool3d_with_indices(tensor([[[[1.0, 3.0, 2.0]] * 2] * 2]), 1, (1, 1, 2), _random_samples=places)
(Tensor([[[[1., 2.]]]]), Tensor([[[[ 9, 11]]]]))
""",
    "lp_pool1d": """
>>> F.lp_pool1d(tensor([[3.0, 4.0, 0.0, 0.0]]), 2, 2)
Tensor([[5., 0.]])
""",
    "lp_pool2d": """
>>> F.lp_pool2d(tensor([[[3.0, 0.0], [0.0, 4.0]]]), 2, 2)
Tensor([[[5.]]])
""",
    "lp_pool3d": """
>>> F.lp_pool3d(tensor([[[[3.0, 0.0], [0.0, 4.0]]]]), 2, (1, 2, 2))
Tensor([[[[5.]]]])
""",
    "max_pool1d": """
>>> F.max_pool1d(tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
Tensor([[3., 2.]])
""",
    "max_pool1d_with_indices": """
>>> F.max_pool1d_with_indices(tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
(Tensor([[3., 2.]]), Tensor([[1, 2]]))
""",
    "max_pool2d": """
>>> F.max_pool2d(tensor([[[1.0, 3.0], [2.0, 0.0]]]), 2)
Tensor([[[3.]]])
""",
    "max_pool2d_with_indices": """
>>> F.max_pool2d_with_indices(tensor([[[1.0, 3.0], [2.0, 0.0]]]), 2)
(Tensor([[[3.]]]), Tensor([[[1]]]))
""",
    "max_pool3d": """
>>> F.max_pool3d(tensor([[[[1.0, 3.0], [2.0, 0.0]]]]), (1, 2, 2))
Tensor([[[[3.]]]])
""",
    "max_pool3d_with_indices": """
>>> F.max_pool3d_with_indices(tensor([[[[1.0, 3.0], [2.0, 0.0]]]]), (1, 2, 2))
(Tensor([[[[3.]]]]), Tensor([[[[1]]]]))
""",
    "max_unpool1d": """
>>> F.max_unpool1d(tensor([[3.0, 2.0]]), tensor([[1, 2]]), 2)
Tensor([[0., 3., 2., 0.]])
""",
    "max_unpool2d": """
>>> F.max_unpool2d(tensor([[[3.0]]]), tensor([[[1]]]), 2)
Tensor([[[0., 3.],
         [0., 0.]]])
""",
    "max_unpool3d": """
>>> F.max_unpool3d(tensor([[[[3.0]]]]), tensor([[[[1]]]]), (1, 2, 2))
Tensor([[[[0., 3.],
          [0., 0.]]]])
""",
}
