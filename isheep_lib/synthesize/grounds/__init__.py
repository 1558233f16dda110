"""What tasks can be written from beside seeds: documents and tables, and whether these may be used."""
