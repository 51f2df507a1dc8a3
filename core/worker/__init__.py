"""One run in its own process: started, steered and buried by the `supervisor`, put together (`assembly`), carried out (`process`), recorded.

Only `supervisor` is for the web process; it imports no torch.
"""
