"""Lin, Sun and Zhang, Faster Directional Convergence of Linear Neural Networks under Spherically Symmetric Data."""
