"""The table of all checks: what a family's `checker` may name."""

from collections.abc import Callable

from isheep_lib.constraints.checks import layout, lengths, marks, vocabulary

_ALL: tuple[Callable[..., bool], ...] = (
    *(lengths.words_at_least, lengths.words_at_most, lengths.sentences_exactly, lengths.paragraphs_exactly),
    *(lengths.lines_exactly, lengths.one_line, lengths.sentence_words_at_most, lengths.sentence_words_at_least),
    *(lengths.first_sentence_at_most, lengths.paragraph_sentences_at_most, lengths.word_letters_at_most),
    *(marks.no_commas, marks.ends_with_question, marks.first_sentence_question, marks.no_questions, marks.questions_exactly),
    *(marks.exclamations_exactly, marks.semicolons_at_least, marks.parentheses_at_least, marks.quoted_at_least),
    *(marks.in_quotes, marks.no_digits, marks.numbers_at_least, marks.no_dashes, marks.no_contractions),
    *(marks.colon_ends_first_line, layout.bullets_exactly, layout.numbered_exactly, layout.headings_exactly),
    *(layout.bold_at_least, layout.table_columns, layout.title_line, layout.json_object, layout.postscript),
    *(vocabulary.includes_word, vocabulary.excludes_word, vocabulary.word_times, vocabulary.word_repeats_at_most),
    *(vocabulary.avoids_letter, vocabulary.starts_with_letter, vocabulary.sentence_starts_differ),
    *(vocabulary.lower_case, vocabulary.capitals, vocabulary.ends_with_phrase),
)
CHECKS: dict[str, Callable[..., bool]] = {check.__name__: check for check in _ALL}
