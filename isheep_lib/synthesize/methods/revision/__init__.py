"""Methods that revise pairs of an instruction and an answer."""
