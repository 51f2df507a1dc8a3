"""What is measured while a step runs: gradient norms and weight changes (`watch`), and where its time goes (`profiling`).

Watching has a budget (`watch_budget`, 2 % of the time). Past it weight changes are looked at less often (powers of two), then gradient
norms; never less than 50 norms and 2 looks a second, so what a person can follow step by step is never thinned. A step without norms holds
-3. A look at weight changes copies what learns before the update, which needs the memory of one more copy. The profiler uses global module
hooks (torch takes another path through some modules that have hooks of their own) and hooks on autograd nodes; full backward hooks of
modules break in-place ReLU.
"""
