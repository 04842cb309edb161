"""Functions of neural networks under Theano's names."""

from __future__ import annotations

from exprd.tensor.nnet import bn, nnet, sigm
from exprd.tensor.nnet.bn import batch_normalization
from exprd.tensor.nnet.nnet import *  # noqa: F403  # the module is the list of the names

__all__ = ["batch_normalization", "bn", "nnet", "sigm"]
__all__ += nnet.__all__
