"""Activations, element-wise losses and the backwards of both, for the element-wise table."""

import triton
import triton.language as tl
from triton.language.extra import libdevice

from mtia_sim_kernels.triton.checks import check_value

INPUT = tl.constexpr(
    "mtia.check_value all elements of input should be between 0 and 1, found {value}; apply a sigmoid first, or use "
    "binary_cross_entropy_with_logits"
)
TARGET = tl.constexpr("mtia.check_value all elements of target should be between 0 and 1, found {value}")
LABEL = tl.constexpr("mtia.check_value target is out of range: {value}; give classes to {high}, {low} behind the last")


@triton.jit
def relu(x):
    if x.dtype.is_floating():
        # Neither -0 nor NaN is below 0: both stay.
        return tl.where(x < 0, 0.0, x)
    else:
        return tl.maximum(x, x * 0)


@triton.jit
def leaky_relu(x, negative_slope):
    return tl.where(x > 0, x, x * negative_slope)


@triton.jit
def leaky_relu_backward(grad, x, negative_slope):
    return tl.where(x > 0, grad, grad * negative_slope)


@triton.jit
def prelu(x, weight):
    return tl.where(x > 0, x, x * weight)


@triton.jit
def threshold(x, limit, value):
    return tl.where(x <= limit, value, x)


@triton.jit
def threshold_backward(grad, x, limit):
    return tl.where(x <= limit, 0.0, grad)


@triton.jit
def hardtanh_backward(grad, x, low, high):
    return tl.where((x > low) & (x < high), grad, 0.0)


@triton.jit
def sigmoid(x):
    return tl.sigmoid(x)


@triton.jit
def sigmoid_backward(grad, output):
    return grad * (1.0 - output) * output


@triton.jit
def tanh_backward(grad, output):
    return grad * (1.0 - output * output)


@triton.jit
def silu(x):
    return x * tl.sigmoid(x)


@triton.jit
def silu_backward(grad, x):
    gate = tl.sigmoid(x)
    return grad * tl.fma(x * gate, 1.0 - gate, gate)


@triton.jit
def glu(x, gate):
    return x * tl.sigmoid(gate)


@triton.jit
def gelu_erf(x):
    return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))


@triton.jit
def gelu_erf_backward(grad, x):
    cumulative = 0.5 * (1.0 + tl.erf(x * 0.7071067811865476))
    density = tl.exp(-0.5 * x * x) * 0.3989422804014327
    return grad * (cumulative + x * density)


@triton.jit
def gelu_tanh(x):
    inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    return 0.5 * x * (1.0 + libdevice.tanh(inner))


@triton.jit
def gelu_tanh_backward(grad, x):
    inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    tanh = libdevice.tanh(inner)
    slope = 0.7978845608028654 * (1.0 + 3 * 0.044715 * x * x)
    return grad * (0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * slope)


@triton.jit
def softplus(x, beta, limit):
    scaled = x * beta
    return tl.where(scaled > limit, x, libdevice.log1p(tl.exp(scaled)) / beta)


@triton.jit
def softplus_backward(grad, x, beta, limit):
    scaled = x * beta
    return tl.where(scaled > limit, grad, grad * tl.sigmoid(scaled))


@triton.jit
def mish(x):
    return x * libdevice.tanh(tl.where(x > 20.0, x, libdevice.log1p(tl.exp(x))))


@triton.jit
def mish_backward(grad, x):
    tanh = libdevice.tanh(tl.where(x > 20.0, x, libdevice.log1p(tl.exp(x))))
    return grad * (tanh + x * tl.sigmoid(x) * (1.0 - tanh * tanh))


@triton.jit
def clamp_0_6(x):
    return tl.minimum(tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL), 6.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def hardswish(x):
    return x * clamp_0_6(x + 3.0) / 6.0


@triton.jit
def hardswish_backward(grad, x):
    inner = tl.where(x >= 3.0, grad, grad * (x / 3.0 + 0.5))
    return tl.where(x <= -3.0, 0.0, inner)


@triton.jit
def hardsigmoid(x):
    return clamp_0_6(x + 3.0) / 6.0


@triton.jit
def hardsigmoid_backward(grad, x):
    return tl.where((x > -3.0) & (x < 3.0), grad / 6.0, 0.0)


