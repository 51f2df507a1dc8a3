"""What a run never computes twice: a model cut in two (`split`), what cannot change kept (`features`) and proved in every pass (`partition`).

- The cut is found by trying. The model is traced (`torch.fx`) and run once on two and once on three random pictures: a step that moves the
  generator or writes to a buffer depends on chance, a tensor whose first dimension follows the number of pictures has one row a picture. No
  list of layer types, so it holds for any model. Then the two halves must give what the whole gives, bit for bit, or the model is not cut.
- Rows are those of full batches. Kernels are chosen by the size of the batch and the number of threads, and some add up in another order
  then: on one thread mobilenet, densenet and googlenet give other bits for 8 pictures than for 16. So the key of a table has both in it,
  and the last, smaller batch of an epoch is served from the table only after it was seen to give the same bits.
- What trying a model out has shown is kept (`proofs`), under a name in which stands all that it follows from, the digests of frozen weights too.
  A later run of the same traces the model, and tries nothing. What it serves it compares all the same.
- What is served is checked: the first batch is computed again whole, later ones, and the first of a run on a table that was proved, by two pictures
  where two give the bits of the batch (else by 4, 8 or 16 of it). Passes with the same prefix share that proof. What differs is dropped at once
  and said, and so are all proofs. Where epochs take milliseconds, checks keep to a twentieth of the time.
- A picture has a number, (place in the store, variant): without random changes it has one variant, with a flip alone two, with
  `fixed_views` as many as that. Runs with another seed, that split the data otherwise, share what they have in common.
- A mark reaches the disk after its row. Rows are written with `pwrite` (a full disk is an error then, not a killed process) and read
  through a shared mapping; equal keys mean equal bits, so two runs may write the same file. A `Batch` decodes its images only when asked,
  and with kept features nobody asks.
"""
