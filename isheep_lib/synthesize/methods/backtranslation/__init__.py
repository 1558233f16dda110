"""Methods that write tasks from documents that people wrote."""
