"""What is measured while a step runs: gradient norms and weight changes within a budget (`watch`), and where its time goes (`profiling`)."""
