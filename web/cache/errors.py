"""What is wrong with stored bytes."""


class ContentError(Exception):
    """Bytes that are not what they should be."""
