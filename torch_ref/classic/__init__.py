"""Twins of the course models in `manual.classic`: the same names, the same losses, autograd's gradients."""

from torch_ref.classic.linear_regression import *
from torch_ref.classic.linear_svm import *
from torch_ref.classic.logistic_regression import *
from torch_ref.classic.model import *
from torch_ref.classic.one_vs_all import *
from torch_ref.classic.sigmoid_network import *
from torch_ref.classic.softmax_regression import *
