"""What some methods of synthesis can do and others need not: look at seeds before a model loads, and draw a figure."""
