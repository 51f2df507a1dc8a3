"""A real model: taken apart (`anatomy`), its weights loaded (`weights`, see there), frozen (`freezing`), and steered while it trains (`steering`).

One schedule, many groups: torch ties a schedule to the groups that an optimizer has when it is built. Here the schedule drives a stand-in
that holds one number, and each group learns at the stand-in's rate times its multiplier: groups can come and go in the middle of a
one-cycle schedule. A tensor that begins to learn gets its state from a fresh optimizer (Adagrad makes state only when it is built).

Weights from outside are hostile and come in any form. `core.catalog.weight_kinds` tells from the bytes what a file is, `pickle_scan` which
classes it names without making any, `allowed` which of these are harmless, `weight_files` reads what is left through torch's safe loader
with stand-ins for the harmless ones, `contents` lists the tensors, `fitting` finds by names and shapes what of it is what of the model,
`choosing` picks one of several sets, and `likeness` says which model of the catalogue a file that does not fit is of. Only then `weights`
touches the model.
"""
