"""Two training steps in slow motion, a node of the graph closely, what freezing leaves of the graph: `explain` is the door, `specimen` what is
looked at.

Watching a step changes no bit: one hook for all modules, hooks on parameters and graph nodes that return nothing. A node's module is known
from autograd's sequence numbers at the moments when modules begin and end; ids are the order in which autograd's engine takes nodes;
counted are those behind the loss's own, 133 for resnet18. The chain rule is tried in float64: an operation is met by its sequence number
inside a dispatch mode, and modules that were over before it give what they gave (`replay`), so only what lies behind the node is computed.
"""
