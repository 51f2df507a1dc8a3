"""One run in its own process: started, steered and buried by the `supervisor`, put together (`assembly`), carried out (`worker`, in the
`process` of that name), recorded (`recorder`, `results`, `pictures`) and kept (`kept_weights`, `profiles`); interrupted, it goes on from its
`checkpoints` (`resuming`, `where`), and finished it can be trained on (`training_on`); `leftovers` clears up after those that were killed.

Only `supervisor` is for the web process; it imports no torch. A standby worker has imported torch and waits on its standard input for a
run's id; the end of that pipe is how it learns that its server is gone. After a start the next standby waits 20 s, so that its imports do
not slow the run's first steps. A worker uses every core (so that sums are added in the same order each time) but yields them: `nice 5` and
`OMP_WAIT_POLICY=PASSIVE` keep page and server responsive on a small machine.
"""
