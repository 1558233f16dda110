"""The paper's tables and figures, as published and as measured."""
