"""Reports as a browser is given them: a page that stands alone, a PDF with its name."""

from __future__ import annotations

from fastapi import Response
from fastapi.responses import HTMLResponse

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'"


def whole_page(page: str) -> HTMLResponse:
    """Return a self-contained page; its styles are inline, hence its own policy."""
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})


def pdf_named(name: str, content: bytes) -> Response:
    """Return a PDF that is saved as ``NAME.pdf``."""
    named = {"Content-Disposition": f'inline; filename="{name}.pdf"'}
    return Response(content, media_type="application/pdf", headers=named)
