"""I-SHEEP as a thin library: the loop, the record, the prompts, the reading of scores, the filters, the reports."""

__version__ = "0.1.0"
