"""The report as one HTML page that needs nothing else: no network, no file beside it."""

from compare.report.html.page import to_html

__all__ = ["to_html"]
