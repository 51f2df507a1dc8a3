"""What a step costs (`bench`), and which way of computing it is the fastest: one way (`trial`) on real pictures (`sample`), all of them in
turn (`trials`), how far from exact each is (`rounding`), and the choice (`tuning`). `threads` chooses the number of threads of what learns
while a run goes on, among those that give the same bits, by what else the machine does (`load`).

Fast ways are measured, never believed: factor by factor, all ways of a stage in turn with one that was measured before, so that what else
the machine does disturbs all alike. What is remembered are measurements, not the choice: epochs and steps decide that anew. Accuracy is
judged against the choice of the batch: rounding may move a gradient by at most a third as far as the
choice of the pictures does. A fixed cosine of 0.99
would have refused bfloat16 for resnet18 (0.98 after 4 steps, 0.88 at random weights), which trains just as well.
"""
