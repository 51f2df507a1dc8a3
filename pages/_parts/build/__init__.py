"""The Build screen: the network that is being put together."""
