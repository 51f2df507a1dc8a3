"""The loop: read `trainer` first. Beside it one step to be timed or looked into (`steps`), the `audit` of what is frozen, the `birth` of a
NaN, and what breaks a run on purpose (`breaking`).

The audit looks, the plan does not count: a SHA-256 digest of every tensor at the start (25 ms for resnet18), of a tensor frozen later at
that moment, all compared at the end before early stopping brings weights back. In between each look compares as many tensors, in turn, as
half a percent of the time since the last look pays for. A NaN is looked into before the update (on the processor): one step later all
weights have it.
"""
