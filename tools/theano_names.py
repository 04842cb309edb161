"""The public names of Theano 1.0.5 by module, as its documentation lists them.

Facts for the page of what is there and what is not; `tools.statistics` looks each one up. A module
is written as in Theano; its names stand in one string. Internals (linkers, op classes) are left
out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_LETTERS: Final = ("b", "w", "i", "l", "f", "d", "c", "z")
_RANKS: Final = ("scalar", "vector", "row", "col", "matrix", *(f"tensor{n}" for n in range(3, 8)))
_PLURALS: Final = ("scalars", "vectors", "rows", "cols", "matrices")

CONSTRUCTORS: Final = (
    *_RANKS,
    *_PLURALS,
    *(f"tensor{n}s" for n in range(3, 8)),
    *(letter + kind for letter in _LETTERS for kind in (*_RANKS, *_PLURALS)),
)

# Whole families that are known to be missing, by module; their names are listed all the same.
FAMILIES: Final[Mapping[str, str]] = {
    "theano": """function shared In Out Mode Param OpFromGraph ProfileStats function_dump as_op grad
        Rop Lop subgraph_grad scan map reduce foldl foldr clone config change_flags pp pprint dot
        get_scalar_constant_value OrderedUpdates""",
    "theano.ifelse": "ifelse",
    "theano.printing": "Print debugprint pp pprint pydotprint min_informative_str var_descriptor",
    "theano.d3viz": "d3viz d3write",
    "theano.gradient": """grad jacobian hessian Rop Lop subgraph_grad consider_constant zero_grad
        disconnected_grad undefined_grad grad_not_implemented grad_undefined grad_clip grad_scale
        verify_grad numeric_grad DisconnectedType NullTypeGradError DisconnectedInputError""",
    "theano.compile": """function In Out Mode SharedVariable ProfileStats DebugMode MonitorMode
        NanGuardMode register_mode register_linker register_optimizer get_mode get_default_mode
        FunctionMaker rebuild_collect_shared shared_constructor ViewOp deep_copy_op""",
    "theano.misc.pkl_utils": "dump load StripPickler CompatUnpickler",
    "theano.tensor": """TensorType TensorVariable TensorConstant TensorSharedVariable Variable
        as_tensor_variable constant tensor cast
        convert_to_bool convert_to_int8 convert_to_int16 convert_to_int32 convert_to_int64
        convert_to_uint8 convert_to_uint16 convert_to_uint32 convert_to_uint64 convert_to_float16
        convert_to_float32 convert_to_float64 convert_to_complex64 convert_to_complex128
        lt gt le ge eq neq isnan isinf isclose allclose switch where and_ or_ xor invert
        bitwise_and bitwise_or bitwise_xor bitwise_not abs_ exp exp2 expm1 neg inv log log2 log10
        log1p sgn ceil floor trunc iround round round_half_to_even round_half_away_from_zero sqr
        square sqrt deg2rad rad2deg cos arccos sin arcsin tan arctan arctan2 cosh arccosh sinh
        arcsinh tanh arctanh erf erfc erfcx erfinv erfcinv gamma gammaln psi tri_gamma chi2sf
        gammainc gammaincc gammau gammal j0 j1 jv i0 i1 iv real imag angle complex conj
        complex_from_polar second fill maximum minimum add sub mul div true_div int_div floor_div
        mod pow clip power largest smallest divmod
        sum prod mean var std max min argmax argmin max_and_argmax any all ptp cumsum cumprod
        prod_without_zeros
        alloc zeros ones zeros_like ones_like empty eye identity_like arange tri tril triu diag
        diagonal extract_diag alloc_diag mgrid ogrid nonzero flatnonzero nonzero_values
        shape shape_padleft shape_padright shape_padaxis specify_shape reshape dimshuffle flatten
        transpose swapaxes squeeze tile repeat roll join concatenate stack stacklists
        horizontal_stack vertical_stack split choose permute_row_elements inverse_permutation
        unbroadcast addbroadcast patternbroadcast is_flat get_vector_length scalar_from_tensor
        tensor_from_scalar transfer copy default make_vector
        set_subtensor inc_subtensor take dot outer tensordot batched_dot batched_tensordot
        tensor_copy tensor_power trace norm moveaxis
        sort argsort topk argtopk topk_and_argtopk
        bincount compress diff fill_diagonal fill_diagonal_offset searchsorted to_one_hot unique
        unravel_index ravel_multi_index bartlett cov
        grad jacobian hessian Rop Lop""",
    "theano.tensor (constructors)": " ".join(CONSTRUCTORS),
    "theano.tensor.extra_ops": """cpu_contiguous searchsorted cumsum cumprod diff bincount squeeze
        compress repeat bartlett fill_diagonal fill_diagonal_offset to_one_hot unique unravel_index
        ravel_multi_index""",
    "theano.tensor.nlinalg": """pinv matrix_inverse matrix_dot alloc_diag extract_diag diag trace
        det eig eigh qr svd lstsq matrix_power norm tensorinv tensorsolve""",
    "theano.tensor.slinalg": """cholesky cholesky_grad solve solve_lower_triangular
        solve_upper_triangular solve_symmetric eigvalsh kron expm""",
    "theano.tensor.blas": "gemm gemm_inplace gemm_no_inplace gemv ger batched_dot",
    "theano.tensor.nnet": """sigmoid ultra_fast_sigmoid hard_sigmoid softplus softsign softmax
        softmax_with_bias softmax_graph logsoftmax relu elu selu binary_crossentropy
        sigmoid_binary_crossentropy categorical_crossentropy crossentropy_softmax_1hot
        crossentropy_softmax_1hot_with_bias crossentropy_softmax_argmax_1hot_with_bias
        crossentropy_categorical_1hot h_softmax confusion_matrix prepend_0_to_each_row
        prepend_1_to_each_row prepend_scalar_to_each_row conv2d conv3d conv2d_transpose
        conv2d_grad_wrt_inputs conv3d_grad_wrt_inputs conv2d_grad_wrt_weights
        conv3d_grad_wrt_weights separable_conv2d separable_conv3d causal_conv1d
        sparse_block_dot""",
    "theano.tensor.nnet.bn": """batch_normalization batch_normalization_train
        batch_normalization_test""",
    "theano.tensor.nnet.abstract_conv": "bilinear_upsampling",
    "theano.tensor.nnet.neighbours": "images2neibs neibs2images",
    "theano.tensor.nnet.ctc": "ctc",
    "theano.tensor.signal.pool": "pool_2d pool_3d max_pool_2d_same_size",
    "theano.tensor.signal.conv": "conv2d",
    "theano.tensor.fft": "rfft irfft",
    "theano.tensor.shared_randomstreams": "RandomStreams",
    "theano.tensor.raw_random": """uniform normal binomial random_integers choice poisson
        permutation multinomial""",
    "theano.sandbox.rng_mrg": "MRG_RandomStreams",
    "theano.tensor.io": "load send recv mpi_send_wait_key",
    "theano.tensor.opt": "assert_op",
    "theano.typed_list": """TypedListType getitem append extend insert remove reverse index_ count
        length""",
    "theano.sparse": """SparseType as_sparse_variable csc_matrix csr_matrix bsr_matrix csc_dmatrix
        csc_fmatrix csr_dmatrix csr_fmatrix CSC CSR csm_data csm_indices csm_indptr csm_shape
        csm_properties dense_from_sparse csr_from_dense csc_from_dense cast transpose neg clean
        row_scale col_scale sp_sum diag square_diagonal ensure_sorted_indices add mul sub
        structured_add structured_exp structured_log structured_pow structured_minimum
        structured_maximum structured_sigmoid structured_add_s_v mul_s_d mul_s_v true_dot
        structured_dot dot usmm sampling_dot hstack vstack eq neq lt gt le ge remove0
        sparse_grad""",
}

# What a family of missing modules is called where people speak of it.
EXPECTED: Final[Mapping[str, str]] = {
    "scan": "loops: `scan`, `map`, `reduce`, `foldl`, `foldr`",
    "random": "random streams: `RandomStreams`, `MRG_RandomStreams`",
    "conv": "convolution and pooling",
    "fft": "Fourier transforms",
    "sparse": "sparse matrices",
}
