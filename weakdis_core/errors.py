"""The one error a user is meant to read."""


class UserError(Exception):
    """Something the user can put right: a setting, a file, a name.

    Entry points print its message alone, without a traceback, and exit with code 2.
    The message names the field or file, what was found and what is allowed.
    """
