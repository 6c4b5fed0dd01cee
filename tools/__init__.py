"""What maintainers run by hand, outside the pipeline and the tests."""
