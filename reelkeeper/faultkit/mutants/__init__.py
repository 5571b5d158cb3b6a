"""Small patches that each break one rule of the product, and the run that has to notice."""
