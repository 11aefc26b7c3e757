"""The error that the script prints without a traceback: something that the user can mend."""


class UserError(Exception):
    """A wrong option, file or machine; the message says what, the values, where, and the remedy."""
