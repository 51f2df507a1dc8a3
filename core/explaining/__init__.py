"""What `core.explaining.explain` looks at and how: one room each for the example, the graph, the two steps, the update rules and the chain rule."""
