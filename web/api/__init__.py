"""What programs speak to: the agents of the nodes, and the JSON API of everybody else."""
