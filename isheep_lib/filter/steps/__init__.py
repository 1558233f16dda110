"""The steps of the filter, one module for each."""
