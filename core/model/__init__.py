"""A real model: taken apart (`anatomy`), its weights loaded (`weights`), frozen (`freezing`), and steered while it trains (`steering`).

One schedule, many groups: torch ties a schedule to the groups that an optimizer has when it is built. Here the schedule drives a stand-in
that holds one number, and each group learns at the stand-in's rate times its multiplier: groups can come and go in the middle of a
one-cycle schedule. A tensor that begins to learn gets its state from a fresh optimizer (Adagrad makes state only when it is built).
"""
