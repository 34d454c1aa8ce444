"""Numbers and addresses that point at a person or open a door, found by their form and proved by their sum.

"card 4111 1111 1111 1111, mail ana@example.org" becomes "card <card>, mail <email>". A step takes a text and gives
it back without one kind of thing, and how many of them there were. Costs grow with the text's length only.
"""

import re
from collections.abc import Callable
from ipaddress import ip_address

import phonenumbers

from parley.errors import ParleyError

Step = Callable[[str], tuple[str, int]]

# Scripts without spaces between words: a name or an address there may touch its neighbours.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
LETTER = rf"[^\W_{UNSPACED}]"  # of a script whose words stand apart

# The local part is possessive and starts at its first character, so a long run without @ costs one pass.
_EMAIL = re.compile(r"(?<![^\s<>()\[\]\",;:@])[^\s<>()\[\]\",;:@]++@[\w-]++(?:\.[\w-]++)+")


def emails(text: str) -> tuple[str, int]:
    """E-mail addresses -> <email>."""
    return _EMAIL.subn("<email>", text) if "@" in text else (text, 0)


# With a scheme, with www., or a domain and a path; punctuation at the end belongs to the sentence.
_IN_URL = rf"[^\s<>\"\\、。，！？；：（）「」{UNSPACED}]"
_URL = re.compile(
    rf"(?<![\w@.-])(?:[a-z][a-z0-9+.-]{{1,20}}://|www\.|(?:[a-z0-9-]++\.)++[a-z]{{2,}}/)"
    rf"{_IN_URL}*(?<![.,;:!?'*_~|)\]}}])",
    re.IGNORECASE | re.ASCII,
)


def urls(text: str, instead: str = "<url>") -> tuple[str, int]:
    """Addresses of pages, invitations and files -> <url>."""
    return _URL.subn(instead, text) if "/" in text or "www." in text else (text, 0)


# What each service gives out, after the forms that it documents; most begin with a prefix made to be searched for.
_KEYS = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    r"(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|ANPA|ANVA)[A-Z0-9]{16}",  # AWS
    r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255}|glpat-[\w-]{20,}",  # GitHub, GitLab
    r"xox[a-z]-[\w-]{10,}|xapp-[\w-]{10,}|T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{20,}",  # Slack and its webhooks
    r"AIza[\w-]{35}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,}",  # Google
    r"[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,40}|mfa\.[\w-]{80,}|webhooks/\d{17,20}/[\w-]{60,}",  # Discord
    r"\d{8,10}:[\w-]{35}",  # Telegram bots
    r"[rs]k_(?:live|test)_\w{16,}|whsec_\w{24,}",  # Stripe
    r"sk-[\w-]{20,}|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,}",
    r"SG\.[\w-]{22}\.[\w-]{43}|(?:AC|SK)[0-9a-f]{32}|[0-9a-f]{32}-us\d{1,2}",  # SendGrid, Twilio, Mailchimp
    r"eyJ[\w=-]{10,}\.[\w=-]{10,}(?:\.[\w.+/=-]*)?",  # JSON web tokens
)
_KEY = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_KEYS)})(?![A-Za-z0-9])")
_RUN = re.compile(r"[\w./:-]{20}|-----BEGIN")  # no key is shorter
# A word for a secret, then the secret, which holds a digit: `password: hunter22`, `AWS_SECRET_KEY="..."`, `//me:pass@`.
_SECRET = re.compile(
    r"((?:passw(?:or)?d|passwort|contraseña|пароль|密码|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key)"
    r"['\"]?\s{0,3}(?:[:=：]|is\s)\s{0,3}['\"]?|//[^\s/:@]{1,64}:)(?=[^\s\d]{0,64}\d)[\w./+=!@#$%^&*~-]{6,}",
    re.IGNORECASE,
)
_HINTS = ("pass", "contraseña", "пароль", "密码", "secret", "token", "key", "//")


def keys(text: str) -> tuple[str, int]:
    """Keys, tokens and passwords -> <key>."""
    text, found = _KEY.subn("<key>", text) if _RUN.search(text) else (text, 0)
    folded = text.casefold()
    text, more = _SECRET.subn(r"\1<key>", text) if any(word in folded for word in _HINTS) else (text, 0)
    return text, found + more


_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[ \u00a0-]?[A-Z0-9]){11,30}(?!\w)", re.IGNORECASE | re.ASCII)
_CARD = re.compile(r"(?<!\w)[2-6](?:[ \u00a0.-]?\d){11,18}(?!\w)", re.ASCII)
_IP = re.compile(
    r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)|(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])",
    re.IGNORECASE | re.ASCII,
)
_DIGITS = re.compile(r"\d\D?\d")
_GAP = re.compile(r"\W")
_JOINED = str.maketrans("", "", " \u00a0.-")  # deletes what may stand between groups


def ibans(text: str) -> tuple[str, int]:
    """Bank accounts -> <iban>; the check of ISO 7064 holds, so one in 97 look-alikes is taken too."""
    return _proved(_IBAN, text, "<iban>", _is_iban)


def cards(text: str) -> tuple[str, int]:
    """Numbers of payment cards -> <card>; Luhn's check holds."""
    return _proved(_CARD, text, "<card>", _is_card)


