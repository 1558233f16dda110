"""What some methods have beside tasks: needs that their seeds meet, files of their own, a figure of their own."""
