"""What page and worker share: plain data and the sentences made of it. No torch.

A run's events and findings, the layers of a model and which of them a plan freezes, costs, ways to be fast, evaluations and walkthroughs.
"""
