"""What identifies a person or opens a door, in sentences of several languages, for tests to plant."""


def joined(*parts: str) -> str:
    """A made-up key in one piece; in pieces here, so that no scanner of repositories takes it for a real one."""
    return "".join(parts)


# (kind, sentence with {}, what is planted there); every number and key is made up.
PLANTED = [
    ("urls", "look at ({}), it is good", "https://example.org/a_(b)?me=ana&token=1"),
    ("urls", "komm zu {}.", "discord.gg/aBcD123"),
    ("urls", "看{}吧", "https://example.cn/%E4%BD%A0?x=1"),
    ("urls", "{}", "postgres://ana:hunter2@db.example.org:5432/x"),
    ("keys", "export AWS={}", joined("AKIA", "Q3EGR7ZT2KXN5WVL")),
    ("keys", "mein token ist '{}'!", joined("ghp_", "0123456789abcdefghijABCDEFGHIJ012345")),
    ("keys", "voici {}", joined("github_pat_", "11ABCDEFG0123456789abcd_0123456789abcdefghij")),
    ("keys", "slack {} ok", joined("xox", "b-123456789012-abcdefGHIJKL")),
    ("keys", "{} が鍵です", joined("AIza", "SyA1234567890abcdefghijklmnopqrstuv")),
    ("keys", "бот: {}", joined("MTA1NjQ3ODkwMTIzNDU2Nzg5MA", ".GaBcDe.", "abcdefghijklmnopqrstuvwxyz0123456789AB")),
    ("keys", "telegram {}", joined("123456789:", "AAabcdefghijklmnopqrstuvwxyz0123456")),
    ("keys", "Bearer {}", joined("eyJhbGciOiJIUzI1NiJ9.", "eyJzdWIiOiIxMjM0In0.", "c2lnbmF0dXJl_-x")),
    ("keys", "stripe {},", joined("sk_live_", "0123456789abcdefghijklmn")),
    ("keys", "{}", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\n-----END OPENSSH PRIVATE KEY-----"),
    ("keys", "the password is {}, ok?", "hunter22"),
    ("keys", "пароль: {}", "Qwerty123"),
    ("keys", '"api_key": "{}"', "0f1e2d3c4b5a"),
    ("emails", "escríbeme a {} hoy", "ana.ruiz+x@correo.example"),
    ("ibans", "auf {} bitte", "DE89 3704 0044 0532 0130 00"),
    ("ibans", "IBAN:{}", "fr1420041010050500013m02606"),
    ("ibans", "pay {} GB", "GB82-WEST-1234-5698-7654-32"),
    ("cards", "carte {} 12/29", "4111 1111 1111 1111"),
    ("cards", "卡号{}。", "5555-5555-5555-4444"),
    ("cards", "amex {} 123", "378282246310005"),
    ("emails", "ssh {}", "ana@203.0.113.77"),
    ("ips", "ping {}:22", "198.51.100.4"),
    ("ips", "addr {}, ok", "2001:db8::8a2e:370:7334"),
    ("phones", "ruf {} an", "+49 30 901820"),
    ("phones", "mon numéro {}", "(07) 5331 0577"),
    ("phones", "電話 {} です", "03-1234-5678"),
    ("phones", "appelle-moi au {} ce soir", "45 12 34 56"),
    ("phones", "手机{}。", "1234 5678"),
    ("phones", "мой телефон: {}, ок", "123 45 67"),
    ("phones", "{} office", "455 6186"),
]

# (sentence with {}, name of a participant that is planted there), in several scripts.
NAMED = [
    ("please ask {} about it", "Marguerite"),
    ("frag mal {}, ob das geht", "Jürgen"),
    ("demande à {} !", "Zoé"),
    ("¿y {}?", "Íñigo"),
    ("спроси {} завтра", "Наташа"),
    ("ρώτα {} αύριο", "Ελένη"),
    ("اسأل {} غدا", "ليلى"),
    ("{} কাল আসবে", "অনন্যা"),
    ("我跟{}说过", "王小明"),
    ("{}さんに聞いて", "田中"),
    ("{}은 어디 있어", "민준"),
    ("อยู่กับ{}ไหม", "สมชาย"),
]
