"""The Compare screen: several runs side by side, as its link says."""
