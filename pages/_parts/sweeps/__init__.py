"""What the Sweeps screen is made of, and the question on the Model screen: which layers should I unfreeze?"""
