"""The loop. Read `trainer` first.

Beside it one step to be timed or looked into (`steps`), the audit of what is frozen, the birth of a NaN, and what breaks a run on purpose.
"""
