"""Language codes: ISO 639-1 or 639-3, alone or with a script or region after it."""

from __future__ import annotations

import re

from trine.core.errors import DataError, nearest

__all__ = ["check_language", "is_language", "language_code"]

# ISO 639-1 codes (two letters).
_TWO = frozenset(
    """aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy
    da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy
    hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li
    ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa
    pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th
    ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu""".split()
)
# A language of three letters (ISO 639-3 has 8,000 of them: the form is checked, not the list).
_FORM = re.compile(r"^([a-z]{2,3})([-_][A-Za-z]{4})?([-_]([A-Za-z]{2}|[0-9]{3}))?$")

# English names that data sets write in their language column.
_NAMES = {
    "arabic": "ar", "bengali": "bn", "chinese": "zh", "czech": "cs", "danish": "da", "dutch": "nl",
    "english": "en", "finnish": "fi", "french": "fr", "german": "de", "greek": "el",
    "hebrew": "he", "hindi": "hi", "hungarian": "hu", "indonesian": "id", "italian": "it",
    "japanese": "ja", "korean": "ko", "norwegian": "no", "persian": "fa", "polish": "pl",
    "portuguese": "pt", "romanian": "ro", "russian": "ru", "spanish": "es", "swedish": "sv",
    "tamil": "ta", "thai": "th", "turkish": "tr", "ukrainian": "uk", "urdu": "ur",
    "vietnamese": "vi",
}  # fmt: skip


def language_code(text: str) -> str:
    """The code of an English language name, codes in lower case; anything else as it is."""
    name = text.lower()
    return _NAMES.get(name, name if len(name) <= 3 else text)


def is_language(code: str) -> bool:
    """Whether a code has the form of a language code and, with two letters, is one."""
    match = _FORM.match(code)
    return bool(match) and (len(match.group(1)) == 3 or match.group(1) in _TWO)


def check_language(code: str, where: str) -> None:
    """Returns if the code is a language.

    Raises:
      DataError: with what is accepted.
    """
    if not is_language(code):
        near = nearest(code, sorted(_TWO))
        hint = f"did you mean {near[0]!r}?" if near else "name the column with `language = ...`"
        raise DataError(
            f"{where}: unknown language code {code!r}",
            accepted="ISO 639 codes such as en, pt-BR, zh-Hans, arb_Arab",
            hint=hint,
        )
