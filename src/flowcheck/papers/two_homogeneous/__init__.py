"""Kumar and Haupt, Directional Convergence Near Small Initializations and Saddles of Two-Homogeneous Neural Networks."""
