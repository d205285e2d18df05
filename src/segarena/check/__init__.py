"""`segarena check`: what a participant runs before submitting.

    cases        small bundled cases, own ones, and those of a challenge file
    sessions     every call, by the very functions that the benchmark's jobs call
    behaviour    the same question again: is the answer the same?
    judge        what is wrong or odd about the calls and the answers
    cures        what to do about it
    report       the text and the JSON; page has the HTML

Nothing outside of the check's own new folder is written.
"""
