"""What a password of Mayan must be, beside Django's own rules: ANSSI's, three kinds of characters at least."""

from __future__ import annotations

from django.core.exceptions import ValidationError

_KINDS = (str.islower, str.isupper, str.isdigit, lambda letter: not letter.isalnum())
_ASKED = 3
_HELP = "Le mot de passe mêle au moins trois sortes de caractères : minuscules, majuscules, chiffres, autres signes."


class Mixed:
    """Refuses a password of one or two kinds of characters."""

    def validate(self, password: str, user: object = None) -> None:
        if sum(any(kind(letter) for letter in password) for kind in _KINDS) < _ASKED:
            raise ValidationError(_HELP, code="password_not_mixed")

    def get_help_text(self) -> str:
        return _HELP
