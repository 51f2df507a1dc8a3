"""A checkpoint put to the test (`evaluate`), its answers kept (`predictions`), measured (`metrics`), mapped (`embedding`) and looked into
(`grad_cam`); `pictures` takes those from outside, `test_set` finds those that the run was tested on, `relocation` believes that a folder is elsewhere
once it has looked. Many pictures at once are listed (`gathering`, zip files by `packed`), predicted a batch ahead of the model (`many`), and written
as a table or into folders (`answers`); what a screen asked of them is kept (`asked`). The server asks at the `desk`, two processes answer (`helper`):
a click has one of its own, since a batch of a large model can take a minute.

Importing the room imports no torch; `evaluate`, `many` and `grad_cam` do. Evaluations belong to their weights: name, size and time of change of the
weight files stand in the kept file. F1 of a class has Wilson's interval, by way of TP / (TP + FP + FN): a bootstrap never draws what is not
there, so a class of one picture would be sure of its F1. Its mean is bootstrapped on the counts of the confusion matrix (a multinomial), so
no draw goes through the images again (`intervals`). What chance adds to a calibration error is taken off, and a model is called too sure only where
chance hardly explains it (`calibration`), after losses whose softmax is a probability (`confidence`). What a figure cannot say by itself stands
in `telling`: what the run learned from (`learned_from`), what other seeds gave (`seeds`), how often the test set was looked at (`looks`).
"""
