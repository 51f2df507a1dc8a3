"""One training on several devices: a process for each (a *rank*), which all do the same steps together.

- `group`: what ranks do together. Each step ends in one sum over all of them: the gradients of what learns, and three numbers more. No model
  is wrapped (`DistributedDataParallel` is not used), so a change of what is frozen is another list of tensors to add up, and what does not
  learn is never sent. A collective that cannot be had raises `Parted`, which is no `Exception`: nobody takes it for a failure of their own.
- `collectives`: how tensors and words get from rank to rank. `memory`: without a socket, where all are on one machine; chosen at the end of `group`.
  `shares`: who adds up what there.
- `norms`: BatchNorm that learns sees the whole batch, as on one device.
- `signs`: each rank's signs of life, in a file that all of them map into memory: writing one costs nothing.
- `notes`: which rank was gone in an earlier attempt, and how.

Which pictures belong to a step, and in which order, is decided as on one device; each rank takes its part of them (`group.Group.part`).
Chance in a step (dropout) is a function of (seed, step, rank), so that no rank's generator need be kept in a checkpoint.
Who starts ranks and who watches them is `core.worker.together`'s affair.
"""