def ips(text: str) -> tuple[str, int]:
    """Addresses of machines, of both versions, -> <ip>; but localhost is everybody's."""
    return _proved(_IP, text, "<ip>", _is_ip)


def _proved(pattern: re.Pattern[str], text: str, instead: str, proves: Callable[[str], bool]) -> tuple[str, int]:
    """Every match, cut back word by word until it proves, replaced: more words or digits may stand right behind it."""
    if not _DIGITS.search(text):
        return text, 0
    pieces, kept, start = [], 0, 0
    while match := pattern.search(text, start):
        start = match.start() + 1
        ends = [*(gap.start() for gap in _GAP.finditer(text, *match.span())), match.end()]
        for end in reversed(ends):
            if proves(text[match.start() : end]):
                pieces += [text[kept : match.start()], instead]
                kept = start = end
                break
    return "".join([*pieces, text[kept:]]), len(pieces) // 2


def _is_iban(found: str) -> bool:
    code = found.translate(_JOINED)
    return 15 <= len(code) <= 34 and int("".join(str(int(char, 36)) for char in code[4:] + code[:4])) % 97 == 1


# The first digits of the large networks and the lengths of their numbers (ISO/IEC 7812).
_NETWORK = re.compile(r"4(?:\d{12}|\d{15}|\d{18})|(?:5\d|2[2-7]|35)\d{14}|3[47]\d{13}|3[0689]\d{12}|(?:5|6)\d{11,18}")


def _is_card(found: str) -> bool:
    digits = found.translate(_JOINED)
    if not _NETWORK.fullmatch(digits):
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(int(digit) for digit in digits[::-2]) + sum(doubled)) % 10 == 0


def _is_ip(found: str) -> bool:
    try:
        address = ip_address(found)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified) and any(char.isdigit() for char in found)


# phonenumbers misses a number that more digits follow, and those of other regions written as at home. One written
# with its +, or at least seven digits in groups that begin with (..) or 0 or are 3-3-4, is sure enough without it.
_WRITTEN = re.compile(
    r"(?<![\w+])\+\d(?:[ ()./-]{0,2}\d){6,14}(?!\d)|(?<![\w.:/+-])(?!\d\d-\d\d-\d{4}\b)(?:0\d(?:\.\d\d){4}|"
    r"(?:\(\d{1,4}\)[ -]?|0\d{1,4}[ -]|\d{3}-(?=\d{3}-\d{4}))\d{2,8}(?:[ -]\d{2,5}){0,4}(?:x\d{1,6})?)(?!\w)",
    re.ASCII,
)
# Beside a word for telephones any groups of 7 to 12 digits are one, but for dates, years and round thousands.
_CALLED = (
    rf"(?<!{LETTER})(?:call(?:ed|ing)?|dial|ring|text|reach|answering|(?:cell|mobile)?phone|tel|fax|mobile|sms|whatsapp|"
    r"handy|ruf|anrufen|t[eé]l[eé](?:f|ph)on\w*|portable|appel\w*|m[oó]vil|ll[aá]ma\w*|celular\w*|ligue|"
    rf"тел(?:ефон\w*)?|(?:по)?звони\w*)(?!{LETTER})|电话|電話|手机|手機|携帯|전화"
)
_YEAR = r"(?:19|20)\d\d"
_DATE = rf"\d{{4}}[ -]\d\d[ -]\d\d|\d\d[ -]\d\d[ -]\d{{4}}|{_YEAR}[ -]{_YEAR}|\d{{1,3}}(?: \d{{3}})* 000"
_TOLD = re.compile(
    rf"((?:{_CALLED})[^\d\n]{{0,16}}(?<!{LETTER}))?(?(1)|(?<![\w.:/+-]))(?!(?:{_DATE})(?!\d))"
    r"(?=(?:\d[ -]?){7,12}(?!\d))\d{2,4}(?:[ -]\d{2,6}){1,4}(?!\w)"
    r"(?(1)|(?=[ -]{1,2}(?:office|home|work|cell|mobile|fax)\b))",
    re.IGNORECASE,
)
_SIX_DIGITS = re.compile(r"\d(?:\D{0,4}\d){5}")  # phonenumbers is slow, and no number has fewer


def _is_long(found: str) -> bool:
    return sum(map(str.isdigit, found)) >= 7


def phones(region: str) -> Step:
    """Telephone numbers -> <phone>, those without a country code read as the region's."""
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise ParleyError(f"params.yaml: redact.phone_region: {region!r} is no region; two letters such as US or DE")

    def step(text: str) -> tuple[str, int]:
        if not _SIX_DIGITS.search(text):
            return text, 0
        pieces, end = [], 0
        for match in phonenumbers.PhoneNumberMatcher(text, region):
            pieces += [text[end : match.start], "<phone>"]
            end = match.end
        rest, found = _proved(_WRITTEN, "".join([*pieces, text[end:]]), "<phone>", _is_long)
        rest, more = _TOLD.subn(r"\1<phone>", rest)
        return rest, found + more + len(pieces) // 2

    return step


def steps(region: str) -> dict[str, Step]:
    """Kind -> step, in the order to take them: a key may stand in a URL, an account's digits in a number."""
    first = {"urls": urls, "keys": keys, "emails": emails, "ibans": ibans, "cards": cards, "ips": ips}
    return {**first, "phones": phones(region)}
