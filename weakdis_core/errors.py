"""The error type whose message is for users."""


class UserError(Exception):
    """An error that the user can fix: a setting, a file, a name.

    Entry points print its message without a traceback and exit with code 2. The message names the
    field or file, the value that was found and what is allowed.
    """
