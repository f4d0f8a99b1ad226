"""URLs of stores, with options added."""


def with_options(url: str, options: str) -> str:
    """Return the URL with more options in its query, or itself if there are none."""
    return f"{url}{'&' if '?' in url else '?'}{options}" if options else url
