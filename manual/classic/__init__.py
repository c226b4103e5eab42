"""The models of the course, with gradients derived on paper and written out: no engine, no graph."""

from manual.classic.conversions import *
from manual.classic.functions import *
from manual.classic.gates import *
from manual.classic.gradient_descent import *
from manual.classic.linear_regression import *
from manual.classic.linear_svm import *
from manual.classic.logistic_regression import *
from manual.classic.model import *
from manual.classic.one_vs_all import *
from manual.classic.sigmoid_network import *
from manual.classic.softmax_regression import *
