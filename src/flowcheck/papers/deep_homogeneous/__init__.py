"""Kumar and Haupt, Early Directional Convergence in Deep Homogeneous Neural Networks for Small Initializations."""
