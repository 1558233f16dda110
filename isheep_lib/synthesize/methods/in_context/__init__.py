"""Methods that ask for new tasks after examples, or after the opening of a turn alone."""
