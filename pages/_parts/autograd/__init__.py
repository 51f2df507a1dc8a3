"""The Autograd screen: which example it looks at, and what can be broken on purpose."""