@triton.jit
def elu(x, alpha, scale, input_scale):
    return tl.where(x <= 0, libdevice.expm1(x * input_scale) * alpha * scale, x * scale)


@triton.jit
def elu_backward_of_result(grad, alpha, scale, input_scale, output):
    return tl.where(output > 0, grad * scale, grad * input_scale * (output + alpha * scale))


@triton.jit
def elu_backward_of_input(grad, alpha, scale, input_scale, x):
    return tl.where(x > 0, grad * scale, grad * input_scale * alpha * scale * tl.exp(x * input_scale))


@triton.jit
def log_sigmoid(x):
    return tl.minimum(x, 0.0, propagate_nan=tl.PropagateNan.ALL) - libdevice.log1p(tl.exp(-tl.abs(x)))


@triton.jit
def log_sigmoid_backward(grad, x):
    return grad * tl.sigmoid(-x)


@triton.jit
def softshrink(x, limit):
    return tl.where(x > limit, x - limit, tl.where(x < -limit, x + limit, x * 0.0))


@triton.jit
def hardshrink(x, limit):
    return tl.where((x >= -limit) & (x <= limit), 0.0, x)


@triton.jit
def shrink_backward(grad, x, limit):
    return tl.where((x >= -limit) & (x <= limit), 0.0, grad)


@triton.jit
def mse_loss(x, target):
    return (x - target) * (x - target)


@triton.jit
def mse_loss_backward(grad, x, target, norm):
    return 2.0 * norm * (x - target) * grad


@triton.jit
def l1_loss_backward(grad, x, target, norm):
    return norm * grad * tl.where(x > target, 1.0, tl.where(x < target, -1.0, 0.0))


@triton.jit
def smooth_l1_loss(x, target, beta):
    distance = tl.abs(x - target)
    return tl.where(distance < beta, 0.5 * distance * distance / beta, distance - 0.5 * beta)


@triton.jit
def _smooth_l1_slope(x, target, beta):
    difference = x - target
    # A distance that is no number is no slope of 1.
    slope = tl.where(difference >= beta, 1.0, tl.where(difference <= -beta, -1.0, difference / beta))
    # Where beta is 0, as a fraction becomes among integers, there is no slope between the two sides either.
    return tl.where(difference == 0, 0.0, slope)


@triton.jit
def smooth_l1_loss_backward(grad, x, target, beta, norm):
    if x.dtype == tl.uint8:  # distances have a sign, as by C++'s promotion
        slope = _smooth_l1_slope(x.to(tl.int32), target.to(tl.int32), beta.to(tl.int32))
        return (norm * grad * slope).to(tl.int32)
    else:
        return norm * grad * _smooth_l1_slope(x, target, beta)


@triton.jit
def huber_loss(x, target, delta):
    distance = tl.abs(x - target)
    return tl.where(distance <= delta, 0.5 * distance * distance, delta * (distance - 0.5 * delta))


@triton.jit
def huber_loss_backward(grad, x, target, delta, norm):
    difference = x - target
    clipped = tl.where(difference >= delta, delta, tl.where(difference <= -delta, -delta, difference))
    return norm * grad * clipped


@triton.jit
def label(target, classes):
    check_value(target, -1, classes - 1, LABEL)
    return target


@triton.jit
def binary_cross_entropy(x, target, weight):
    check_value(x, 0.0, 1.0, INPUT)
    check_value(target, 0.0, 1.0, TARGET)
    positive = tl.maximum(tl.log(x), -100.0)
    negative = tl.maximum(libdevice.log1p(-x), -100.0)
    return weight * ((target - 1.0) * negative - target * positive)


@triton.jit
def binary_cross_entropy_backward(grad, x, target, weight, norm):
    spread = tl.maximum((1.0 - x) * x, 1e-12)
    return norm * grad * weight * (x - target) / spread


@triton.jit
def binary_cross_entropy_with_logits(x, target, weight, pos_weight):
    log_weight = (pos_weight - 1.0) * target + 1.0
    softplus = libdevice.log1p(tl.exp(-tl.abs(x))) + tl.maximum(-x, 0.0)
    return weight * ((1.0 - target) * x + log_weight * softplus)
