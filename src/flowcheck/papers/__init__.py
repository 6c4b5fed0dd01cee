"""What one paper alone says, a room for each; ``homogeneous`` is what both homogeneous papers say."""
