"""One recording of this node: a range of a take, from its claim until it is delivered."""
